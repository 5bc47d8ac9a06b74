use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::{Environment, FlagValue};

use super::super::life;
use crate::compose;
use crate::console;
use crate::host;
use crate::settings::AgentSettings;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Settings file: what is read, and where it is sent
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the agent keeps how far it is [default: weir-agent-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// File with the access key of this node [default: $WEIR_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Where a server on this machine takes agents that have no key [default: http://127.0.0.1:8083]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let environment = Environment::of_process();
    let data_dir = arguments.data_dir.as_ref().map(|path| path.display().to_string());
    let flags = [
        ("data_dir", "--data-dir", data_dir),
        ("agent.server", "--server", arguments.server.clone()),
        ("agent.key", "--key-file", arguments.key()?),
    ];
    let flag = |(path, flag, value): (_, _, Option<String>)| Some(FlagValue { path, flag, value: value? });
    let flags: Vec<_> = flags.into_iter().filter_map(flag).collect();
    let host = host::name().context("find out what this machine is called")?;
    match AgentSettings::read(arguments.config.as_deref(), &environment, &flags, &host) {
        Ok(settings) => life::live(&settings.log, settings.drain, &[], async |process| {
            compose::agent(&settings, process).await
        }),
        Err(problems) => {
            console::note(problems.to_string().trim_end());
            Ok(ExitCode::Configuration)
        }
    }
}

impl Arguments {
    /// A file that is gone does no harm to a node that was enrolled: the settings know.
    fn key(&self) -> Result<Option<String>> {
        let Some(path) = &self.key_file else { return Ok(None) };
        match std::fs::read_to_string(path) {
            Ok(key) => Ok(Some(key.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.is_enrolled() => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("read the access key from `{}`", path.display()))
            }
        }
    }

    fn is_enrolled(&self) -> bool {
        self.data_dir.as_deref().is_some_and(weir_agent::is_enrolled)
    }
}
