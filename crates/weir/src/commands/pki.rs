//! `weir pki`: the roots and keys of the instance, the change of the root, and certificates of proxies.

mod certificate;

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;
use weir_server::api::{FinishRotation, MissingReason, Pki, Rotation, RotationStage};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Format, Row, Zone, json_line, left, local_text, print_rows, printable, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show roots and keys, and where the change of the root is
    Status {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Change the root, in three steps, so that nobody is cut off
    ///
    /// Begin, and everybody is given the new root beside the old one; switch, and agents are given certificates below the
    /// new one; finish, once `weir pki status` says that nobody is missing, and the old one is given up.
    Rotate {
        #[command(subcommand)]
        step: Step,
    },
    /// Make a key and a certificate for a proxy that ends TLS in front of the doors of agents
    ///
    /// Agents take who has them for the server. The key never leaves this machine; the certificate ends by itself, and
    /// nothing takes it back before.
    Certificate(certificate::Arguments),
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Give everybody a new root beside the old one
    Begin {
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Issue certificates of agents below the new root
    Switch {
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Give the old root up; refused while an agent or an access key knows nothing else
    Finish {
        /// Cut those off that know nothing else: they have to join anew
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: ClientArgs,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut out = console::stdout();
    let (pki, format) = match arguments.command {
        Command::Status { output, server } => {
            let client = Client::of(&server)?;
            (block_on(async { Ok(client.get(&["pki"], &()).await?) })?, output.output)
        }
        Command::Rotate { step } => (rotate(step)?, Format::Text),
        Command::Certificate(arguments) => return certificate::run(arguments),
    };
    print(&mut out, format, &zone(), &pki)?;
    Ok(ExitCode::Good)
}

fn rotate(step: Step) -> Result<Pki> {
    match step {
        Step::Begin { server } => {
            let client = Client::of(&server)?;
            block_on(async { Ok(client.post(&["pki", "rotation", "begin"], &()).await?) })
        }
        Step::Switch { server } => {
            let client = Client::of(&server)?;
            block_on(async { Ok(client.post(&["pki", "rotation", "switch"], &()).await?) })
        }
        Step::Finish { force, server } => {
            let client = Client::of(&server)?;
            block_on(async {
                Ok(client.post(&["pki", "rotation", "finish"], &FinishRotation { force }).await?)
            })
        }
    }
}

/// As CSV the line of a table.
fn print(out: &mut dyn Write, format: Format, zone: &Zone, pki: &Pki) -> Result<()> {
    match format {
        Format::Text => write_text(out, zone, pki),
        Format::Json => Ok(json_line(out, pki)?),
        Format::Csv => Ok(print_rows(out, format, zone, std::slice::from_ref(pki))?),
    }
}

fn write_text(out: &mut dyn Write, zone: &Zone, pki: &Pki) -> Result<()> {
    let mut lines = vec![("instance", format!("{}, made {}", pki.instance, local_text(pki.made.0, zone)))];
    let kinds = ["root", "new root"];
    for (kind, root) in kinds.into_iter().zip(&pki.roots) {
        lines.push((kind, format!("{} until {}", root.pin, local_text(root.expires.0, zone))));
    }
    lines.push(("issuing", format!("until {}", local_text(pki.issuing_until.0, zone))));
    for key in &pki.signing_keys {
        lines.push(("signing key", format!("{} from {}", key.id, local_text(key.used_from.0, zone))));
    }
    lines.push(("rotation", stage(&pki.rotation, zone)));
    for missing in &pki.rotation.missing {
        let why = match missing.reason {
            MissingReason::Root => "was not given the new root",
            MissingReason::Certificate => "has a certificate below the old root",
            MissingReason::Unconfirmed => "was given what it needs, and did not show it yet",
        };
        lines.push((
            "missing",
            format!("agent `{}`, seen {}: {why}", missing.agent, local_text(missing.seen.0, zone)),
        ));
    }
    for key in &pki.rotation.keys {
        lines.push((
            "missing",
            format!("access key `{key}` knows the old root only: revoke it, or wait until it ends"),
        ));
    }
    if let Some(next) = next(&pki.rotation) {
        lines.push(("next", next.to_owned()));
    }
    lines.iter().try_for_each(|(name, value)| writeln!(out, "{name:<13}{}", printable(value)))?;
    Ok(())
}

fn stage(rotation: &Rotation, zone: &Zone) -> String {
    let since = rotation.since.map(|since| local_text(since.0, zone)).unwrap_or_default();
    let what = match rotation.stage {
        RotationStage::Idle => return "none".to_owned(),
        RotationStage::Begun => "everybody is being given the new root",
        RotationStage::Switched => "agents are being given certificates below the new root",
    };
    let (ready, missing) = (rotation.ready, rotation.missing.len());
    format!("{what}, since {since}: {ready} agents are ready, {missing} are not")
}

fn next(rotation: &Rotation) -> Option<&'static str> {
    let is_ready = rotation.missing.is_empty() && rotation.keys.is_empty();
    match rotation.stage {
        RotationStage::Idle => None,
        RotationStage::Begun if rotation.missing.is_empty() => Some("weir pki rotate switch"),
        RotationStage::Begun => {
            Some("wait until agents were given the new root, then `weir pki rotate switch`")
        }
        RotationStage::Switched if is_ready => Some("weir pki rotate finish"),
        RotationStage::Switched => Some("wait until nobody is missing, then `weir pki rotate finish`"),
    }
}

impl Row for Pki {
    const COLUMNS: &'static [Column] = &[
        left("instance"),
        left("made"),
        left("root"),
        left("new_root"),
        left("issuing_until"),
        left("rotation"),
        right("ready"),
        right("missing"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        let pin = |index: usize| self.roots.get(index).map(|root| root.pin.clone()).unwrap_or_default();
        let stage = match self.rotation.stage {
            RotationStage::Idle => "idle",
            RotationStage::Begun => "begun",
            RotationStage::Switched => "switched",
        };
        let missing = self.rotation.missing.len() + self.rotation.keys.len();
        vec![
            self.instance.clone(),
            local_text(self.made.0, zone),
            pin(0),
            pin(1),
            local_text(self.issuing_until.0, zone),
            stage.to_owned(),
            self.rotation.ready.to_string(),
            missing.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;
    use weir_server::api::{MissingAgent, RootCertificate, SigningKey, Time};

    use super::*;

    fn moment(second: i64) -> Time {
        Timestamp::from_micros((1_700_000_000 + second) * 1_000_000).into()
    }

    fn root(digit: &str) -> RootCertificate {
        RootCertificate { pin: format!("sha256:{}", digit.repeat(64)), expires: moment(315_360_000) }
    }

    fn idle() -> Pki {
        let rotation = Rotation {
            stage: RotationStage::Idle,
            since: None,
            ready: 0,
            missing: Vec::new(),
            keys: Vec::new(),
        };
        Pki {
            instance: "0123456789abcdef".to_owned(),
            made: moment(0),
            roots: vec![root("a")],
            issuing_until: moment(7_776_000),
            signing_keys: vec![SigningKey { id: "k1".to_owned(), made: moment(0), used_from: moment(3_600) }],
            rotation,
        }
    }

    fn printed(format: Format, pki: &Pki) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        print(&mut out, format, &Zone::utc(), pki).expect("memory takes it");
        String::from_utf8(out.into_inner()).expect("is text")
    }

    #[test]
    fn roots_and_keys() {
        insta::assert_snapshot!(printed(Format::Text, &idle()));
        insta::assert_snapshot!(printed(Format::Csv, &idle()));
        let read: Pki = serde_json::from_str(&printed(Format::Json, &idle())).expect("is JSON");
        assert_eq!(read, idle());
    }

    #[test]
    fn a_change_of_the_root_says_who_is_missing() {
        let missing =
            |agent: &str, reason| MissingAgent { agent: agent.to_owned(), reason, seen: moment(60) };
        let mut pki = idle();
        pki.roots.push(root("b"));
        pki.rotation = Rotation {
            stage: RotationStage::Switched,
            since: Some(moment(30)),
            ready: 7,
            missing: vec![
                missing("web-1", MissingReason::Root),
                missing("web-2", MissingReason::Certificate),
                missing("web-3", MissingReason::Unconfirmed),
            ],
            keys: vec!["k7".to_owned()],
        };
        insta::assert_snapshot!(printed(Format::Text, &pki));
    }

    #[test]
    fn the_next_step_is_named() {
        let check = |stage, is_missing: bool, key: bool, expected: Option<&str>| {
            let missing =
                MissingAgent { agent: "a".to_owned(), reason: MissingReason::Root, seen: moment(0) };
            let rotation = Rotation {
                stage,
                since: None,
                ready: 0,
                missing: if is_missing { vec![missing] } else { Vec::new() },
                keys: if key { vec!["k".to_owned()] } else { Vec::new() },
            };
            assert_eq!(next(&rotation), expected);
        };
        use RotationStage::{Begun, Idle, Switched};
        check(Idle, false, false, None);
        check(
            Begun,
            true,
            true,
            Some("wait until agents were given the new root, then `weir pki rotate switch`"),
        );
        // Keys matter at the end.
        check(Begun, false, true, Some("weir pki rotate switch"));
        check(Switched, false, true, Some("wait until nobody is missing, then `weir pki rotate finish`"));
        check(Switched, true, false, Some("wait until nobody is missing, then `weir pki rotate finish`"));
        check(Switched, false, false, Some("weir pki rotate finish"));
    }
}
