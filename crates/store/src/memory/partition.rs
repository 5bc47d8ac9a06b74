use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_model::{Content, Day, EventBatch, IndexPrefix, Offset, StreamPartition, Timestamp};

use crate::seam::{PartitionAudit, PositionRun, WriteRecord};
use crate::segment::FilingWindow;

/// What the store holds of one partition, by position.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    pub(super) rows: BTreeMap<RowKey, Row>,
    dropped: BTreeSet<RowKey>,
    next: u64,
    durable: u64,
}

/// Offset of the record and index of the event in it.
pub(super) type RowKey = (Offset, u32);

#[derive(Debug, Clone)]
pub(super) struct Row {
    batch: Arc<EventBatch>,
    index: u32,
    pub(super) time: Timestamp,
    pub(super) received: Timestamp,
    pub(super) day: Day,
}

impl Partition {
    /// Takes the records that it does not have; the others are the same by position.
    pub(super) fn take(&mut self, records: Vec<WriteRecord>, next: Offset, window: FilingWindow) {
        let expected = Offset(self.next);
        for record in records.into_iter().filter(|record| record.offset >= expected) {
            self.next = record.offset.next().0;
            self.insert(record, window);
        }
        self.next = self.next.max(next.0);
    }

    fn insert(&mut self, record: WriteRecord, window: FilingWindow) {
        let batch = Arc::new(record.events);
        for (index, event) in (0..).zip(batch.events()) {
            if event.content.is_err() {
                continue;
            }
            let row = Row {
                batch: Arc::clone(&batch),
                index,
                time: event.time,
                received: record.received,
                day: window.day(event.time, record.received),
            };
            self.rows.insert((record.offset, index), row);
        }
    }

    pub(super) fn next(&self) -> Offset {
        Offset(self.next)
    }

    pub(super) fn durable(&self) -> Offset {
        Offset(self.durable)
    }

    /// Whether this changed anything.
    pub(super) fn make_durable(&mut self) -> bool {
        let changed = self.durable != self.next;
        self.durable = self.next;
        changed
    }

    /// Forgets what was not durable.
    pub(super) fn forget_volatile(&mut self) {
        let durable = Offset(self.durable);
        self.rows.retain(|(offset, _), _| *offset < durable);
        self.dropped.retain(|(offset, _)| *offset < durable);
        self.next = self.durable;
    }

    /// Removes the rows that `doomed` names and answers how many there were.
    pub(super) fn drop_rows(&mut self, doomed: impl Fn(&Row) -> bool) -> u64 {
        let gone: Vec<RowKey> =
            self.rows.iter().filter(|(_, row)| doomed(row)).map(|(key, _)| *key).collect();
        self.rows.retain(|_, row| !doomed(row));
        let count = gone.len() as u64;
        self.dropped.extend(gone);
        count
    }

    pub(super) fn audit(&self, partition: &StreamPartition) -> PartitionAudit {
        PartitionAudit {
            partition: partition.clone(),
            next: Offset(self.next),
            durable: Offset(self.durable),
            stored: self.rows.len() as u64,
            dropped: self.dropped.len() as u64,
        }
    }

    pub(super) fn runs(&self, from: Offset) -> Vec<PositionRun> {
        let mut runs: Vec<PositionRun> = Vec::new();
        for (offset, index) in self.rows.range((from, 0)..).map(|(key, _)| *key) {
            match runs.last_mut() {
                Some(run) if run.offset == offset && run.first_index + run.count == index => run.count += 1,
                _ => runs.push(PositionRun { offset, first_index: index, count: 1 }),
            }
        }
        runs
    }
}

impl Row {
    pub(super) fn prefix(&self) -> &IndexPrefix {
        self.batch.index_prefix()
    }

    pub(super) fn content(&self) -> Content<'_> {
        self.batch
            .get(self.index)
            .and_then(|event| event.content.ok())
            .expect("a row is made of an event that has a content")
    }
}
