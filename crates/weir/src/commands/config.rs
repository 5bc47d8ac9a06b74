//! `weir config`: what agents run, by the word of the server.

mod set;
mod status;

use std::io::Write;

use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args, Subcommand};
use weir_fleet::Selector;
use weir_foundation::exit::ExitCode;
use weir_server::api::{
    Configuration, ConfigurationAnswer, ConfigurationEntry, ConfigurationParameters, Configurations,
    RollBack, Withdrawal, WithdrawalAnswer,
};

use super::fleet::{number_or, selected, selector_text};
use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console::{self, Advised};
use crate::output::{Column, Format, Row, Zone, json_line, left, local_text, print_rows, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decide what agents with these labels run
    ///
    /// Of several configurations that fit an agent the one with the most labels counts, then the newest. Agents are told at
    /// once, or when they connect. One that can not run it goes back to what it ran before by itself: `weir config status`
    /// says who has it and who has not.
    Set(set::Arguments),
    /// Show how far agents are with what they should run
    Status(status::Arguments),
    /// List what agents with these labels had, the newest first
    History {
        #[command(flatten)]
        labels: LabelsArgs,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Print a configuration
    Show(ShowArguments),
    /// Give agents with these labels again what they had before
    Rollback {
        #[command(flatten)]
        labels: LabelsArgs,
        /// The revision to go back to [default: the one before the present one]
        #[arg(long, value_name = "REVISION")]
        to: Option<u64>,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Let agents with these labels run what other configurations say
    Withdraw {
        #[command(flatten)]
        labels: LabelsArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
}

/// Which agents.
#[derive(Debug, Args)]
struct LabelsArgs {
    /// Agents that have all of these: `role=web,zone=eu`; `agent=NAME` and `app=NAME` may be among them; `*` for all agents
    #[arg(long, value_name = "K=V,…")]
    labels: Selector,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
struct ShowArguments {
    /// Its revision
    #[arg(group = "which")]
    revision: Option<u64>,
    /// The present one of agents with these labels; `*` for that of all agents
    #[arg(long, value_name = "K=V,…", group = "which")]
    labels: Option<Selector>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Set(arguments) => set::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::History { labels, output, server } => {
            let client = Client::of(&server)?;
            let answer = block_on(history(&client, &labels.labels))?;
            print_rows(&mut console::stdout(), output.output, &zone(), &answer.configurations)?;
            Ok(ExitCode::Good)
        }
        Command::Show(arguments) => show(&arguments),
        Command::Rollback { labels, to, server } => {
            let client = Client::of(&server)?;
            let back = RollBack { labels: selected(&labels.labels), revision: to };
            let answer: ConfigurationAnswer =
                block_on(async { Ok(client.post(&["configurations", "rollback"], &back).await?) })?;
            print_answer(&mut console::stdout(), &answer)?;
            Ok(ExitCode::Good)
        }
        Command::Withdraw { labels, server } => {
            let client = Client::of(&server)?;
            let withdrawal = Withdrawal { labels: selected(&labels.labels) };
            let answer: WithdrawalAnswer =
                block_on(async { Ok(client.post(&["configurations", "withdraw"], &withdrawal).await?) })?;
            console::note(&format!(
                "the configuration of agents with `{}` is withdrawn; {} had it",
                labels.labels,
                agents(answer.agents)
            ));
            Ok(ExitCode::Good)
        }
    }
}

async fn history(client: &Client, labels: &Selector) -> Result<Configurations> {
    let parameters = ConfigurationParameters { labels: labels.to_string() };
    Ok(client.get(&["configurations", "history"], &parameters).await?)
}

fn show(arguments: &ShowArguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let configuration: Configuration = block_on(async {
        let revision = match (arguments.revision, &arguments.labels) {
            (Some(revision), _) => revision,
            (None, labels) => present(&client, labels.as_ref().context("clap asks for one of both")?).await?,
        };
        Ok(client.get(&["configurations", &revision.to_string()], &()).await?)
    })?;
    let mut out = console::stdout();
    match arguments.output.output {
        // As it is, so that it can be changed and set again.
        Format::Text => out.write_all(configuration.text.as_bytes())?,
        Format::Json => json_line(&mut out, &configuration)?,
        Format::Csv => print_rows(&mut out, Format::Csv, &zone(), &[configuration.entry])?,
    }
    Ok(ExitCode::Good)
}

async fn present(client: &Client, labels: &Selector) -> Result<u64> {
    let history = history(client, labels).await?;
    let newest = history.configurations.first().map(|newest| newest.revision);
    newest.ok_or_else(|| {
        let what = format!("there is no configuration for agents with `{labels}`");
        Advised { what, hint: "`weir config status` lists all of them".to_owned() }.into()
    })
}

/// The difference on standard output, what was done beside it.
fn print_answer(out: &mut dyn Write, answer: &ConfigurationAnswer) -> Result<()> {
    for line in answer.diff.lines() {
        writeln!(out, "{}", crate::output::printable(line))?;
    }
    console::note(&summary(answer));
    Ok(())
}

fn summary(answer: &ConfigurationAnswer) -> String {
    let agents = agents(answer.agents);
    match (&answer.configuration, answer.changed) {
        (None, true) => format!("this is good, and would be new for {agents}; nothing was changed"),
        (None, false) => format!("this is good, and what {agents} should run already; nothing was changed"),
        (Some(entry), true) => {
            format!(
                "revision {} for agents with `{}`: {agents}",
                entry.revision,
                selector_text(&entry.labels)
            )
        }
        (Some(entry), false) => format!("{agents} should run this already, as revision {}", entry.revision),
    }
}

fn agents(number: u64) -> String {
    match number {
        1 => "1 agent".to_owned(),
        number => format!("{number} agents"),
    }
}

impl Row for ConfigurationEntry {
    const COLUMNS: &'static [Column] = &[
        right("revision"),
        left("labels"),
        left("made"),
        left("made_by"),
        right("bytes"),
        right("restores"),
        left("note"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![
            self.revision.to_string(),
            selector_text(&self.labels),
            local_text(self.made.0, zone),
            self.made_by.clone(),
            self.bytes.to_string(),
            number_or(self.restores, ""),
            self.note.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;

    use super::*;

    pub(super) fn entry(revision: u64, restores: Option<u64>) -> ConfigurationEntry {
        ConfigurationEntry {
            revision,
            labels: [("role".to_owned(), "web".to_owned())].into(),
            hash: "5".repeat(64),
            bytes: 44,
            made: Timestamp::from_micros(1_700_000_000_123_000).into(),
            made_by: "admin".to_owned(),
            note: "read the new logs".to_owned(),
            restores,
        }
    }

    #[test]
    fn a_history_as_a_table() {
        let everybody = ConfigurationEntry { labels: [].into(), note: String::new(), ..entry(3, Some(1)) };
        let mut out = anstream::StripStream::new(Vec::new());
        print_rows(&mut out, Format::Text, &Zone::utc(), &[everybody, entry(2, None)])
            .expect("memory takes it");
        insta::assert_snapshot!(String::from_utf8(out.into_inner()).expect("is text"));
    }

    #[test]
    fn what_was_done_is_said() {
        let check = |configuration: Option<ConfigurationEntry>, changed, agents, expected: &str| {
            let answer = ConfigurationAnswer { configuration, changed, agents, diff: String::new() };
            assert_eq!(summary(&answer), expected);
        };
        check(None, true, 3, "this is good, and would be new for 3 agents; nothing was changed");
        check(None, false, 1, "this is good, and what 1 agent should run already; nothing was changed");
        check(Some(entry(4, None)), true, 0, "revision 4 for agents with `role=web`: 0 agents");
        check(Some(entry(4, None)), false, 1, "1 agent should run this already, as revision 4");
    }

    #[test]
    fn a_difference_moves_no_cursor() {
        let diff = "--- revision 1\n+++ new\n@@ -1 +1 @@\n-a\n+\u{1b}[2J\n".to_owned();
        let answer = ConfigurationAnswer { configuration: None, changed: true, agents: 0, diff };
        let mut out = Vec::new();
        print_answer(&mut out, &answer).expect("memory takes it");
        assert!(String::from_utf8(out).expect("is text").ends_with("\n-a\n+\\u{1b}[2J\n"));
    }

    #[test]
    fn which_agents_has_to_be_said() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(subcommand)]
            command: Command,
        }
        let check = |arguments: &str, legal: bool| {
            let line = ["config"].into_iter().chain(arguments.split_whitespace());
            let line = <Line as clap::Parser>::try_parse_from(line);
            assert_eq!(line.is_ok(), legal, "{arguments}: {line:?}");
        };
        check("set --labels role=web agent.yaml", true);
        check("set --labels * agent.yaml --note why --dry-run", true);
        check("set --labels agent=web-1,app=shop -", true);
        check("set agent.yaml", false);
        check("set --labels role=web", false);
        check("set --labels role agent.yaml", false);
        check("set --labels role= agent.yaml", false);
        check("history --labels *", true);
        check("history", false);
        check("rollback --labels role=web --to 3", true);
        check("rollback", false);
        check("withdraw --labels role=web", true);
        check("withdraw", false);
        check("show 3", true);
        check("show --labels *", true);
        check("show", false);
        check("show 3 --labels *", false);
        check("show three", false);
    }
}
