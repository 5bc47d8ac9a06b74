//! `weir agent`: what runs on the nodes, and what operators see of it.

mod check;
mod key;
mod list;
mod run;
mod show;
mod trial;

use std::io::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;
use weir_server::api::{Agent, AgentLog, AgentLogParameters, RevokeAgent};

use super::block_on;
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::printable;

/// Collects on this machine what a server keeps, and looks after the agents of a server.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read files and send what they say, each line once
    Run(run::Arguments),
    /// Ask the agent on this machine how it is, or try what inputs would read here
    ///
    /// Ends with exit code 1 if anything is wrong.
    Check(check::Arguments),
    /// Make, list and revoke the keys with which nodes become agents
    Key(key::Arguments),
    /// List the agents of a server, and how each of them is
    List(list::Arguments),
    /// Show one agent with what it reads
    Show(show::Arguments),
    /// Print what a connected agent has logged last
    Logs {
        /// Its name
        agent: String,
        /// How many lines at most, up to 1000
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
        lines: u32,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Refuse an agent from now on; its node has to join anew
    Revoke {
        /// Its name
        agent: String,
        /// Why, for whoever looks later
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Refuse an agent from now on, and give its name to whoever comes next
    Forget {
        /// Its name
        agent: String,
        #[command(flatten)]
        server: ClientArgs,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Key(arguments) => key::run(arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Logs { agent, lines, server } => logs(&agent, lines, &server),
        Command::Revoke { agent, note, server } => {
            let client = Client::of(&server)?;
            let path = ["agents", &agent, "revoke"];
            let revoked: Agent = block_on(async { Ok(client.post(&path, &RevokeAgent { note }).await?) })?;
            console::note(&format!("agent `{}` is out", revoked.entry.agent));
            Ok(ExitCode::Good)
        }
        Command::Forget { agent, server } => {
            let client = Client::of(&server)?;
            block_on(async { Ok(client.delete(&["agents", &agent]).await?) })?;
            console::note(&format!("agent `{agent}` is out and forgotten"));
            Ok(ExitCode::Good)
        }
    }
}

fn logs(agent: &str, lines: u32, server: &ClientArgs) -> Result<ExitCode> {
    let client = Client::of(server)?;
    let parameters = AgentLogParameters { lines: Some(lines) };
    let log: AgentLog = block_on(async { Ok(client.get(&["agents", agent, "log"], &parameters).await?) })?;
    let mut out = console::stdout();
    log.lines.iter().try_for_each(|line| writeln!(out, "{}", printable(line)))?;
    Ok(ExitCode::Good)
}
