//! What happens while a source is sent: a line comes, a batch is answered, or a line has waited long enough.

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use weir_foundation::clock::Clock;

use super::batch::Batch;
use super::deliver::{Answer, Undelivered};
use super::source::{Lines, Nature, RawLine};

pub(super) type Answered = (Batch, Result<Answer, Undelivered>);

pub(super) enum Next {
    Line(RawLine),
    /// The first line of the open batch has waited long enough.
    Late,
    Ended,
    Unreadable(io::Error),
    /// Whoever started this wants it to end.
    Stopped(Rest),
    Answered(Answered),
}

/// What is not read of a source because it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    Some,
}

pub(super) struct Flow<'a> {
    /// Absent once nothing more is to be read.
    lines: Option<Lines>,
    under_way: FuturesUnordered<LocalBoxFuture<'a, Answered>>,
    clock: &'a dyn Clock,
    nature: Nature,
    /// When the open batch got its first line.
    open_since: Option<Instant>,
    stopped: bool,
}

/// Batches under way at a time.
const IN_FLIGHT: usize = 4;

/// How long a line waits for others to fill its batch, where somebody may be waiting for it. The batches of a
/// file have to be cut at the same places whenever it is sent.
const PATIENCE: Duration = Duration::from_millis(200);

impl<'a> Flow<'a> {
    pub(super) fn new(lines: Lines, clock: &'a dyn Clock, nature: Nature) -> Self {
        Self {
            lines: Some(lines),
            under_way: FuturesUnordered::new(),
            clock,
            nature,
            open_since: None,
            stopped: false,
        }
    }

    pub(super) fn send(&mut self, delivery: LocalBoxFuture<'a, Answered>) {
        self.under_way.push(delivery);
    }

    /// The open batch holds something.
    pub(super) fn opened(&mut self) {
        if self.open_since.is_none() && self.nature == Nature::Live {
            self.open_since = Some(self.clock.monotonic());
        }
    }

    /// There is no open batch.
    pub(super) fn closed(&mut self) {
        self.open_since = None;
    }

    /// Nothing more is to be sent; what is under way is still answered.
    pub(super) fn stop_reading(&mut self) {
        self.lines = None;
        self.open_since = None;
    }

    /// A live source ends with what was read of it. The rest of a file can be sent another time, but only if
    /// its batches are cut where they always are.
    fn stop(&mut self) -> Rest {
        self.stopped = true;
        match (self.nature, &mut self.lines) {
            (_, None) => Rest::None,
            (Nature::Live, Some(lines)) => {
                lines.end();
                Rest::None
            }
            (Nature::Regular, Some(_)) => {
                self.stop_reading();
                Rest::Some
            }
        }
    }

    /// Waits for what happens next; nothing once the source has ended and every batch is answered.
    pub(super) async fn next(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> Option<Next> {
        let room = self.under_way.len() < IN_FLIGHT;
        let since = self.open_since.map(|since| self.clock.monotonic().saturating_duration_since(since));
        let left = PATIENCE.saturating_sub(since.unwrap_or_default());
        let reading = self.lines.is_some();
        let busy = reading || !self.under_way.is_empty();
        tokio::select! {
            biased;
            Some(answered) = self.under_way.next() => Some(Next::Answered(answered)),
            () = stop, if busy && !self.stopped => Some(Next::Stopped(self.stop())),
            () = self.clock.sleep(left), if room && since.is_some() => Some(Next::Late),
            line = read(&mut self.lines), if room && reading => Some(match line {
                Ok(Some(line)) => Next::Line(line),
                Ok(None) => {
                    self.stop_reading();
                    Next::Ended
                }
                Err(error) => {
                    self.stop_reading();
                    Next::Unreadable(error)
                }
            }),
            else => None,
        }
    }
}

/// Cancelling loses nothing.
async fn read(lines: &mut Option<Lines>) -> io::Result<Option<RawLine>> {
    match lines {
        Some(lines) => lines.next().await,
        None => Ok(None),
    }
}
