//! The order of the batches of each source in one session.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use weir_model::SourceId;

/// Sources that are remembered while nothing of them is under way; of others the journal is asked again.
const REMEMBERED: usize = 100_000;

/// Where a batch is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) source: SourceId,
    pub(super) start: u64,
    pub(super) end: u64,
    /// How far the source is stored by what the agent was answered.
    pub(super) stored: u64,
}

/// Where the next stretch of a source has to begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Next {
    /// The journal knows how far it is stored.
    #[default]
    Unknown,
    At(u64),
}

/// What is to be done about a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    AskJournal,
    /// It comes next.
    Store,
    /// Some of it is stored, or all: up to there.
    Known(u64),
    /// Something before it is missing.
    Wait,
}

impl Stretch {
    pub(super) fn step(self, next: Next) -> Step {
        match next {
            Next::Unknown => Step::AskJournal,
            Next::At(next) => self.step_at(next),
        }
    }

    /// By the journal's mark. The agent may be ahead of it: it has had answers that were forgotten here, or that another
    /// producer gave.
    pub(super) fn first_step(self, mark: Option<u64>) -> Step {
        self.step_at(mark.unwrap_or(0).max(self.stored))
    }

    fn step_at(self, next: u64) -> Step {
        match self.start.cmp(&next) {
            Ordering::Less => Step::Known(next),
            Ordering::Equal => Step::Store,
            Ordering::Greater => Step::Wait,
        }
    }
}

/// The batches of each source, `B`, of which one at a time is under way.
#[derive(Debug)]
pub(super) struct Sources<B>(HashMap<SourceId, Line<B>>);

#[derive(Debug)]
struct Line<B> {
    next: Next,
    busy: bool,
    waiting: VecDeque<B>,
}

impl<B> Default for Sources<B> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<B> Default for Line<B> {
    fn default() -> Self {
        Self { next: Next::Unknown, busy: false, waiting: VecDeque::new() }
    }
}

impl<B> Sources<B> {
    /// The batch, if it may be taken on now. Otherwise it waits for the one before it.
    pub(super) fn arrives(&mut self, source: SourceId, batch: B) -> Option<(B, Next)> {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&source) {
            self.0.retain(|_, line| line.busy);
        }
        let line = self.0.entry(source).or_default();
        if line.busy {
            line.waiting.push_back(batch);
            return None;
        }
        line.busy = true;
        Some((batch, line.next))
    }

    /// A batch of the source was dealt with. Gives the one behind it.
    pub(super) fn finished(&mut self, source: SourceId, next: Next) -> Option<(B, Next)> {
        let line = self.0.get_mut(&source)?;
        line.next = next;
        let waiting = line.waiting.pop_front();
        line.busy = waiting.is_some();
        waiting.map(|batch| (batch, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_batch_of_a_source_is_under_way() {
        let mut sources = Sources::default();
        let (a, b) = (SourceId(1), SourceId(2));
        assert_eq!(sources.arrives(a, "a1"), Some(("a1", Next::Unknown)));
        assert_eq!(sources.arrives(a, "a2"), None);
        assert_eq!(sources.arrives(b, "b1"), Some(("b1", Next::Unknown)), "others do not wait for it");
        assert_eq!(sources.arrives(a, "a3"), None);
        assert_eq!(sources.finished(a, Next::At(10)), Some(("a2", Next::At(10))));
        assert_eq!(sources.finished(a, Next::At(20)), Some(("a3", Next::At(20))));
        assert_eq!(sources.finished(a, Next::At(30)), None);
        assert_eq!(sources.arrives(a, "a4"), Some(("a4", Next::At(30))));
    }

    #[test]
    fn a_stretch_is_stored_where_the_one_before_it_ended() {
        let stretch = Stretch { source: SourceId(1), start: 10, end: 20, stored: 5 };
        let check = |next, step| assert_eq!(stretch.step(next), step, "{next:?}");
        check(Next::Unknown, Step::AskJournal);
        check(Next::At(10), Step::Store);
        check(Next::At(9), Step::Wait);
        check(Next::At(15), Step::Known(15));
        check(Next::At(90), Step::Known(90));
        let check = |mark, stored, step| {
            let stretch = Stretch { stored, ..stretch };
            assert_eq!(stretch.first_step(mark), step, "{mark:?} {stored}");
        };
        check(None, 10, Step::Store);
        check(None, 9, Step::Wait);
        check(Some(9), 10, Step::Store);
        check(Some(9), 0, Step::Wait);
        check(Some(10), 0, Step::Store);
        check(Some(11), 10, Step::Known(11));
        check(Some(20), 0, Step::Known(20));
    }
}
