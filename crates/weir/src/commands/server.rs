use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;

use super::{SettingsArgs, life};
use crate::compose;
use crate::settings::Role;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    life::run(Role::Server, &arguments.settings, compose::server)
}
