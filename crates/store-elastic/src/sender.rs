//! The one task that sends documents and hands out verdicts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tracing::{debug, error, warn};
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::health::Progress;
use weir_foundation::supervise::DrainToken;

use crate::bulk::{self, Bulk};
use crate::client::{self, Call, Item};
use crate::http::{Http, HttpError};
use crate::metrics::ElasticMetrics;
use crate::queues::{Ending, Queues, Troubled};
use crate::section::IndexMode;

/// Sends what is due until the process drains or the store is gone.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) queues: Arc<Queues>,
    pub(crate) http: Arc<Http>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: ElasticMetrics,
    pub(crate) health: Progress,
    pub(crate) mode: IndexMode,
    pub(crate) closed: watch::Receiver<()>,
    /// Whether the health says that something is wrong.
    pub(crate) complained: bool,
}

/// A bulk with what came back for it.
struct Sent {
    bulk: Bulk,
    outcome: Result<client::Bulk, HttpError>,
    took: Duration,
}

enum Event {
    Ended,
    Answered(Box<Sent>),
    Look,
}

/// How long an index may be refused for want of room before the store counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer to documents has some tens of bytes for each, more for those in error.
const LARGEST_ANSWER: usize = 32 << 20;

impl Sender {
    pub(crate) async fn run(mut self, drain: DrainToken) {
        let mut flying = FuturesUnordered::new();
        loop {
            let now = self.clock.monotonic();
            self.queues.close_due(now);
            while let Some(bulk) = self.queues.start(now) {
                flying.push(send(Arc::clone(&self.http), Arc::clone(&self.clock), self.mode, bulk));
                // What waited behind it may be next.
                self.queues.close_due(now);
            }
            self.report(now, flying.len());
            let due = self.queues.next_due(now);
            let event = tokio::select! {
                biased;
                () = drain.draining() => Event::Ended,
                _ = self.closed.changed() => Event::Ended,
                Some(sent) = flying.next(), if !flying.is_empty() => Event::Answered(Box::new(sent)),
                () = self.queues.work.notified() => Event::Look,
                () = until(&*self.clock, due), if due.is_some() => Event::Look,
            };
            match event {
                Event::Ended => return,
                Event::Answered(sent) => self.settle(*sent),
                Event::Look => {}
            }
        }
    }

    /// Gives verdicts to those who wait, and what has none back to the queue.
    fn settle(&self, sent: Sent) {
        let Sent { bulk, outcome, took } = sent;
        let now = self.clock.monotonic();
        let label = match &outcome {
            Ok(client::Bulk::Items(_)) => "answered",
            Ok(client::Bulk::TooLarge) => "too-large",
            Ok(client::Bulk::Broken(_)) => "broken",
            Ok(client::Bulk::Denied { .. }) => "denied",
            Ok(client::Bulk::Away { .. }) => "away",
            Err(_) => "unanswered",
        };
        self.metrics.request(label, took, bulk.body.len());
        let (again, ending) = match outcome {
            Ok(client::Bulk::Items(items)) => self.settle_items(&bulk, items),
            Ok(client::Bulk::TooLarge) => {
                self.split(&bulk, "413: the document is larger than the store takes", "data_too_large")
            }
            Ok(client::Bulk::Broken(reason)) => self.split(&bulk, &reason, "undefined_error"),
            Ok(client::Bulk::Denied { status, reason }) => {
                self.alarm(&bulk, status, &reason);
                self.repeat(&bulk, format!("{status}: {reason}"))
            }
            Ok(client::Bulk::Away { status, reason }) => self.repeat(&bulk, format!("{status}: {reason}")),
            Err(error) => {
                self.metrics.unanswered();
                self.repeat(&bulk, chain(&error).to_string())
            }
        };
        if let Ending::Trouble { reason } = &ending {
            warn!(index = %bulk.index, documents = bulk.documents(), reason, "documents were not taken, trying again");
        } else {
            self.health.advanced();
        }
        self.queues.finish(&bulk.index, bulk.size(), again, ending, now);
    }

