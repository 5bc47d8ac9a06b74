//! Which node is asked next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use url::Url;

/// The nodes, one after the other, those that failed left out for a while. They may become others.
#[derive(Debug)]
pub(crate) struct Nodes {
    state: Mutex<State>,
}

/// A node, and what every request to it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

#[derive(Debug)]
struct State {
    next: usize,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    target: Arc<Target>,
    condition: Condition,
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
    pub(crate) fn new(targets: Vec<Target>) -> Self {
        let nodes = Self { state: Mutex::new(State { next: 0, nodes: Vec::new() }) };
        nodes.replace(targets);
        nodes
    }

    /// From now on these are asked. One that was there before is the same, with its failures.
    pub(crate) fn replace(&self, targets: Vec<Target>) {
        let mut state = self.state();
        let nodes = targets.into_iter().map(|target| {
            let known = state.nodes.iter().find(|node| *node.target == target);
            match known {
                Some(Node { target, condition }) => {
                    Node { target: Arc::clone(target), condition: *condition }
                }
                None => Node { target: Arc::new(target), condition: Condition::default() },
            }
        });
        state.nodes = nodes.collect();
    }

    /// The next node. If all are left out, the one that comes back first: somebody has to be asked. Nothing if
    /// there are no nodes.
    pub(crate) fn pick(&self, now: Instant) -> Option<Arc<Target>> {
        let mut state = self.state();
        let count = state.nodes.len();
        let in_turn = (0..count).map(|step| (state.next + step) % count);
        let away_until = |node: &usize| state.nodes[*node].condition.away_until;
        let picked = in_turn.clone().find(|node| away_until(node).is_none_or(|until| until <= now));
        let picked = picked.or_else(|| in_turn.min_by_key(away_until))?;
        let target = Arc::clone(&state.nodes[picked].target);
        state.next = (picked + 1) % count;
        Some(target)
    }

    /// The node did not answer, or said that it can not.
    pub(crate) fn failed(&self, node: &Arc<Target>, now: Instant) {
        self.change(node, |Condition { failures, .. }| {
            let absence = FIRST_ABSENCE.saturating_mul(1 << failures.min(16)).min(LONGEST_ABSENCE);
            Condition { failures: failures + 1, away_until: Some(now + absence) }
        });
    }

    /// The node answered.
    pub(crate) fn answered(&self, node: &Arc<Target>) {
        self.change(node, |_| Condition::default());
    }

    /// What is heard of a node that is none any more counts for nothing.
    fn change(&self, node: &Arc<Target>, change: impl FnOnce(Condition) -> Condition) {
        let mut state = self.state();
        if let Some(known) = state.nodes.iter_mut().find(|known| Arc::ptr_eq(&known.target, node)) {
            known.condition = change(known.condition);
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

    fn target(name: &str) -> Target {
        Target { url: format!("http://{name}:9200/").parse().expect("is a URL"), headers: HeaderMap::new() }
    }

    fn nodes(names: &[&str]) -> Nodes {
        Nodes::new(names.iter().copied().map(target).collect())
    }

    fn start() -> Instant {
        ManualClock::new(std::time::UNIX_EPOCH).monotonic()
    }

    fn name(picked: Option<Arc<Target>>) -> String {
        picked.and_then(|target| target.url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    fn picks<const N: usize>(nodes: &Nodes, now: Instant) -> [String; N] {
        [(); N].map(|()| name(nodes.pick(now)))
    }

    /// The node of this name.
    fn node(nodes: &Nodes, name: &str) -> Arc<Target> {
        let state = nodes.state();
        let known = state.nodes.iter().find(|known| known.target.url.host_str() == Some(name));
        Arc::clone(&known.expect("it is there").target)
    }

    #[test]
    fn all_are_asked_in_turn() {
        assert_eq!(picks(&nodes(&["a", "b", "c"]), start()), ["a", "b", "c", "a", "b"]);
        assert!(nodes(&[]).pick(start()).is_none());
    }

    #[test]
    fn one_that_failed_is_left_out_for_longer_and_longer() {
        let nodes = nodes(&["a", "b"]);
        let start = start();
        let second = |seconds: u64| start + Duration::from_secs(seconds);
        let a = node(&nodes, "a");
        nodes.failed(&a, second(0));
        assert_eq!(picks(&nodes, second(0)), ["b", "b", "b"]);
        assert_eq!(picks(&nodes, second(1)), ["a"]);
        nodes.failed(&a, second(1));
        assert_eq!([picks::<1>(&nodes, second(1)), picks(&nodes, second(2))].concat(), ["b", "b"]);
        assert_eq!(picks(&nodes, second(3)), ["a"]);
        nodes.answered(&a);
        nodes.failed(&a, second(3));
        assert_eq!(picks(&nodes, second(3)), ["b"]);
        assert_eq!(picks(&nodes, second(4)), ["a"], "what it did before it answered is forgotten");
    }

    #[test]
    fn if_all_failed_the_first_to_come_back_is_asked() {
        let nodes = nodes(&["a", "b"]);
        let (now, a, b) = (start(), node(&nodes, "a"), node(&nodes, "b"));
        nodes.failed(&a, now);
        nodes.failed(&a, now);
        nodes.failed(&b, now);
        assert_eq!(picks(&nodes, now), ["b"]);
    }

    #[test]
    fn nodes_that_stay_keep_their_failures_and_others_are_forgotten() {
        let nodes = nodes(&["a", "b"]);
        let (now, a, b) = (start(), node(&nodes, "a"), node(&nodes, "b"));
        nodes.failed(&b, now);
        nodes.replace(["b", "c"].map(target).into());
        assert_eq!(picks(&nodes, now), ["c", "c"]);
        nodes.failed(&a, now);
        nodes.answered(&b);
        assert_eq!(picks(&nodes, now), ["b", "c"]);
    }
}
