use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::rest::Rest;
use super::timer::{Nap, nap};
use crate::clock::Clock;
use crate::failure::BoxError;

/// How fast a body has to come: in every `window` that is spent waiting for it at least `bytes`, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub window: Duration,
    pub bytes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { window: Duration::from_secs(30), bytes: 16 << 10 }
    }
}

/// The client did not keep the [`Pace`]. Found in the source chain of the error of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only {received} bytes of the body came within {window:?}")]
pub struct Stalled {
    pub received: u64,
    pub window: Duration,
}

/// A request's body whose reading fails when it does not keep pace.
///
/// Only the time counts in which somebody waits for the client: a handler that does not read for a while is
/// not the client's fault.
///
/// What of it was not read when it is dropped goes to its [`Rest`].
pub(super) struct PacedBody {
    /// Absent once nothing more is to come of it.
    body: Option<Incoming>,
    rest: Option<Arc<Rest>>,
    pace: Pace,
    clock: Arc<dyn Clock>,
    /// Set up while the client is waited for.
    waiting: Option<Waiting>,
    /// How long the client was waited for in the current window, before the current wait.
    waited: Duration,
    /// Bytes that came in the current window.
    received: u64,
}

struct Waiting {
    since: Instant,
    /// Ends with the window.
    nap: Nap,
}

impl PacedBody {
    pub(super) fn new(body: Incoming, pace: Pace, clock: Arc<dyn Clock>, rest: Option<Arc<Rest>>) -> Self {
        Self { body: Some(body), rest, pace, clock, waiting: None, waited: Duration::ZERO, received: 0 }
    }

    fn poll_pace(&mut self, context: &mut Context<'_>) -> Poll<Stalled> {
        loop {
            let left = self.pace.window.saturating_sub(self.waited);
            let waiting = self.waiting.get_or_insert_with(|| Waiting {
                since: self.clock.monotonic(),
                nap: nap(Arc::clone(&self.clock), left),
            });
            ready!(waiting.nap.as_mut().poll(context));
            if self.received < self.pace.bytes {
                return Poll::Ready(Stalled { received: self.received, window: self.pace.window });
            }
            (self.received, self.waited, self.waiting) = (0, Duration::ZERO, None);
        }
    }

    fn came(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
        if let Some(waiting) = self.waiting.take() {
            self.waited += self.clock.monotonic().saturating_duration_since(waiting.since);
        }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.came(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                self.body = None;
                Poll::Ready(end.map(|outcome| outcome.map_err(BoxError::from)))
            }
            Poll::Pending => {
                let stalled = ready!(self.poll_pace(context));
                self.body = None;
                Poll::Ready(Some(Err(stalled.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        if let (Some(body), Some(rest)) = (self.body.take(), &self.rest)
            && !body.is_end_stream()
        {
            rest.discard(body);
        }
    }
}

impl fmt::Debug for PacedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBody").field("received", &self.received).finish_non_exhaustive()
    }
}
