//! The state of an instance, for commands that need no server.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use rustix::process::geteuid;
use weir_foundation::settings::{Environment, Problems};

use super::SettingsArgs;
use crate::console::Advised;
use crate::settings::{Role, Settings, StateSettings};

/// Where it is.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct StateArgs {
    /// Data directory of `weir up` or `weir server` on this machine
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The YAML file with the settings of `weir up` or `weir server`, which say where the instance is kept
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl StateArgs {
    /// The settings of whoever serves it.
    pub(super) fn settings(&self) -> Result<Settings, Problems> {
        let Self { data_dir, config } = self.clone();
        let given = SettingsArgs { data_dir, config, ..SettingsArgs::default() };
        given.given(Role::Up, &Environment::of_process()).read().settings
    }
}

/// Fails where it belongs to another user, who could not use it any more if files of ours were beside it. Whether one is
/// there at all.
pub(super) fn is_ours(state: &StateSettings) -> Result<bool> {
    let StateSettings::Directory(directory) = state else { return Ok(true) };
    let found = match directory.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(anyhow::Error::from(error).context(format!("look at `{}`", directory.display())));
        }
    };
    if found.uid() == geteuid().as_raw() {
        return Ok(true);
    }
    Err(anyhow::Error::from(Advised {
        what: format!("the folder of the state, {state}, belongs to another user"),
        hint: format!("run this as the user with the id {}", found.uid()),
    }))
}
