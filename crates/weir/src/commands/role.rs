//! `weir producer` and `weir consumer`: a role in a process of its own.

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;

use super::{SettingsArgs, life};
use crate::compose;
use crate::console::{self, Advised};
use crate::settings::Role;

/// A role in a process of its own shares Kafka with the others. Without `--config` the variables of barito-flow
/// (`BARITO_*`) are enough: then it behaves as barito-flow did.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Log more (accepted for the sake of older service files)
    #[arg(short = 'V', long)]
    verbose: bool,
}

/// A role of barito-flow that there is no more; whatever its flags were.
#[derive(Debug, Args)]
pub(crate) struct Gone {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

pub(crate) fn consumer_gcs(_: &Gone) -> ExitCode {
    let gone = Advised {
        what: "there is no delivery to Google Cloud Storage".to_owned(),
        hint: "`weir consumer` delivers to Elasticsearch or OpenSearch; both can keep snapshots in buckets"
            .to_owned(),
    };
    console::report(&gone.into());
    ExitCode::Configuration
}

pub(crate) fn producer(arguments: &Arguments) -> Result<ExitCode> {
    life::run(Role::Producer, &arguments.settings, compose::producer)
}

pub(crate) fn consumer(arguments: &Arguments) -> Result<ExitCode> {
    life::run(Role::Consumer, &arguments.settings, compose::consumer)
}
