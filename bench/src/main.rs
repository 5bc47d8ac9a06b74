//! Measures weir from outside and prints a report: `bench [--quick] [--only SCENARIO] [FILE of log lines …]`.
//!
//! The load generator runs on the same machine, so events per second are what the whole chain managed here;
//! CPU-seconds are those of the measured process alone, from /proc. `--quick` shows the report's form: its
//! figures are of runs too short to mean anything.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints its figures and measures with the machine's own clock"
)]

mod bars;
mod child;
mod data;
mod figures;
mod latency;
mod limits;
mod load;
mod machine;
mod pace;
mod parts;
mod report;
mod scenarios;
mod sink;

use std::time::Duration;

use crate::child::sibling;
use crate::data::{BATCH, Lines};
use crate::limits::{Limits, Samples};
use crate::machine::Machine;
use crate::report::Report;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much is measured.
#[derive(Debug)]
struct Extent {
    runs: usize,
    /// Of a run under load.
    events: usize,
    /// Of each cell of the journal's table.
    seconds: u64,
    idle_seconds: u64,
    probes: u32,
    journal_bytes: usize,
    documents: usize,
    /// Each of the physical limits.
    limit: Duration,
}

const FULL: Extent = Extent {
    runs: 3,
    events: 2_000_000,
    seconds: 4,
    idle_seconds: 30,
    probes: 500,
    journal_bytes: 10 << 30,
    documents: 4_000_000,
    limit: Duration::from_millis(500),
};

const QUICK: Extent = Extent {
    runs: 1,
    events: 20_000,
    seconds: 1,
    idle_seconds: 1,
    probes: 10,
    journal_bytes: 100 << 20,
    documents: 20_000,
    limit: Duration::from_millis(50),
};

const SCENARIOS: [&str; 14] = [
    "door", "rate", "rest", "whole", "latency", "idle", "restart", "agent", "kafka", "redis", "consumer",
    "scaling", "journal", "store",
];

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let extent = if arguments.next_if(|word| word == "--quick").is_some() { &QUICK } else { &FULL };
    let only = arguments.next_if(|word| word == "--only").and_then(|_| arguments.next());
    let files: Vec<String> = arguments.collect();
    let lines = Lines::read(&files)?;
    let mut report = Report::new(Machine::new(&std::env::temp_dir()), limits(extent, &lines)?, &lines);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for scenario in SCENARIOS.into_iter().filter(|name| only.as_deref().is_none_or(|only| only == *name)) {
        eprintln!("bench: {scenario}");
        let report = &mut report;
        runtime.block_on(async {
            match scenario {
                "door" => scenarios::door(report, extent, &lines).await,
                "rate" => scenarios::door_at_rate(report, extent, &lines).await,
                "rest" => scenarios::door_rest(report, extent, &lines).await,
                "whole" => scenarios::whole(report, extent, &lines).await,
                "latency" => latency::latency(report, extent, &lines).await,
                "idle" => scenarios::idle(report, extent).await,
                "restart" => scenarios::restart(report, extent, &lines).await,
                "agent" => scenarios::agent(report, extent, &lines).await,
                "kafka" => scenarios::kafka(report, extent, &lines).await,
                "redis" => scenarios::redis(report, extent, &lines).await,
                "consumer" => scenarios::consumer(report, extent, &lines).await,
                "scaling" => scenarios::scaling(report, extent, &lines).await,
                "journal" => parts::journal(report, extent),
                _ => parts::store(report, extent, &files),
            }
        })?;
    }
    let quick = if extent.runs == 1 { " --quick" } else { "" };
    print!("{}", report.text(&format!("scripts/bench{quick}")));
    Ok(())
}

fn limits(extent: &Extent, lines: &Lines) -> Outcome<Limits> {
    let batches = data::simple(&lines.texts, 1);
    let sent = batches[..batches.len().min(100)].concat();
    let documents = data::json_lines(&data::structured(&lines.texts)[..100])?.concat();
    let samples = Samples {
        sent: (&sent, 100 * BATCH),
        documents: (&documents, 100 * BATCH),
        batch: &batches[0],
        directory: &std::env::temp_dir(),
        weir: &sibling("weir")?,
    };
    eprintln!("bench: physical limits");
    Limits::measure(&samples, extent.limit)
}
