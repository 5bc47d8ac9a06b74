use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    untaken: Arc<Untaken>,
    clock: Arc<dyn Clock>,
}

/// Since when the client has had a piece of an answer without asking for the next one, by answer. A piece
/// that waits for the handler, as in a tail, is not the client's fault.
#[derive(Debug, Default)]
struct Untaken(Mutex<BTreeMap<u64, Instant>>);

impl Untaken {
    fn since(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Requests that ever began.
    begun: u64,
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
        let state = State { begun: 0, in_hand: 0, stage: Stage::New, since: clock.monotonic() };
        Self { state: watch::Sender::new(state), untaken: Arc::default(), clock: Arc::clone(clock) }
    }

    /// A request is in hand until the guard is dropped.
    pub(super) fn begin(&self) -> InHand {
        let now = self.clock.monotonic();
        let mut number = 0;
        self.state.send_modify(|state| {
            number = state.begun;
            let (begun, in_hand) = (state.begun + 1, state.in_hand + 1);
            *state = State { begun, in_hand, stage: Stage::Used, since: now };
        });
        InHand { activity: self.clone(), number }
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

    /// Waits until the client has taken nothing of some answer for `limit`; notices it up to `limit` later.
    pub(super) async fn untaken(&self, clock: &dyn Clock, limit: Duration) {
        loop {
            let oldest = self.untaken.since().values().min().copied();
            match oldest.map_or(limit, |since| left(limit, since, clock)) {
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
    activity: Activity,
    number: u64,
}

impl InHand {
    fn gave(&self) {
        let now = self.activity.clock.monotonic();
        self.activity.untaken.since().insert(self.number, now);
    }

    fn asked(&self) {
        self.activity.untaken.since().remove(&self.number);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.asked();
        let now = self.activity.clock.monotonic();
        self.activity.state.send_modify(|state| {
            *state = State { in_hand: state.in_hand - 1, stage: Stage::Used, since: now, ..*state };
        });
    }
}

/// The body of an answer; its request is in hand until it is sent.
#[derive(Debug)]
pub(super) struct HeldBody<B> {
    body: B,
    held: InHand,
}

impl<B> HeldBody<B> {
    pub(super) fn new(body: B, held: InHand) -> Self {
        Self { body, held }
    }
}

impl<B: Body + Unpin> Body for HeldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.held.asked();
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(_)) = frame {
            self.held.gave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
