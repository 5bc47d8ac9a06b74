use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory};
use clap_mangen::Man;
use weir_foundation::exit::ExitCode;

use crate::cli::Cli;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The directory to write them to; it is made if it is not there
    directory: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("make `{}`", directory.display()))?;
    let mut command = Cli::command();
    command.build();
    write(command, directory)?;
    Ok(ExitCode::Good)
}

/// One page for the command and for each below it: `weir.1`, `weir-query.1`, …
fn write(command: clap::Command, directory: &Path) -> Result<()> {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        write(sub.clone(), directory)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command).render(&mut page).with_context(|| format!("make the page of `{name}`"))?;
    std::fs::write(&path, page).with_context(|| format!("write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().expect("there is space");
        run(&Arguments { directory: directory.path().to_owned() }).expect("pages can be written");
        for page in ["weir.1", "weir-query.1", "weir-dead-replay.1"] {
            assert!(directory.path().join(page).exists(), "no {page}");
        }
    }
}
