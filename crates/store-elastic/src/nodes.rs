//! Which node is asked next.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The nodes by their place in the settings, one after the other, those that failed left out for a while.
#[derive(Debug)]
pub(crate) struct Nodes {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: usize,
    nodes: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Condition {
    /// In a row.
    failures: u32,
    away_until: Option<Instant>,
}

/// A node that fails again and again is left out twice as long each time, up to the longest.
const FIRST_ABSENCE: Duration = Duration::from_secs(1);
const LONGEST_ABSENCE: Duration = Duration::from_secs(60);

impl Nodes {
    pub(crate) fn new(count: usize) -> Self {
        Self { state: Mutex::new(State { next: 0, nodes: vec![Condition::default(); count] }) }
    }

    /// The next node. If all are left out, the one that comes back first: somebody has to be asked.
    pub(crate) fn pick(&self, now: Instant) -> usize {
        let mut state = self.state();
        let count = state.nodes.len();
        let in_turn = (0..count).map(|step| (state.next + step) % count);
        let is_there = |node: &usize| state.nodes[*node].away_until.is_none_or(|until| until <= now);
        let picked = in_turn.clone().find(is_there);
        let picked = picked.or_else(|| in_turn.min_by_key(|node| state.nodes[*node].away_until)).unwrap_or(0);
        state.next = (picked + 1) % count.max(1);
        picked
    }

    /// The node did not answer, or said that it can not.
    pub(crate) fn failed(&self, node: usize, now: Instant) {
        if let Some(condition) = self.state().nodes.get_mut(node) {
            let absence = FIRST_ABSENCE.saturating_mul(1 << condition.failures.min(16)).min(LONGEST_ABSENCE);
            *condition = Condition { failures: condition.failures + 1, away_until: Some(now + absence) };
        }
    }

    /// The node answered.
    pub(crate) fn answered(&self, node: usize) {
        if let Some(condition) = self.state().nodes.get_mut(node) {
            *condition = Condition::default();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::clock::{Clock, ManualClock};

    use super::*;

    #[test]
    fn all_are_asked_in_turn() {
        let nodes = Nodes::new(3);
        let now = ManualClock::new(std::time::UNIX_EPOCH).monotonic();
        assert_eq!([0; 5].map(|_| nodes.pick(now)), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn one_that_failed_is_left_out_for_longer_and_longer() {
        let nodes = Nodes::new(2);
        let start = ManualClock::new(std::time::UNIX_EPOCH).monotonic();
        let second = |seconds: u64| start + Duration::from_secs(seconds);
        nodes.failed(0, start);
        assert_eq!([0; 3].map(|_| nodes.pick(start)), [1, 1, 1]);
        assert_eq!(nodes.pick(second(1)), 0);
        nodes.failed(0, second(1));
        assert_eq!([1, 2].map(|at| nodes.pick(second(at))), [1, 1]);
        assert_eq!(nodes.pick(second(3)), 0);
        nodes.answered(0);
        nodes.failed(0, second(3));
        assert_eq!(nodes.pick(second(3)), 1);
        assert_eq!(nodes.pick(second(4)), 0, "what it did before it answered is forgotten");
    }

    #[test]
    fn if_all_failed_the_first_to_come_back_is_asked() {
        let nodes = Nodes::new(2);
        let now = ManualClock::new(std::time::UNIX_EPOCH).monotonic();
        nodes.failed(0, now);
        nodes.failed(0, now);
        nodes.failed(1, now);
        assert_eq!(nodes.pick(now), 1);
    }
}
