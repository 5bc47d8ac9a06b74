use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::retry::Attempts;
use weir_model::Timestamp;
use weir_server::api::{Hit, TailGap, TailParameters};

use super::{OutputArgs, block_on, moment, zone};
use crate::client::{Client, ClientArgs, ClientError, backoff};
use crate::output::{self, HitPrinter};
use crate::{console, sse};

/// Shows what comes into a stream as soon as it is durable, until it is interrupted. Goes on by itself after weir
/// was restarted.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The stream without prefix and suffix: through weir's own doors the name of the app
    stream: String,
    /// Which events; all, if absent. One that begins with `-` stands behind `--`, after all options
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
    server: ClientArgs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    block_on(tail(arguments))
}

async fn tail(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let clock = SystemClock;
    let zone = zone();
    let since = arguments.since.as_deref().map(|text| moment(text, &zone)).transpose()?;
    let query = Some(arguments.query.join(" ")).filter(|query| !query.is_empty());
    let path = ["tail", &arguments.stream];
    let wanted = TailParameters {
        q: query.clone(),
        since: since.map(|since| since.to_string()),
        zone: None,
        limit: arguments.limit,
    };
    let printer = HitPrinter::new(arguments.output.output, zone);
    let mut screen = Screen { printer, shown: Shown::default(), limit: arguments.limit };
    // Without an end: whoever looks at a tail ends it.
    let delays_anew = || backoff(Attempts::Unlimited).delays(rand::rng());
    let mut delays = delays_anew();
    let mut begun = None;
    let mut told = false;
    loop {
        let lost = match client.stream(&path, &screen.shown.rest_of(&wanted, begun)).await {
            Ok(pieces) => {
                begun.get_or_insert_with(|| Timestamp::from(clock.now()));
                delays = delays_anew();
                told = false;
                screen.follow(pieces).await?
            }
            Err(error) => Some(error),
        };
        if screen.is_full() {
            return Ok(ExitCode::Good);
        }
        let again = lost.as_ref().map_or(Some(Duration::ZERO), |error| error.retry_after(begun.is_some()));
        match (again.zip(delays.next()), lost) {
            (Some((asked_for, own)), _) => {
                if !std::mem::replace(&mut told, true) {
                    console::note("-- the connection to weir is lost; trying again --");
                }
                clock.sleep(asked_for.max(own)).await;
            }
            (None, Some(error)) => return console::of_query(Err(error), query.as_deref()),
            (None, None) => return Ok(ExitCode::Failure),
        }
    }
}

/// What the tail writes to.
struct Screen {
    printer: HitPrinter,
    shown: Shown,
    limit: Option<u64>,
}

/// What was shown, so that after a broken connection nothing is shown twice and nothing is left out.
#[derive(Debug, Default)]
struct Shown {
    count: u64,
    newest: Option<Timestamp>,
    /// Receipts and ids, back to twice the overlap.
    recent: BTreeSet<(Timestamp, String)>,
}

/// How far before the newest event a new connection begins: the partitions of a stream do not come in step.
const OVERLAP: Duration = Duration::from_secs(2);

impl Screen {
    /// Whether as much was shown as was asked for: a connection that was made anew may bring more than that.
    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.shown.count >= limit)
    }

    /// Shows what comes until that is enough or the connection ends; answers what broke it, if it did not end
    /// in peace.
    async fn follow(
        &mut self,
        mut pieces: BoxStream<'_, Result<Bytes, ClientError>>,
    ) -> Result<Option<ClientError>> {
        let mut parser = sse::Parser::default();
        loop {
            let piece = match pieces.try_next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            };
            let mut out = console::stdout();
            for event in parser.push(&piece) {
                self.show(&mut out, &event)?;
            }
            out.flush()?;
            if self.is_full() {
                return Ok(None);
            }
        }
    }

    fn show(&mut self, out: &mut dyn Write, event: &sse::Event) -> Result<()> {
        if self.is_full() {
            return Ok(());
        }
        match event.name.as_str() {
            "" | "message" => {
                let hit: Hit = serde_json::from_str(&event.data).context("read an event of the tail")?;
                if self.shown.note(&hit) {
                    self.printer.print(out, &hit)?;
                }
            }
            "gap" => {
                let TailGap { events, reason, .. } =
                    serde_json::from_str(&event.data).context("read a gap of the tail")?;
                let events = events.map_or_else(|| "some".to_owned(), output::count);
                console::note(&format!("-- {events} events not shown: {reason} --"));
            }
            "waiting" => {
                console::note("-- the stream does not exist yet; waiting for its first event --");
            }
            _ => {}
        }
        Ok(())
    }
}

