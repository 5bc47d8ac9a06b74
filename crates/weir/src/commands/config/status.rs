use std::io::Write;

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{ConfigurationProgress, ConfigurationStatus};

use super::super::fleet::selector_text;
use super::super::{OutputArgs, block_on, zone};
use super::agents;
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Format, Row, Zone, left, local_text, print_rows, printable, right};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let status: ConfigurationStatus =
        block_on(async { Ok(client.get(&["configurations", "status"], &()).await?) })?;
    print(&mut console::stdout(), arguments.output.output, &zone(), &status)?;
    Ok(ExitCode::Good)
}

/// As text also why something failed, and who is told nothing.
fn print(out: &mut dyn Write, format: Format, zone: &Zone, status: &ConfigurationStatus) -> Result<()> {
    print_rows(out, format, zone, &status.configurations)?;
    if format != Format::Text {
        return Ok(());
    }
    for progress in &status.configurations {
        for failure in &progress.failures {
            let number = agents(failure.agents);
            let (revision, example) = (progress.configuration.revision, printable(&failure.example));
            writeln!(
                out,
                "revision {revision}: {number}, such as `{example}`: {}",
                printable(&failure.reason)
            )?;
        }
    }
    if status.without > 0 {
        let number = agents(status.without);
        writeln!(out, "{number} without a configuration: no labels fit, and there is none for `*`")?;
    }
    Ok(())
}

impl Row for ConfigurationProgress {
    const COLUMNS: &'static [Column] = &[
        left("labels"),
        right("revision"),
        right("agents"),
        right("running"),
        right("trying"),
        right("failed"),
        right("away"),
        left("made"),
        left("made_by"),
        left("note"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        let numbers =
            [self.configuration.revision, self.agents, self.running, self.trying, self.failed, self.away];
        let made = [
            local_text(self.configuration.made.0, zone),
            self.configuration.made_by.clone(),
            self.configuration.note.clone(),
        ];
        let labels = selector_text(&self.configuration.labels);
        [labels].into_iter().chain(numbers.map(|number| number.to_string())).chain(made).collect()
    }
}

#[cfg(test)]
mod tests {
    use weir_server::api::{ConfigurationEntry, ConfigurationFailure};

    use super::super::tests::entry;
    use super::*;

    #[test]
    fn it_says_who_has_what_and_why_not() {
        let failure = |agents, example: &str, reason: &str| ConfigurationFailure {
            reason: reason.to_owned(),
            agents,
            example: example.to_owned(),
        };
        let everybody = ConfigurationEntry { labels: [].into(), note: String::new(), ..entry(2, None) };
        let status = ConfigurationStatus {
            configurations: vec![
                ConfigurationProgress {
                    configuration: everybody,
                    agents: 40,
                    running: 40,
                    trying: 0,
                    failed: 0,
                    away: 0,
                    failures: Vec::new(),
                },
                ConfigurationProgress {
                    configuration: entry(5, None),
                    agents: 12,
                    running: 6,
                    trying: 1,
                    failed: 3,
                    away: 2,
                    failures: vec![
                        failure(2, "web-3", "the input `/b` can not start: permission denied"),
                        failure(1, "web-9", "no such folder\n\u{1b}[2J"),
                    ],
                },
            ],
            without: 1,
        };
        let printed = |format| {
            let mut out = anstream::StripStream::new(Vec::new());
            print(&mut out, format, &Zone::utc(), &status).expect("memory takes it");
            String::from_utf8(out.into_inner()).expect("is text")
        };
        insta::assert_snapshot!(printed(Format::Text));
        insta::assert_snapshot!(printed(Format::Csv));
    }
}
