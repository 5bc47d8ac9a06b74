//! `weir agent`: what runs on the nodes.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::{Environment, FlagValue};

use super::life;
use crate::compose;
use crate::console;
use crate::settings::AgentSettings;

/// Collects on this machine what a server keeps.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read files and send what they say, each line once
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Settings file: what is read, and where it is sent
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the agent keeps how far it is [default: weir-agent-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the server takes agents [default: http://127.0.0.1:8083]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Command::Run(arguments) = &arguments.command;
    let environment = Environment::of_process();
    let data_dir = arguments.data_dir.as_ref().map(|path| path.display().to_string());
    let flags =
        [("data_dir", "--data-dir", data_dir), ("agent.server", "--server", arguments.server.clone())];
    let flag = |(path, flag, value): (_, _, Option<String>)| Some(FlagValue { path, flag, value: value? });
    let flags: Vec<_> = flags.into_iter().filter_map(flag).collect();
    let host = host().context("find out what this machine is called")?;
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

/// As the kernel knows it.
fn host() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned())
}
