//! The command line: what there is, and how a command ends.

use std::ffi::OsString;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use weir_foundation::exit::ExitCode;

use crate::commands::{
    agent, app, audit, check, completions, config, dead, demo, groups, indices, journal, man, operator, pki,
    query, role, send, server, stores, streams, tail, up,
};
use crate::console::Advised;
use crate::{console, output};

/// Collects what machines emit, carries it through one durable journal, delivers it, shows it
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: accept, keep, deliver, search
    Up(Box<up::Arguments>),
    /// Run the role that accepts events, over Kafka
    #[command(alias = "p")]
    Producer(Box<role::Arguments>),
    /// Run the role that delivers, from Kafka to Elasticsearch or OpenSearch
    #[command(alias = "c")]
    Consumer(Box<role::Arguments>),
    /// Run the role that answers, over Kafka and Elasticsearch or OpenSearch
    ///
    /// The other commands ask it about what `weir consumer` delivers. It also removes indices that are older than the
    /// settings keep them.
    Server(Box<server::Arguments>),
    /// Collect on this machine what a server keeps, or look after the agents of a server
    Agent(agent::Arguments),
    /// Decide what agents run
    Config(config::Arguments),
    /// Say in whose names events are sent, and how many
    App(app::Arguments),
    /// Make, list and remove those who may change anything
    Operator(operator::Arguments),
    /// Look at the keys of the instance, or change its root
    Pki(pki::Arguments),
    /// Say what to use instead
    #[command(name = "consumer-gcs", hide = true)]
    ConsumerGcs(role::Gone),
    /// Send files or standard input, line by line
    Send(send::Arguments),
    /// Show what comes into a stream, live
    Tail(tail::Arguments),
    /// Search
    Query(query::Arguments),
    /// List the streams of the journal
    Streams(streams::Arguments),
    /// List what can be searched
    Indices(indices::Arguments),
    /// Show that everything that was accepted is accounted for
    Audit(audit::Arguments),
    /// Look at events that no store took, send them again, or remove them
    Dead(dead::Arguments),
    /// List who reads the journal, or forget a reader that is gone
    Groups(groups::Arguments),
    /// Prepare Elasticsearch or OpenSearch
    Stores(stores::Arguments),
    /// Say everything that is wrong with the settings
    Check(check::Arguments),
    /// Look into the journal
    Journal(journal::Arguments),
    /// Send the events of a small shop
    Demo(demo::Arguments),
    /// Print a script that completes commands in a shell
    Completions(completions::Arguments),
    /// Write manual pages
    Man(man::Arguments),
}

/// Runs the command that the arguments name. Prints what is wrong and what to do next.
pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(word) = negated_word(&arguments) {
        console::report(&word.into());
        return ExitCode::Usage;
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return no_command(&error),
    };
    match run(cli.command) {
        Ok(exit) => exit,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::Good,
        Err(error) => {
            console::report(&error);
            console::exit(&error)
        }
    }
}

/// A word of a query like `-healthz`, where it would be read as options: `-h` is the help.
fn negated_word(arguments: &[OsString]) -> Option<Advised> {
    let (command, arguments) = arguments.get(1..)?.split_first()?;
    let command = command.to_str().filter(|name| ["query", "tail"].contains(name))?;
    let options = arguments.iter().map_while(|argument| argument.to_str().filter(|text| *text != "--"));
    let is_word = |text: &&str| text.len() > 2 && text.starts_with('-') && !text.starts_with("--");
    let word = options.filter(is_word).find(|text| !text.starts_with("-o"))?;
    Some(Advised {
        what: format!("`{word}` would be read as options"),
        hint: format!("give options first, then the query behind `--`: `weir {command} APP -- {word}`"),
    })
}

fn no_command(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // Nobody to tell if the terminal is gone.
    error.print().ok();
    if asked_for { ExitCode::Good } else { ExitCode::Usage }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Producer(arguments) => role::producer(&arguments),
        Command::Consumer(arguments) => role::consumer(&arguments),
        Command::Server(arguments) => server::run(&arguments),
        Command::Agent(arguments) => agent::run(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::App(arguments) => app::run(arguments),
        Command::Operator(arguments) => operator::run(arguments),
        Command::Pki(arguments) => pki::run(arguments),
        Command::ConsumerGcs(arguments) => Ok(role::consumer_gcs(&arguments)),
        Command::Send(arguments) => send::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Query(arguments) => query::run(arguments),
        Command::Streams(arguments) => streams::run(&arguments),
        Command::Indices(arguments) => indices::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Dead(arguments) => dead::run(arguments),
        Command::Groups(arguments) => groups::run(arguments),
        Command::Stores(arguments) => stores::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Journal(arguments) => journal::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}

#[cfg(test)]
mod tests;
