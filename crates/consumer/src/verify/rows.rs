use std::iter::Peekable;
use std::vec::IntoIter;

use weir_journal::ReadBatch;
use weir_model::{Offset, Record, StreamPartition};
use weir_store::{IndexStore, InspectError, Inventory, PositionRun};

/// How the store's rows of a partition are learnt.
pub(super) enum Rows<'a> {
    Listed(Listed<'a>),
    Asked(Asked<'a>),
}

impl Rows<'_> {
    /// The runs of what was read, below `to`, in order. Not to be asked for the same offsets twice.
    pub(super) async fn of(
        &mut self,
        read: &ReadBatch,
        to: Offset,
    ) -> Result<Vec<PositionRun>, InspectError> {
        match self {
            Self::Listed(rows) => rows.below(to).await,
            Self::Asked(rows) => rows.of(read, to).await,
        }
    }

    /// The first of those at and behind `end`, as far as that can be asked.
    pub(super) async fn beyond(&self, end: Offset) -> Result<Vec<PositionRun>, InspectError> {
        match self {
            Self::Listed(rows) => rows.store.positions(rows.partition, end).await,
            Self::Asked(_) => Ok(Vec::new()),
        }
    }
}

/// The store lists its rows, a page at a time: it may answer with less than all there are.
pub(super) struct Listed<'a> {
    store: &'a dyn Inventory,
    partition: &'a StreamPartition,
    page: Peekable<IntoIter<PositionRun>>,
    from: Offset,
    more: bool,
}

impl<'a> Listed<'a> {
    pub(super) fn new(store: &'a dyn Inventory, partition: &'a StreamPartition, from: Offset) -> Self {
        Self { store, partition, page: Vec::new().into_iter().peekable(), from, more: true }
    }

    /// The runs of offsets below `to` that were not given before.
    async fn below(&mut self, to: Offset) -> Result<Vec<PositionRun>, InspectError> {
        let mut runs = Vec::new();
        loop {
            while let Some(run) = self.page.next_if(|run| run.offset < to) {
                runs.push(run);
            }
            if self.page.peek().is_some() || !self.more || self.from >= to {
                return Ok(runs);
            }
            let page = self.store.positions(self.partition, self.from).await?;
            self.more = !page.is_empty();
            self.from = page.last().map_or(self.from, |last| last.offset.next());
            self.page = page.into_iter().peekable();
        }
    }
}

/// The store is asked whether it has the rows that there should be, and one behind those of each record, that there
/// should not be.
pub(super) struct Asked<'a> {
    store: &'a dyn IndexStore,
    partition: &'a StreamPartition,
}

/// Positions in one question: each is an id of some dozen bytes, here and on the wire.
const AT_ONCE: u32 = 50_000;

impl<'a> Asked<'a> {
    pub(super) fn new(store: &'a dyn IndexStore, partition: &'a StreamPartition) -> Self {
        Self { store, partition }
    }

    async fn of(&self, read: &ReadBatch, to: Offset) -> Result<Vec<PositionRun>, InspectError> {
        let records = read.records.iter().filter(|stored| stored.offset < to);
        let wanted = records.map(|stored| PositionRun {
            offset: stored.offset,
            first_index: 0,
            count: decoded(&stored.record).saturating_add(1),
        });
        let mut held = Vec::new();
        for question in questions(wanted) {
            held.extend(self.store.holds(self.partition, &question).await?);
        }
        Ok(held)
    }
}

/// As many events as there can be rows: none of a record that can not be decoded, whatever was counted.
fn decoded(record: &Record) -> u32 {
    let events = weir_wire::decode_record(record.format, &record.value, record.received);
    events.map_or(0, |events| u32::try_from(events.len()).unwrap_or(u32::MAX))
}

/// The same positions in pieces of at most [`AT_ONCE`].
fn questions(wanted: impl Iterator<Item = PositionRun>) -> Vec<Vec<PositionRun>> {
    let mut questions = Vec::new();
    let (mut question, mut room) = (Vec::new(), AT_ONCE);
    for mut run in wanted {
        while run.count > 0 {
            let part = PositionRun { count: run.count.min(room), ..run };
            question.push(part);
            room -= part.count;
            run.first_index += part.count;
            run.count -= part.count;
            if room == 0 {
                questions.push(std::mem::take(&mut question));
                room = AT_ONCE;
            }
        }
    }
    questions.extend(Some(question).filter(|question| !question.is_empty()));
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_never_too_long_and_nothing_is_left_out() {
        let run = |offset, first_index, count| PositionRun { offset: Offset(offset), first_index, count };
        let check = |wanted: &[PositionRun], expected: &[&[PositionRun]]| {
            assert_eq!(questions(wanted.iter().copied()), expected, "{wanted:?}");
        };
        check(&[], &[]);
        check(&[run(1, 0, 2), run(2, 0, 1)], &[&[run(1, 0, 2), run(2, 0, 1)]]);
        check(&[run(1, 0, AT_ONCE)], &[&[run(1, 0, AT_ONCE)]]);
        let rest = AT_ONCE - 1;
        check(
            &[run(1, 0, 1), run(2, 0, AT_ONCE + 1)],
            &[&[run(1, 0, 1), run(2, 0, rest)], &[run(2, rest, 2)]],
        );
    }
}
