//! Measures weir from outside and prints a Markdown table: `bench [file of log lines …]`.
//!
//! The load generator runs on the same machine, so events per second are what the whole chain managed here;
//! CPU-seconds are those of the measured process alone, from /proc.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints its figures and measures with the machine's own clock"
)]

mod child;
mod data;
mod load;
mod report;
mod scenarios;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let lines = data::lines(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        report::head();
        scenarios::door(&lines).await?;
        scenarios::door_at_rate(&lines).await?;
        scenarios::door_rest(&lines).await?;
        scenarios::whole(&lines).await?;
        scenarios::idle().await
    })
}
