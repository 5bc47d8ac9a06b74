mod init;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;

use super::{SettingsArgs, life};
use crate::compose;
use crate::settings::Role;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the instance and print the token of its first operator, this once
    ///
    /// Without it `weir up` or `weir server` makes the instance when it starts for the first time, and leaves the token in
    /// `operator.token` of its data directory. Ends with exit code 1 if there is an instance already.
    Init(init::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.command {
        None => life::run(Role::Server, &arguments.settings, compose::server),
        Some(Command::Init(arguments)) => init::run(arguments),
    }
}
