use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::watch;

use super::Limits;
use crate::clock::Clock;

/// What one connection is doing. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    state: watch::Sender<State>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Requests whose answer has not been sent completely.
    in_hand: usize,
    stage: Stage,
    /// When a request last began or ended.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Used,
}

impl Activity {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        let state = State { in_hand: 0, stage: Stage::New, since: clock.monotonic() };
        Self { state: watch::Sender::new(state), clock: Arc::clone(clock) }
    }

    /// A request is in hand until the guard is dropped.
    pub(super) fn begin(&self) -> InHand {
        let now = self.clock.monotonic();
        self.state.send_modify(|state| {
            *state = State { in_hand: state.in_hand + 1, stage: Stage::Used, since: now };
        });
        InHand { state: self.state.clone(), clock: Arc::clone(&self.clock) }
    }

    /// Waits until the connection has had no request in hand for longer than the limits allow.
    pub(super) async fn idle(&self, clock: &dyn Clock, limits: &Limits) {
        let mut changes = self.state.subscribe();
        loop {
            let state = *changes.borrow_and_update();
            let limit = match (state.in_hand, state.stage) {
                (0, Stage::New) => limits.first_request,
                (0, Stage::Used) => limits.idle,
                // Looked at again later, so that the timer is not set up anew for each request.
                (_, _) => {
                    clock.sleep(limits.idle).await;
                    continue;
                }
            };
            match left(limit, state.since, clock) {
                Duration::ZERO => return,
                left => clock.sleep(left).await,
            }
        }
    }

    /// Waits until no request is in hand.
    pub(super) async fn unused(&self) {
        let mut changes = self.state.subscribe();
        changes.wait_for(|state| state.in_hand == 0).await.expect("the sender lives as long as `self`");
    }
}

fn left(limit: Duration, since: Instant, clock: &dyn Clock) -> Duration {
    limit.saturating_sub(clock.monotonic().saturating_duration_since(since))
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InHand {
    state: watch::Sender<State>,
    clock: Arc<dyn Clock>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        self.state.send_modify(|state| {
            *state = State { in_hand: state.in_hand - 1, stage: Stage::Used, since: now };
        });
    }
}

/// The body of an answer; its request is in hand until it is sent.
#[derive(Debug)]
pub(super) struct HeldBody<B> {
    body: B,
    _held: InHand,
}

impl<B> HeldBody<B> {
    pub(super) fn new(body: B, held: InHand) -> Self {
        Self { body, _held: held }
    }
}

impl<B: Body + Unpin> Body for HeldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
