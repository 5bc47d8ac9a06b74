use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{AgentEntry, AgentState, Agents};

use super::super::fleet::{labels_text, number_or, time_or};
use super::super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Row, Zone, left, print_rows, right};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let answer: Agents = block_on(async { Ok(client.get(&["agents"], &()).await?) })?;
    print_rows(&mut console::stdout(), arguments.output.output, &zone(), &answer.agents)?;
    Ok(ExitCode::Good)
}

pub(super) fn state_text(state: AgentState) -> &'static str {
    match state {
        AgentState::Revoked => "revoked",
        AgentState::Away => "away",
        AgentState::Refused => "refused",
        AgentState::FailedConfiguration => "failed configuration",
        AgentState::Late => "late",
        AgentState::Ok => "ok",
    }
}

impl Row for AgentEntry {
    const COLUMNS: &'static [Column] = &[
        left("agent"),
        left("state"),
        right("lag_bytes"),
        right("lag_seconds"),
        right("revision"),
        left("version"),
        left("labels"),
        left("seen"),
        left("why"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![
            self.agent.clone(),
            state_text(self.state).to_owned(),
            number_or(self.lag_bytes, "unknown"),
            number_or(self.lag_millis.map(|millis| millis / 1_000), "unknown"),
            number_or(self.revision, "none"),
            self.version.clone().unwrap_or_else(|| "unknown".to_owned()),
            labels_text(&self.labels),
            time_or(self.seen, "never", zone),
            self.why.clone().unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;

    use super::*;
    use crate::output::Format;

    #[test]
    fn the_list_says_who_is_late_and_why() {
        let seen = Some(Timestamp::from_micros(1_700_000_000_123_000).into());
        let entry = |agent: &str, state, why: Option<&str>| AgentEntry {
            agent: agent.to_owned(),
            state,
            why: why.map(str::to_owned),
            apps: vec!["shop".to_owned()],
            labels: [("role".to_owned(), "web".to_owned())].into(),
            version: Some("1.2.3".to_owned()),
            host: None,
            connected: None,
            seen,
            lag_bytes: Some(0),
            lag_millis: Some(0),
            revision: Some(4),
            certificate_expires: None,
        };
        let why = "5.2 MiB of `/var/log/app/*.log` wait for 7m: rate-limited";
        let agents = [
            AgentEntry {
                lag_bytes: Some(5_500_000),
                lag_millis: Some(420_900),
                ..entry("web-1", AgentState::Late, Some(why))
            },
            entry("web-2", AgentState::Ok, None),
            entry(
                "web-3",
                AgentState::FailedConfiguration,
                Some("revision 5 does not work, it runs the one before: \u{1b}[2J"),
            ),
            AgentEntry {
                version: None,
                seen: None,
                lag_bytes: None,
                lag_millis: None,
                revision: None,
                ..entry("web-4", AgentState::Away, Some("not seen since it joined 3d ago"))
            },
        ];
        let printed = |format| {
            let mut out = anstream::StripStream::new(Vec::new());
            print_rows(&mut out, format, &Zone::utc(), &agents).expect("memory takes it");
            String::from_utf8(out.into_inner()).expect("is text")
        };
        insta::assert_snapshot!(printed(Format::Text));
        insta::assert_snapshot!(printed(Format::Csv));
    }
}