    fn settle_items(&self, bulk: &Bulk, items: Vec<Item>) -> (Vec<Bulk>, Ending) {
        let mut stored = 0;
        let mut known = 0;
        let mut open = vec![false; items.len()];
        let mut trouble = None;
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Item::Stored { status } => {
                    bulk.stored(place);
                    if status == 409 { known += 1 } else { stored += 1 }
                }
                Item::Rejected { status, reason, label } => {
                    debug!(index = %bulk.index, status, reason, "a document was refused");
                    self.metrics.documents("rejected", label, 1);
                    bulk.rejected(place, format!("{status}: {reason}"), label);
                }
                Item::Denied { status, reason, label } => {
                    if trouble.is_none() {
                        self.alarm(bulk, status, &reason);
                    }
                    self.metrics.documents("retried", label, 1);
                    open[place] = true;
                    trouble = Some(format!("{status}: {reason}"));
                }
                Item::Away { status, reason, label } => {
                    self.metrics.documents("retried", label, 1);
                    open[place] = true;
                    trouble.get_or_insert_with(|| format!("{status}: {reason}"));
                }
            }
        }
        self.metrics.documents("stored", "", stored);
        self.metrics.documents("known", "", known);
        let Some(reason) = trouble else { return (Vec::new(), Ending::Progress) };
        (self.rebuilt(bulk, bulk.select(self.level(), |place| open[place])), Ending::Trouble { reason })
    }

    /// Both halves again; of one document nothing is left to halve.
    fn split(&self, bulk: &Bulk, reason: &str, label: &'static str) -> (Vec<Bulk>, Ending) {
        if bulk.documents() > 1 {
            return match bulk.halves(self.level()) {
                Ok(halves) => (halves.into_iter().filter(Bulk::is_wanted).collect(), Ending::Progress),
                Err(error) => (self.rebuilt(bulk, Err(error)), Ending::Progress),
            };
        }
        self.metrics.documents("rejected", label, 1);
        bulk.rejected(0, reason.to_owned(), label);
        (Vec::new(), Ending::Progress)
    }

    fn repeat(&self, bulk: &Bulk, reason: String) -> (Vec<Bulk>, Ending) {
        let again = if bulk.is_wanted() { vec![bulk.again()] } else { Vec::new() };
        (again, Ending::Trouble { reason })
    }

    /// Nothing is lost by a body that can not be read back, since the whole bulk can be sent again.
    fn rebuilt(&self, whole: &Bulk, part: Result<Bulk, bulk::Unreadable>) -> Vec<Bulk> {
        let part = part.unwrap_or_else(|error| {
            error!(index = %whole.index, error = %chain(&error), "sending all of a bulk again");
            whole.again()
        });
        if part.documents() > 0 { vec![part] } else { Vec::new() }
    }

    fn level(&self) -> u32 {
        self.queues.limits().gzip_level
    }

    fn alarm(&self, bulk: &Bulk, status: u16, reason: &str) {
        self.metrics.denied();
        error!(index = %bulk.index, status, reason, "weir may not write here; events wait until it may");
    }

    fn report(&mut self, now: Instant, flying: usize) {
        let (bytes, sending) = self.queues.load();
        self.metrics.load(bytes, sending);
        self.health.pending(flying as u64);
        let troubled = self.queues.troubled();
        let Some(Troubled { index, since, reason }) = troubled.first() else {
            if std::mem::take(&mut self.complained) {
                self.health.recovered();
            }
            return;
        };
        self.complained = true;
        let others = troubled.len() - 1;
        let message = match others {
            0 => format!("`{index}` does not take documents: {reason}"),
            _ => format!("`{index}` and {others} others do not take documents: {reason}"),
        };
        match now.saturating_duration_since(*since) >= PATIENCE || !is_passing(reason) {
            true => self.health.failed(message),
            false => self.health.degraded(message),
        }
    }
}

/// Too many requests: what a store under load says all the time.
fn is_passing(reason: &str) -> bool {
    reason.starts_with("429")
}

async fn send(http: Arc<Http>, clock: Arc<dyn Clock>, mode: IndexMode, bulk: Bulk) -> Sent {
    let started = clock.monotonic();
    let outcome = match mode {
        _ if !bulk.is_wanted() => {
            Ok(client::Bulk::Items(vec![Item::Stored { status: 409 }; bulk.documents()]))
        }
        IndexMode::Daily | IndexMode::DataStream => {
            let call = Call::bulk(bulk.body.clone(), bulk.encoding);
            http.ask(&call, LARGEST_ANSWER).await.map(|answer| client::read_bulk(&answer, bulk.documents()))
        }
        IndexMode::Single => send_single(&http, &bulk).await,
    };
    let took = clock.monotonic().saturating_duration_since(started);
    Sent { bulk, outcome, took }
}

/// The body is an action line and a document, of which the path says the one and the body the other.
async fn send_single(http: &Http, bulk: &Bulk) -> Result<client::Bulk, HttpError> {
    let unreadable = || Ok(client::Bulk::Broken("the document could not be read back".to_owned()));
    let Ok(plain) = bulk.plain() else { return unreadable() };
    let Some((id, document)) = client::single_parts(&plain) else { return unreadable() };
    let call = Call::single(&bulk.index, &id, document, client::Encoding::Plain);
    http.ask(&call, LARGEST_ANSWER).await.map(|answer| client::read_single(&answer))
}

async fn until(clock: &dyn Clock, due: Option<Instant>) {
    let left = due.map(|due| due.saturating_duration_since(clock.monotonic())).unwrap_or_default();
    if !left.is_zero() {
        clock.sleep(left).await;
    }
}
