//! Where whoever has something to keep waits for room.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// Room on the disk, by what was measured and by what was let in since.
#[derive(Debug)]
pub(super) struct Gate {
    limit: u64,
    state: Mutex<State>,
    /// Whether it is closed; told whenever there may be more room.
    changed: watch::Sender<bool>,
    /// Somebody needs room.
    asked: Notify,
    /// Whoever waits longest is the first: what is small does not pass what is large.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By the last measurement; of what was written since.
    measured: u64,
    since: u64,
    /// Of what is about to be written.
    entered: u64,
    /// Nothing is in the spool: whatever comes next may come in, or it would wait for ever.
    is_empty: bool,
    /// Bytes that somebody waits for.
    wanted: Option<u64>,
    /// The disk is full, and something shall be dropped.
    wants_drop: bool,
}

/// The spool ends.
#[derive(Debug)]
pub(super) struct GateClosed;

/// Room that was given, until it is dropped; then it counts as written.
#[derive(Debug)]
pub(super) struct Entered<'a> {
    gate: &'a Gate,
    bytes: u64,
}

/// That somebody waits, until it is dropped.
struct Waiting<'a>(&'a Gate);

/// A measurement that has begun: what is written from now on is not in it.
#[derive(Debug)]
pub(super) struct Measuring {
    before: u64,
}

