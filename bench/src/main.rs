//! Measures weir from outside and prints a Markdown table: `bench [--only SCENARIO] [file of log lines …]`.
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
    let mut arguments = std::env::args().skip(1).peekable();
    let only = arguments.next_if(|word| word == "--only").and_then(|_| arguments.next());
    let wanted = |scenario: &str| only.as_deref().is_none_or(|only| only == scenario);
    let lines = data::lines(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        report::head();
        if wanted("door") {
            scenarios::door(&lines).await?;
        }
        if wanted("rate") {
            scenarios::door_at_rate(&lines).await?;
        }
        if wanted("rest") {
            scenarios::door_rest(&lines).await?;
        }
        if wanted("whole") {
            scenarios::whole(&lines).await?;
        }
        if wanted("idle") {
            scenarios::idle().await?;
        }
        Ok(())
    })
}