impl Shown {
    /// Whether the event is to be shown: it was not shown before.
    fn note(&mut self, hit: &Hit) -> bool {
        let received = hit.received.0;
        if !self.recent.insert((received, hit.id.clone())) {
            return false;
        }
        let newest = self.newest.map_or(received, |newest| newest.max(received));
        self.newest = Some(newest);
        self.recent = self.recent.split_off(&(newest.saturating_sub(2 * OVERLAP), String::new()));
        self.count += 1;
        true
    }

    /// How to go on after a connection that was first made at `begun`.
    fn rest_of(&self, wanted: &TailParameters, begun: Option<Timestamp>) -> TailParameters {
        let since = match self.newest {
            Some(newest) => Some(newest.saturating_sub(OVERLAP).to_string()),
            None => wanted.since.clone().or_else(|| begun.map(|begun| begun.to_string())),
        };
        // What comes again counts too.
        let limit = wanted.limit.map(|limit| limit.saturating_sub(self.count) + self.recent.len() as u64);
        TailParameters { since, limit, ..wanted.clone() }
    }
}

#[cfg(test)]
mod tests {
    use weir_server::api::Time;

    use super::*;
    use crate::output::{Format, Zone};

    fn hit(id: &str, seconds: i64) -> Hit {
        let time = Time(Timestamp::from_micros(seconds * 1_000_000));
        Hit {
            id: id.to_owned(),
            stream: "shop_logs".to_owned(),
            time,
            received: time,
            content: serde_json::value::RawValue::from_string("{}".to_owned()).expect("it is JSON"),
        }
    }

    #[test]
    fn no_more_is_shown_than_was_asked_for() {
        let printer = HitPrinter::new(Format::Json, Zone::utc());
        let mut screen = Screen { printer, shown: Shown::default(), limit: Some(2) };
        let mut out = Vec::new();
        for id in ["a", "b", "c"] {
            let data = serde_json::to_string(&hit(id, 100)).expect("is JSON");
            screen.show(&mut out, &sse::Event { name: String::new(), data }).expect("memory takes it");
        }
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
    }

    #[test]
    fn nothing_is_shown_twice_and_nothing_left_out() {
        let mut shown = Shown::default();
        assert!(shown.note(&hit("a", 100)));
        assert!(shown.note(&hit("b", 102)));
        assert!(shown.note(&hit("late", 101)), "partitions do not come in step");
        let limit = Some(5);
        let rest = shown.rest_of(&TailParameters { limit, ..TailParameters::default() }, None);
        assert_eq!(rest.since.as_deref(), Some("1970-01-01T00:01:40Z"));
        assert_eq!(rest.limit, Some(5 - 3 + 3), "two more, and what comes again");
        for (id, seconds) in [("a", 100), ("b", 102), ("late", 101)] {
            assert!(!shown.note(&hit(id, seconds)), "{id} again");
        }
        assert!(shown.note(&hit("c", 200)));
        assert_eq!(shown.recent.len(), 1, "what will not come again is forgotten");
        assert_eq!(shown.count, 4);
    }

    #[test]
    fn a_tail_that_showed_nothing_goes_on_where_it_began() {
        let begun = Some(Timestamp::from_micros(0));
        let since = |since: Option<&str>| {
            let since = since.map(str::to_owned);
            Shown::default().rest_of(&TailParameters { since, ..TailParameters::default() }, begun).since
        };
        assert_eq!(since(None).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(since(Some("5m")).as_deref(), Some("5m"));
    }
}
