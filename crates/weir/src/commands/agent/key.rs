//! `weir agent key`: with what nodes become agents.

use std::io::Write;
use std::num::NonZeroU32;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_fleet::Labels;
use weir_foundation::exit::ExitCode;
use weir_server::api::{AnyNumber, CreatedKey, Key, KeyState, Keys, NewKey, RevokeKey, RevokedKey, Uses};

use super::super::fleet::{Ttl, labelled, labels_text, time_or};
use super::super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Format, Row, Zone, left, local_text, print_rows, right};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an access key and print, this once, the line to run on the node
    Create(CreateArguments),
    /// List all access keys
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Let nobody join with an access key any more
    Revoke {
        /// Its id, as `weir agent key list` shows it
        id: String,
        /// Refuse those who joined with it, too
        #[arg(long)]
        agents: bool,
        #[command(flatten)]
        server: ClientArgs,
    },
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// By what people know it
    title: String,
    /// In whose names its agents send; the first where an input names none
    #[arg(long = "app", value_name = "APP", required = true, value_delimiter = ',')]
    apps: Vec<String>,
    /// Marks of its agents, by which configurations choose them: `role=web,zone=eu`
    #[arg(long, value_name = "K=V,…", default_value = "", hide_default_value = true)]
    labels: Labels,
    /// How long nodes can join with it: `30m`, `24h`, `7d`, or `never` for no end
    #[arg(long, default_value = "24h")]
    ttl: Ttl,
    /// How many agents may join with it: a number, or `unlimited`
    #[arg(long, value_name = "N", default_value = "1", value_parser = uses)]
    uses: Uses,
    /// Let its agents seal what they send, for ways on which TLS ends at a proxy
    #[arg(long)]
    seal: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

fn uses(text: &str) -> Result<Uses, String> {
    match text {
        "unlimited" => Ok(Uses::Word(AnyNumber::Unlimited)),
        number => number
            .parse::<NonZeroU32>()
            .map(Uses::Times)
            .map_err(|_no_number| "it is a number of at least 1, or `unlimited`".to_owned()),
    }
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut out = console::stdout();
    match arguments.command {
        Command::Create(arguments) => create(&mut out, arguments)?,
        Command::List { output, server } => {
            let client = Client::of(&server)?;
            let answer: Keys = block_on(async { Ok(client.get(&["keys"], &()).await?) })?;
            print_rows(&mut out, output.output, &zone(), &answer.keys)?;
        }
        Command::Revoke { id, agents, server } => {
            let client = Client::of(&server)?;
            let path = ["keys", &id, "revoke"];
            let answer: RevokedKey =
                block_on(async { Ok(client.post(&path, &RevokeKey { agents }).await?) })?;
            console::note(&format!("nobody joins with access key `{id}` any more"));
            if agents {
                console::note(&format!("{} agents that had joined with it are out", answer.revoked_agents));
            }
        }
    }
    Ok(ExitCode::Good)
}

fn create(out: &mut dyn Write, arguments: CreateArguments) -> Result<()> {
    let client = Client::of(&arguments.server)?;
    let output = arguments.output.output;
    let new = arguments.key();
    let answer: CreatedKey = block_on(async { Ok(client.post(&["keys"], &new).await?) })?;
    print_key(out, output, &zone(), &answer)
}

impl CreateArguments {
    fn key(self) -> NewKey {
        NewKey {
            title: self.title,
            apps: self.apps,
            labels: labelled(&self.labels),
            ttl: self.ttl.text(),
            uses: Some(self.uses),
            seal: self.seal,
        }
    }
}

/// For people the line for the node alone on standard output.
fn print_key(out: &mut dyn Write, format: Format, zone: &Zone, created: &CreatedKey) -> Result<()> {
    if format != Format::Text {
        return Ok(print_rows(out, format, zone, std::slice::from_ref(created))?);
    }
    let agents = match created.uses {
        Uses::Times(NonZeroU32::MIN) => "one agent".to_owned(),
        Uses::Times(times) => format!("{times} agents"),
        Uses::Word(AnyNumber::Unlimited) => "any number of agents".to_owned(),
    };
    let until = created.expires.map(|expires| format!(" until {}", local_text(expires.0, zone)));
    let until = until.unwrap_or_default();
    console::note(&format!(
        "access key `{}` for {agents}{until}; it is not shown again. On the node, as the user that reads its files:",
        created.id
    ));
    let key = created.access_key.reveal();
    writeln!(out, "WEIR_KEY={key} weir agent run --data-dir /var/lib/weir-agent")?;
    Ok(())
}

fn uses_text(uses: Uses) -> String {
    match uses {
        Uses::Times(times) => times.to_string(),
        Uses::Word(AnyNumber::Unlimited) => "unlimited".to_owned(),
    }
}

