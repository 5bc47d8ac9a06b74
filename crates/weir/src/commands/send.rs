use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use futures_util::FutureExt;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::supervise::Signals;

use super::block_on;
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output;
use crate::send::{Again, BadText, Job, Limits, NDJSON, Report, Sender, Source};

/// Sends lines and says how many were acknowledged, which means that they are durable.
///
/// A file that is sent again, for example after a failure, is not stored twice as long as weir remembers its
/// batches. Ends with exit code 1 if not every line was acknowledged. The first Ctrl-C ends the reading and waits for
/// the last answers, a second one ends at once.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which app the events are of
    #[arg(long, value_name = "NAME")]
    app: String,
    /// Files; `-` or nothing is standard input
    files: Vec<PathBuf>,
    /// A line that is a JSON object is that event, any other line is text (the default)
    #[arg(long, group = "kind")]
    auto: bool,
    /// Every line is a JSON object
    #[arg(long, group = "kind")]
    json: bool,
    /// Every line is text, whatever it looks like
    #[arg(long, group = "kind")]
    text: bool,
    /// Send lines that are not UTF-8, with what can not be read replaced by U+FFFD
    #[arg(long)]
    lossy: bool,
    /// Store files again that were sent before
    #[arg(long)]
    again: bool,
    /// Events of a batch at most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_events: u32,
    #[command(flatten)]
    server: ClientArgs,
}

/// Bytes of a batch; a line that is longer is sent alone.
const BATCH_BYTES: usize = 2 << 20;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let signals = Signals::listen().context("listen to signals")?;
    let (report, outcome, took) = block_on(async {
        let clock = SystemClock;
        let began = clock.monotonic();
        let sources = sources(&arguments.files);
        let stop = signals.first().map(|_signal| ());
        let (report, outcome) = Sender::new(&client, &clock, job(arguments)).send(&sources, stop).await;
        Ok((report, outcome, clock.monotonic() - began))
    })?;
    for rejected in &report.named {
        let place = format!("{}:{}: {}", rejected.source, rejected.line, rejected.reason);
        console::note(&output::printable(&place));
    }
    std::io::Write::write_all(&mut console::stdout(), summary(&report, took).as_bytes())?;
    outcome?;
    Ok(if report.is_complete() { ExitCode::Good } else { ExitCode::Failure })
}

fn sources(files: &[PathBuf]) -> Vec<Source> {
    match files {
        [] => vec![Source::Standard],
        files => files.iter().cloned().map(Source::named).collect(),
    }
}

fn job(arguments: &Arguments) -> Job {
    let media_type = match (arguments.json, arguments.text) {
        (true, _) => NDJSON,
        (_, true) => "text/plain",
        (false, false) => "application/octet-stream",
    };
    Job {
        app: arguments.app.clone(),
        media_type,
        bad_text: if arguments.lossy { BadText::Replace } else { BadText::Reject },
        limits: Limits { events: arguments.batch_events as usize, bytes: BATCH_BYTES },
        run: rand::random(),
        again: if arguments.again { Again::Yes } else { Again::No },
    }
}

fn summary(report: &Report, took: Duration) -> String {
    let Report { sent, acknowledged, known, rejected, unanswered, refused, cut_short, .. } = report;
    let rate = (*acknowledged as f64 / took.as_secs_f64().max(0.001)) as u64;
    let mut text = format!(
        "{} of {} events acknowledged in {:.1} s ({}/s)\n",
        output::count(*acknowledged),
        output::count(*sent),
        took.as_secs_f64(),
        output::count(rate),
    );
    if *known > 0 {
        text += &format!("{} of them were stored before and are not stored twice\n", output::count(*known));
    }
    if *rejected > 0 {
        text += &format!("{} rejected\n", output::count(*rejected));
    }
    if *unanswered > 0 {
        text += &format!("{} without an answer; send again to be sure\n", output::count(*unanswered));
    }
    if *refused > 0 {
        text += &format!("{} not stored\n", output::count(*refused));
    }
    if *cut_short {
        text += "not everything was read; send again for the rest\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_is_certain() {
        let report = Report {
            sent: 12_000,
            acknowledged: 11_000,
            known: 2_000,
            rejected: 3,
            unanswered: 900,
            refused: 97,
            cut_short: true,
            ..Report::default()
        };
        insta::assert_snapshot!(summary(&report, Duration::from_millis(2_500)), @r"
        11,000 of 12,000 events acknowledged in 2.5 s (4,400/s)
        2,000 of them were stored before and are not stored twice
        3 rejected
        900 without an answer; send again to be sure
        97 not stored
        not everything was read; send again for the rest
        ");
    }
}
