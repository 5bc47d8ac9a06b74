use std::collections::{BTreeMap, BTreeSet};

use weir_model::{EventId, Position, StreamName, StreamPartition};

use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterKey};

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
    ) -> Vec<(DeadLetterKey, DeadLetter)> {
        let later = |key: &DeadLetterKey| after.is_none_or(|after| *key > after);
        let wanted = |letter: &DeadLetter| {
            filter.stream.as_ref().is_none_or(|stream| *stream == letter.position.partition.stream)
                && filter.code.as_ref().is_none_or(|code| *code == letter.reason.code)
        };
        self.kept
            .iter()
            .filter(|(key, letter)| later(key) && wanted(letter))
            .take(limit)
            .map(|(key, letter)| (*key, letter.clone()))
            .collect()
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
}
