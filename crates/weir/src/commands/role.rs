//! `weir producer` and `weir consumer`: one role of `weir up` in a process of its own.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;

use crate::console::{self, Advised};

/// A role in a process of its own shares its journal with other processes, which the embedded one can not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where weir keeps its files
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The YAML file with the settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log more (accepted for the sake of older service files)
    #[arg(short = 'V', long)]
    verbose: bool,
}

pub(crate) fn run(role: &str, _: &Arguments) -> Result<ExitCode> {
    console::report(
        &Advised {
            what: format!("`weir {role}` needs a journal that processes can share (Kafka), which this weir does not have yet"),
            hint: "`weir up` runs all roles in one process over the embedded journal".to_owned(),
        }
        .into(),
    );
    Ok(ExitCode::Configuration)
}