impl Row for CreatedKey {
    const COLUMNS: &'static [Column] = &[left("id"), left("access_key"), left("expires"), left("uses")];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        let key = self.access_key.reveal().to_owned();
        vec![self.id.clone(), key, time_or(self.expires, "never", zone), uses_text(self.uses)]
    }
}

impl Row for Key {
    const COLUMNS: &'static [Column] = &[
        left("id"),
        left("title"),
        left("state"),
        right("used"),
        right("uses"),
        left("apps"),
        left("labels"),
        left("expires"),
        left("made_by"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        let state = match self.state {
            KeyState::Usable => "usable",
            KeyState::UsedUp => "used up",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        };
        vec![
            self.id.clone(),
            self.title.clone(),
            state.to_owned(),
            self.used.to_string(),
            uses_text(self.uses),
            self.apps.join(","),
            labels_text(&self.labels),
            time_or(self.expires, "never", zone),
            self.made_by.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;
    use weir_server::api::Time;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateArguments,
    }

    fn read(arguments: &str) -> Result<NewKey, String> {
        let line = ["create"].into_iter().chain(arguments.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(line);
        line.map(|line| line.create.key()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_is_said_in_words() {
        let check = |arguments: &str, expected: &str| {
            let key = read(arguments).expect("it is one");
            assert_eq!(serde_json::to_string(&key).expect("is JSON"), expected, "{arguments}");
        };
        check("web --app shop", r#"{"title":"web","apps":["shop"],"ttl":"1d","uses":1,"seal":false}"#);
        check(
            "web --app shop,bank --app pay --labels role=web,zone=eu --ttl never --uses unlimited --seal",
            r#"{"title":"web","apps":["shop","bank","pay"],"labels":{"role":"web","zone":"eu"},"uses":"unlimited","seal":true}"#,
        );
        check(
            "web --app shop --uses 20 --ttl 90m",
            r#"{"title":"web","apps":["shop"],"ttl":"90m","uses":20,"seal":false}"#,
        );
    }

    #[test]
    fn what_is_no_key_is_named() {
        let check = |arguments: &str, expected: &str| {
            let error = read(arguments).expect_err("it is none");
            assert!(error.contains(expected), "{arguments}: {error}");
        };
        check("web", "--app <APP>");
        check("--app shop", "<TITLE>");
        check("web --app shop --labels role", "labels have the form `key=value,key=value`");
        check("web --app shop --labels Role=web", "`Role` can not be the key of a label");
        check("web --app shop --labels role=a,role=b", "label `role` is there twice");
        check("web --app shop --labels app=shop", "every agent has the label `app` by itself");
        check("web --app shop --ttl 24", "`24` has no unit");
        check("web --app shop --uses 0", "it is a number of at least 1, or `unlimited`");
        check("web --app shop --uses many", "it is a number of at least 1, or `unlimited`");
    }

    #[test]
    fn the_line_for_the_node_stands_alone() {
        let expires: Time = Timestamp::from_micros(1_700_000_000_000_000).into();
        let created = CreatedKey {
            id: "k7".to_owned(),
            access_key: "weirk1.x".to_owned().into(),
            expires: Some(expires),
            uses: Uses::Times(NonZeroU32::MIN),
        };
        let printed = |format| {
            let mut out = Vec::new();
            print_key(&mut out, format, &Zone::utc(), &created).expect("memory takes it");
            String::from_utf8(out).expect("is text")
        };
        insta::assert_snapshot!(printed(Format::Text), @"WEIR_KEY=weirk1.x weir agent run --data-dir /var/lib/weir-agent");
        insta::assert_snapshot!(printed(Format::Json), @r#"{"id":"k7","access_key":"weirk1.x","expires":"2023-11-14T22:13:20Z","uses":1}"#);
        insta::assert_snapshot!(printed(Format::Csv), @r"
        id,access_key,expires,uses
        k7,weirk1.x,2023-11-14T22:13:20.000+00:00,1
        ");
    }

    #[test]
    fn keys_as_a_table() {
        let key = |id: &str, state, uses, expires| Key {
            id: id.to_owned(),
            title: "web nodes".to_owned(),
            apps: vec!["shop".to_owned(), "bank".to_owned()],
            labels: [("role".to_owned(), "web".to_owned())].into(),
            state,
            uses,
            used: 3,
            last_used: None,
            expires,
            seal: false,
            made: Timestamp::from_micros(0).into(),
            made_by: "admin".to_owned(),
        };
        let ends = Some(Timestamp::from_micros(1_700_000_000_000_000).into());
        let keys = [
            key("k7", KeyState::UsedUp, Uses::Times(NonZeroU32::MIN), ends),
            key("k8", KeyState::Usable, Uses::Word(AnyNumber::Unlimited), None),
        ];
        let mut out = anstream::StripStream::new(Vec::new());
        print_rows(&mut out, Format::Text, &Zone::utc(), &keys).expect("memory takes it");
        insta::assert_snapshot!(String::from_utf8(out.into_inner()).expect("is text"));
    }
}
