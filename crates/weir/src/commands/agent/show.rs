use std::io::Write;

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{Agent, AgentInput};

use super::super::fleet::{labels_text, selector_text, time_or};
use super::super::{OutputArgs, block_on, zone};
use super::list::state_text;
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Format, Row, Zone, json_line, left, local_text, print_rows, printable, right};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Its name
    agent: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let agent: Agent = block_on(async { Ok(client.get(&["agents", &arguments.agent], &()).await?) })?;
    print(&mut console::stdout(), arguments.output.output, &zone(), &agent)?;
    Ok(ExitCode::Good)
}

/// As CSV the agent as in the list.
fn print(out: &mut dyn Write, format: Format, zone: &Zone, agent: &Agent) -> Result<()> {
    match format {
        Format::Text => {
            let lines = lines(agent, zone);
            lines.iter().try_for_each(|(name, value)| writeln!(out, "{name:<15}{}", printable(value)))?;
            if !agent.inputs.is_empty() {
                writeln!(out)?;
                print_rows(out, format, zone, &agent.inputs)?;
            }
            for input in &agent.inputs {
                if let Some(error) = &input.last_error {
                    writeln!(out, "{}: {}", printable(&input.input), printable(error))?;
                }
            }
        }
        Format::Json => json_line(out, agent)?,
        Format::Csv => print_rows(out, format, zone, std::slice::from_ref(&agent.entry))?,
    }
    Ok(())
}

fn lines(agent: &Agent, zone: &Zone) -> Vec<(&'static str, String)> {
    let Agent { entry, configuration, .. } = agent;
    let state = match &entry.why {
        Some(why) => format!("{}: {why}", state_text(entry.state)),
        None => state_text(entry.state).to_owned(),
    };
    let host = [entry.host.as_deref(), agent.os.as_deref()].into_iter().flatten().collect::<Vec<_>>();
    let wanted = match &configuration.wanted {
        Some(wanted) => {
            format!("revision {} of agents with `{}`", wanted.revision, selector_text(&wanted.labels))
        }
        None => "none".to_owned(),
    };
    let runs = match (&configuration.running, entry.revision) {
        (_, Some(revision)) => format!("revision {revision}"),
        (Some(hash), None) => format!("one that is not known any more: {hash}"),
        (None, None) => "none".to_owned(),
    };
    let certificate = match &agent.certificate {
        Some(certificate) => {
            format!("number {}, until {}", agent.generation, local_text(certificate.expires.0, zone))
        }
        None => "none".to_owned(),
    };
    let mut lines = vec![
        ("agent", entry.agent.clone()),
        ("state", state),
        ("apps", entry.apps.join(",")),
        ("labels", labels_text(&entry.labels)),
        ("version", entry.version.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("connected", time_or(entry.connected, "no", zone)),
        ("seen", time_or(entry.seen, "never", zone)),
        ("joined", format!("{} with access key `{}`", local_text(agent.joined.0, zone), agent.access_key)),
        ("certificate", certificate),
        ("payloads", if agent.seal { "sealed" } else { "not sealed" }.to_owned()),
        ("should run", wanted),
        ("runs", runs),
    ];
    if !host.is_empty() {
        lines.insert(5, ("host", host.join(", ")));
    }
    if let Some(failed) = &configuration.failed {
        lines.push(("could not run", failed.reason.clone()));
    }
    if let Some(skew) = agent.clock_skew_millis {
        lines.push((
            "clock",
            format!("{} ms {}", skew.unsigned_abs(), if skew < 0 { "behind" } else { "ahead" }),
        ));
    }
    if let Some(revoked) = agent.revoked {
        lines.push(("revoked", local_text(revoked.0, zone)));
    }
    lines
}

impl Row for AgentInput {
    const COLUMNS: &'static [Column] = &[
        left("input"),
        left("app"),
        right("files"),
        right("lag_bytes"),
        right("lag_seconds"),
        right("lines"),
        right("stored_bytes"),
        right("errors"),
    ];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![
            self.input.clone(),
            self.app.clone(),
            self.files.to_string(),
            self.lag_bytes.to_string(),
            (self.lag_millis / 1_000).to_string(),
            self.lines.to_string(),
            self.stored_bytes.to_string(),
            self.errors.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;
    use weir_server::api::{
        AgentCertificate, AgentConfiguration, AgentEntry, AgentState, FailedConfiguration, Time,
        WantedConfiguration,
    };

    use super::*;

    fn agent() -> Agent {
        let time = |second: i64| Time(Timestamp::from_micros((1_700_000_000 + second) * 1_000_000));
        let labels: std::collections::BTreeMap<_, _> = [("role".to_owned(), "web".to_owned())].into();
        Agent {
            entry: AgentEntry {
                agent: "web-1".to_owned(),
                state: AgentState::FailedConfiguration,
                why: Some("revision 5 does not work, it runs the one before: no such folder".to_owned()),
                apps: vec!["shop".to_owned()],
                labels: labels.clone(),
                version: Some("1.2.3".to_owned()),
                host: Some("web-1.example".to_owned()),
                connected: Some(time(7)),
                seen: Some(time(8)),
                lag_bytes: Some(100),
                lag_millis: Some(2_500),
                revision: Some(4),
                certificate_expires: Some(time(86_400)),
            },
            os: Some("Linux".to_owned()),
            joined: time(0),
            access_key: "k7".to_owned(),
            seal: false,
            generation: 3,
            certificate: Some(AgentCertificate {
                serial: "1".to_owned(),
                issued: time(0),
                expires: time(86_400),
            }),
            clock_skew_millis: Some(-12),
            configuration: AgentConfiguration {
                wanted: Some(WantedConfiguration { revision: 5, labels, hash: "5".repeat(64) }),
                offered: Some("5".repeat(64)),
                running: Some("4".repeat(64)),
                failed: Some(FailedConfiguration {
                    hash: "5".repeat(64),
                    reason: "no such folder".to_owned(),
                }),
            },
            inputs: vec![AgentInput {
                kind: "files".to_owned(),
                input: "/var/log/app/*.log".to_owned(),
                app: "shop".to_owned(),
                files: 2,
                lag_bytes: 100,
                lag_millis: 2_500,
                stored_bytes: 12_000,
                lines: 170,
                errors: 1,
                last_error: Some("`/var/log/app/x.log`: permission denied".to_owned()),
            }],
            last_error: None,
            revoked: None,
        }
    }

    fn printed(format: Format, agent: &Agent) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        print(&mut out, format, &Zone::utc(), agent).expect("memory takes it");
        String::from_utf8(out.into_inner()).expect("is text")
    }

    #[test]
    fn an_agent_with_what_it_reads() {
        insta::assert_snapshot!(printed(Format::Text, &agent()));
        assert_eq!(printed(Format::Csv, &agent()).lines().count(), 2);
        let read: Agent = serde_json::from_str(&printed(Format::Json, &agent())).expect("is JSON");
        assert_eq!(read, agent());
    }

    #[test]
    fn an_agent_that_was_never_seen() {
        let mut agent = agent();
        (agent.entry.connected, agent.entry.seen, agent.entry.version, agent.entry.host) =
            (None, None, None, None);
        (agent.entry.revision, agent.os, agent.clock_skew_millis) = (None, None, None);
        (agent.entry.state, agent.entry.why) =
            (AgentState::Revoked, Some("revoked by `ann`: stolen".to_owned()));
        agent.configuration = AgentConfiguration::default();
        agent.inputs.clear();
        agent.revoked = Some(agent.joined);
        insta::assert_snapshot!(printed(Format::Text, &agent));
    }
}
