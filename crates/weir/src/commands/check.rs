use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::Environment;

use super::OutputArgs;
use crate::console;
use crate::output::{Format, json_line};
use crate::settings::Given;

/// Ends with exit code 78 if anything is wrong.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The YAML file with the settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print every setting with its value and where it came from
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let given =
        Given { file: arguments.config.clone(), environment: Environment::of_process(), flags: Vec::new() };
    let outcome = given.read();
    let mut out = console::stdout();
    if arguments.explain {
        match arguments.output.output {
            Format::Text | Format::Csv => write!(out, "{}", outcome.explanation)?,
            Format::Json => json_line(&mut out, &outcome.explanation)?,
        }
    }
    match outcome.settings {
        Ok(_) if arguments.explain => Ok(ExitCode::Good),
        Ok(_) => {
            writeln!(out, "the settings are good")?;
            Ok(ExitCode::Good)
        }
        Err(problems) => {
            console::note(problems.to_string().trim_end());
            Ok(ExitCode::Configuration)
        }
    }
}
