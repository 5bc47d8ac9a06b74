//! The commands, one file each.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod dead;
pub(crate) mod demo;
pub(crate) mod groups;
pub(crate) mod indices;
pub(crate) mod journal;
pub(crate) mod man;
pub(crate) mod query;
pub(crate) mod role;
pub(crate) mod send;
pub(crate) mod streams;
pub(crate) mod tail;
pub(crate) mod up;

use anyhow::{Context as _, Result};
use clap::Args;
use weir_foundation::clock::{Clock, SystemClock};
use weir_model::Timestamp;
use weir_store::query::parse_time;

use crate::console::Misused;
use crate::output::{Format, Zone};

/// How a list is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Runs a command that talks to a running weir: one thread is enough for it.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime of the command")?;
    let outcome = runtime.block_on(work);
    // Reading standard input may be stuck in a thread that nobody can end.
    runtime.shutdown_background();
    outcome
}

/// A time as people write it, as the API reads it.
fn moment(text: &str, zone: &Zone) -> Result<String> {
    let now = Timestamp::from(SystemClock.now());
    match parse_time(text, now, zone.time_zone()) {
        Ok(time) => Ok(time.to_string()),
        Err(error) => Err(Misused(error.to_string()).into()),
    }
}

fn zone() -> Zone {
    Zone::local()
}