impl Gate {
    /// It lets in one until it is measured for the first time.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            state: Mutex::new(State { measured: limit, ..State::default() }),
            changed: watch::Sender::new(false),
            asked: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits for room.
    pub(super) async fn enter(&self, bytes: u64) -> Result<Entered<'_>, GateClosed> {
        let mut changed = self.changed.subscribe();
        let _turn = self.turn.lock().await;
        if let Some(entered) = self.try_enter(bytes) {
            return Ok(entered);
        }
        let _waiting = Waiting::new(self, bytes);
        loop {
            let is_closed = *changed.borrow_and_update();
            if let Some(entered) = self.try_enter(bytes) {
                return Ok(entered);
            }
            if is_closed || changed.changed().await.is_err() {
                return Err(GateClosed);
            }
        }
    }

    fn try_enter(&self, bytes: u64) -> Option<Entered<'_>> {
        let mut state = self.state();
        if !state.is_empty && state.used() + bytes > self.limit {
            return None;
        }
        state.is_empty = false;
        state.entered += bytes;
        Some(Entered { gate: self, bytes })
    }

    /// Has something dropped, and waits until it is.
    pub(super) async fn ask_for_drop(&self) {
        let mut changed = self.changed.subscribe();
        changed.mark_unchanged();
        self.state().wants_drop = true;
        self.asked.notify_one();
        // A gate that is gone has nothing to say.
        drop(changed.changed().await);
    }

    /// Waits until somebody needs room.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Bytes that there is no room for.
    pub(super) fn lacks_room(&self) -> bool {
        let state = self.state();
        state.wanted.is_some_and(|wanted| !state.is_empty && state.used() + wanted > self.limit)
    }

    /// Whether something is to be dropped for a disk that is full; asked for once.
    pub(super) fn takes_drop(&self) -> bool {
        std::mem::take(&mut self.state().wants_drop)
    }

    pub(super) fn begins_measuring(&self) -> Measuring {
        Measuring { before: self.state().since }
    }

    /// So much is on the disk, and whether nothing of it is waiting.
    pub(super) fn measured(&self, measuring: &Measuring, used: u64, is_empty: bool) {
        let mut state = self.state();
        state.measured = used;
        state.since = state.since.saturating_sub(measuring.before);
        state.is_empty = is_empty && state.entered == 0;
        drop(state);
        self.changed.send_modify(|_| {});
    }

    /// Nobody waits any more; what there is room for still comes in.
    pub(super) fn close(&self) {
        self.changed.send_replace(true);
    }

    pub(super) async fn closed(&self) {
        // A gate that is gone is closed.
        drop(self.changed.subscribe().wait_for(|closed| *closed).await);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&self) -> u64 {
        self.measured.saturating_add(self.since).saturating_add(self.entered)
    }
}

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate, bytes: u64) -> Self {
        gate.state().wanted = Some(bytes);
        gate.asked.notify_one();
        Self(gate)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.entered -= self.bytes;
        state.since += self.bytes;
        // It may not have been written: then there is more room than it seems.
        if state.wanted.is_some() {
            self.gate.asked.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().wanted = None;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn measure(gate: &Gate, used: u64, is_empty: bool) {
        let measuring = gate.begins_measuring();
        gate.measured(&measuring, used, is_empty);
    }

    fn gate(used: u64) -> Gate {
        let gate = Gate::new(100);
        measure(&gate, used, false);
        gate
    }

    #[test]
    fn what_has_room_comes_in() {
        let gate = gate(40);
        let first = gate.enter(30).now_or_never().expect("there is room").expect("it is open");
        let second = gate.enter(30).now_or_never().expect("there is room").expect("it is open");
        assert!(gate.enter(1).now_or_never().is_none());
        drop((first, second));
        assert!(gate.enter(1).now_or_never().is_none(), "it is written by now");
        measure(&gate, 60, false);
        assert!(gate.enter(40).now_or_never().is_some());
    }

    /// What is written while it is measured may be in what is measured or not, and counts.
    #[test]
    fn what_comes_in_during_a_measurement_counts() {
        let gate = gate(0);
        drop(gate.enter(50).now_or_never().expect("there is room"));
        let measuring = gate.begins_measuring();
        drop(gate.enter(20).now_or_never().expect("there is room"));
        gate.measured(&measuring, 50, false);
        assert!(gate.enter(31).now_or_never().is_none());
        assert!(gate.enter(30).now_or_never().is_some());
    }

    #[test]
    fn one_comes_in_whatever_its_size_if_nothing_is_there() {
        let gate = gate(90);
        assert!(gate.enter(500).now_or_never().is_none());
        measure(&gate, 90, true);
        let entered = gate.enter(500).now_or_never().expect("it is empty").expect("it is open");
        assert!(gate.enter(1).now_or_never().is_none(), "it is not any more");
        measure(&gate, 90, true);
        assert!(gate.enter(1).now_or_never().is_none(), "the sender has not seen it yet");
        drop(entered);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_and_may_go_away() {
        let gate = gate(90);
        let mut small = Box::pin(gate.enter(5));
        {
            let mut large = Box::pin(gate.enter(50));
            assert!(large.as_mut().now_or_never().is_none());
            assert!(small.as_mut().now_or_never().is_none(), "the other one came first");
            gate.asked().await;
            assert!(gate.lacks_room());
        }
        assert!(!gate.lacks_room(), "nobody waits");
        let entered = small.await.expect("it is open");
        assert_eq!(entered.bytes, 5);
        let waits = gate.enter(50);
        let (entered, ()) = tokio::join!(waits, async {
            gate.asked().await;
            measure(&gate, 10, false);
        });
        drop(entered.expect("it is open"));
    }

    #[tokio::test]
    async fn nobody_waits_at_a_closed_gate() {
        let gate = gate(90);
        let (entered, ()) = tokio::join!(gate.enter(50), async {
            gate.asked().await;
            gate.close();
        });
        assert!(entered.is_err());
        assert!(gate.enter(50).await.is_err());
        assert!(gate.enter(10).await.is_ok(), "there is room");
        gate.closed().await;
    }

    #[tokio::test]
    async fn a_drop_is_asked_for_once() {
        let gate = gate(0);
        let ((), ()) = tokio::join!(gate.ask_for_drop(), async {
            gate.asked().await;
            assert!(gate.takes_drop() && !gate.takes_drop());
            measure(&gate, 0, false);
        });
    }
}
