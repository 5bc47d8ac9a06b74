use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::clock::SystemClock;
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::Environment;
use weir_model::{IllegalName, IndexPrefix};
use weir_store_elastic::Template;

use super::{SettingsArgs, block_on, refuse};
use crate::console;
use crate::settings::Role;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the index template, before the first event comes
    ///
    /// Under the template texts can be searched by words and counted as a whole, nothing is taken for a date but
    /// `@timestamp`, and a value that does not fit its field is kept and not indexed. Without it fields are guessed
    /// from the first events. Indices that are there stay as they are.
    Setup(SetupArguments),
}

#[derive(Debug, Args)]
struct SetupArguments {
    /// Only for the indices of this prefix; may be repeated [default: every index that is named like weir's]
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    prefix: Vec<IndexPrefix>,
    /// Print what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// The YAML file with the settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Setup(arguments) => setup(arguments),
    }
}

fn prefix(text: &str) -> Result<IndexPrefix, IllegalName> {
    IndexPrefix::new(text)
}

fn setup(arguments: SetupArguments) -> Result<ExitCode> {
    let SetupArguments { prefix, dry_run, config } = arguments;
    let given = SettingsArgs { config, ..SettingsArgs::default() };
    let outcome = given.given(Role::Setup, &Environment::of_process()).read();
    outcome.notices.iter().for_each(|notice| console::note(notice));
    let settings = match outcome.settings {
        Ok(settings) => settings.elasticsearch,
        Err(problems) => return Ok(refuse(&problems, Role::Setup)),
    };
    let template = Template::new(&settings, &prefix);
    let mut out = console::stdout();
    if dry_run {
        writeln!(out, "PUT {}\n{:#}", template.path(), template.body)?;
        return Ok(ExitCode::Good);
    }
    block_on(async { Ok(template.put(&settings, Arc::new(SystemClock)).await?) })?;
    writeln!(out, "wrote the index template `{}` for {}", template.name, template.patterns.join(", "))?;
    if prefix.is_empty() && settings.namespace.is_empty() {
        console::note(
            "indices of others with such names get it too: `--prefix` or `elasticsearch.namespace` narrows it",
        );
    }
    Ok(ExitCode::Good)
}
