use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use weir_model::{EventId, Offset, Position, StreamName, StreamPartition};

use crate::dead_letter::{DeadLetter, DeadLetterEntry, DeadLetterFilter, DeadLetterKey};

/// Letters in the order in which they were put, and a memory of all that ever were.
#[derive(Debug, Clone, Default)]
pub(super) struct DeadLetters {
    kept: BTreeMap<DeadLetterKey, DeadLetter>,
    known: BTreeSet<Position>,
    counts: BTreeMap<StreamPartition, u64>,
    last_key: i64,
}

impl DeadLetters {
    pub(super) fn put(&mut self, letter: DeadLetter) {
        if !self.known.insert(letter.position.clone()) {
            return;
        }
        *self.counts.entry(letter.position.partition.clone()).or_default() += u64::from(letter.events);
        self.last_key += 1;
        self.kept.insert(DeadLetterKey(self.last_key), letter);
    }

    pub(super) fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Vec<(DeadLetterKey, DeadLetterEntry)> {
        self.kept
            .iter()
            .filter(|(key, letter)| after.is_none_or(|after| **key > after) && wanted(filter, letter))
            .take(limit)
            .map(|(key, letter)| (*key, letter.entry()))
            .collect()
    }

    pub(super) fn newest(&self) -> Option<DeadLetterKey> {
        (self.last_key > 0).then_some(DeadLetterKey(self.last_key))
    }

    pub(super) fn get(&self, id: &EventId) -> Option<DeadLetter> {
        self.kept.values().find(|letter| letter.position == id.0).cloned()
    }

    pub(super) fn purge(&mut self, ids: &[EventId]) -> u64 {
        let before = self.kept.len();
        self.kept.retain(|_, letter| !ids.iter().any(|id| id.0 == letter.position));
        (before - self.kept.len()) as u64
    }

    pub(super) fn counts(&self, stream: &StreamName) -> Vec<(StreamPartition, u64)> {
        self.counts
            .iter()
            .filter(|(partition, _)| partition.stream == *stream)
            .map(|(partition, count)| (partition.clone(), *count))
            .collect()
    }

    pub(super) fn kept(&self, filter: &DeadLetterFilter) -> Vec<(StreamPartition, u64)> {
        let mut kept = BTreeMap::new();
        for letter in self.kept.values().filter(|letter| wanted(filter, letter)) {
            *kept.entry(letter.position.partition.clone()).or_default() += u64::from(letter.events);
        }
        kept.into_iter().collect()
    }

    pub(super) fn kept_at(&self, partition: &StreamPartition, offsets: &Range<Offset>) -> u64 {
        let at = |position: &Position| position.partition == *partition && offsets.contains(&position.offset);
        self.kept.values().filter(|letter| at(&letter.position)).map(|letter| u64::from(letter.events)).sum()
    }
}

fn wanted(filter: &DeadLetterFilter, letter: &DeadLetter) -> bool {
    filter.stream.as_ref().is_none_or(|stream| *stream == letter.position.partition.stream)
        && filter.code.as_ref().is_none_or(|code| *code == letter.reason.code)
}
