use std::io::Write;
use std::pin::pin;

use anyhow::{Context as _, Result};
use clap::Args;
use futures_util::TryStreamExt;
use weir_foundation::exit::ExitCode;
use weir_server::api::{Hit, TailGap, TailParameters};

use super::{OutputArgs, block_on, moment, zone};
use crate::client::{Client, ServerArgs};
use crate::output::{self, HitPrinter};
use crate::{console, sse};

/// Shows what comes into a stream as soon as it is durable, until it is interrupted.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The stream without prefix and suffix: through weir's own doors the name of the app
    stream: String,
    /// Which events; all, if absent. One that begins with `-` stands behind `--`
    query: Vec<String>,
    /// Start with what was received at this time: an age like `5m`, a date, or a time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    block_on(tail(arguments))
}

async fn tail(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::new(&arguments.server)?;
    let zone = zone();
    let since = arguments.since.as_deref().map(|text| moment(text, &zone)).transpose()?;
    let query = Some(arguments.query.join(" ")).filter(|query| !query.is_empty());
    let parameters = TailParameters { q: query.clone(), since, zone: None, limit: arguments.limit };
    let path = ["tail", &arguments.stream];
    let mut pieces = pin!(console::of_query(client.stream(&path, &parameters).await, query.as_deref())?);
    let mut parser = sse::Parser::default();
    let mut printer = HitPrinter::new(arguments.output.output, zone);
    let mut shown = 0;
    while let Some(piece) = pieces.try_next().await? {
        let mut out = console::stdout();
        for event in parser.push(&piece) {
            shown += show(&mut out, &mut printer, &event)?;
        }
        out.flush()?;
    }
    match arguments.limit {
        Some(limit) if shown >= limit => Ok(ExitCode::Good),
        _ => {
            console::note("weir ended the tail: it is shutting down");
            Ok(ExitCode::Failure)
        }
    }
}

/// Answers how many hits it printed.
fn show(out: &mut dyn Write, printer: &mut HitPrinter, event: &sse::Event) -> Result<u64> {
    match event.name.as_str() {
        "" | "message" => {
            let hit: Hit = serde_json::from_str(&event.data).context("read an event of the tail")?;
            printer.print(out, &hit)?;
            return Ok(1);
        }
        "gap" => {
            let TailGap { events, reason, .. } =
                serde_json::from_str(&event.data).context("read a gap of the tail")?;
            let events = events.map_or_else(|| "some".to_owned(), output::count);
            console::note(&format!("-- {events} events not shown: {reason} --"));
        }
        "waiting" => console::note("-- the stream does not exist yet; waiting for its first event --"),
        _ => {}
    }
    Ok(0)
}
