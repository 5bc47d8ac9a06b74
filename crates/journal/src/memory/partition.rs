use weir_model::{Offset, Record, StreamPartition};

use crate::seam::{Loss, LossReason, PartitionBounds, ReadBatch, ReadBudget, StoredRecord};

/// One slot per offset from `start` on.
#[derive(Debug, Default)]
pub(super) struct Partition {
    start: u64,
    start_event: u64,
    slots: Vec<Slot>,
    end_event: u64,
}

#[derive(Debug)]
enum Slot {
    Record(StoredRecord),
    Damaged { first_event: u64, events: u64 },
    Cut { event: u64 },
}

impl Slot {
    fn first_event(&self) -> u64 {
        match self {
            Self::Record(stored) => stored.first_event.unwrap_or(0),
            Self::Damaged { first_event, .. } => *first_event,
            Self::Cut { event } => *event,
        }
    }
}

impl Partition {
    pub(super) fn push(&mut self, record: Record) -> Offset {
        let offset = Offset(self.end());
        let first_event = self.end_event;
        self.end_event += u64::from(record.events.unwrap_or(0));
        self.slots.push(Slot::Record(StoredRecord { offset, first_event: Some(first_event), record }));
        offset
    }

    pub(super) fn end(&self) -> u64 {
        self.start + self.slots.len() as u64
    }

    pub(super) fn start(&self) -> (u64, u64) {
        (self.start, self.start_event)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &StoredRecord> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Record(stored) => Some(stored),
            Slot::Damaged { .. } | Slot::Cut { .. } => None,
        })
    }

    pub(super) fn bounds(&self, partition: StreamPartition) -> PartitionBounds {
        PartitionBounds {
            partition,
            start: Offset(self.start),
            end: Offset(self.end()),
            start_event: Some(self.start_event),
            end_event: Some(self.end_event),
            bytes: Some(self.records().map(|stored| stored.record.value.len() as u64).sum()),
        }
    }

    fn slot(&self, offset: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(offset.checked_sub(self.start)?).ok()?)
    }

    /// The number of events before an offset, where it is known.
    pub(super) fn event_at(&self, offset: u64) -> Option<u64> {
        if offset >= self.end() {
            return Some(self.end_event);
        }
        self.slot(offset).map(Slot::first_event)
    }

    pub(super) fn expire(&mut self, start: u64) {
        let start = start.clamp(self.start, self.end());
        self.start_event = self.event_at(start).unwrap_or(self.end_event);
        let gone = usize::try_from(start - self.start).unwrap_or(usize::MAX);
        self.slots.drain(..gone.min(self.slots.len()));
        self.start = start;
    }

    pub(super) fn damage(&mut self, offset: u64) {
        let index = offset.checked_sub(self.start).and_then(|index| usize::try_from(index).ok());
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { return };
        if let Slot::Record(stored) = slot {
            let first_event = stored.first_event.unwrap_or(0);
            let events = u64::from(stored.record.events.unwrap_or(0));
            *slot = Slot::Damaged { first_event, events };
        }
    }

    /// Moves the end up to `to`.
    pub(super) fn cut(&mut self, to: u64) {
        while self.end() < to {
            self.slots.push(Slot::Cut { event: self.end_event });
        }
    }

    /// `event` is the number of events before `from`, if known.
    pub(super) fn read(
        &self,
        partition: &StreamPartition,
        from: u64,
        event: Option<u64>,
        budget: ReadBudget,
    ) -> ReadBatch {
        let mut batch = ReadBatch {
            partition: partition.clone(),
            records: Vec::new(),
            losses: Vec::new(),
            next: Offset(from),
        };
        if from < self.start {
            let event = if from == 0 { Some(0) } else { event };
            let events = event.map(|event| self.start_event.saturating_sub(event));
            let to = Offset(self.start);
            batch.losses.push(Loss { from: Offset(from), to, events, reason: LossReason::Expired });
            batch.next = to;
        }
        let mut left = budget.bytes;
        while let Some(slot) = self.slot(batch.next.0) {
            match slot {
                Slot::Record(stored) => {
                    let size = stored.record.value.len();
                    let fits = size <= left && batch.records.len() < budget.records;
                    if !fits && !batch.records.is_empty() {
                        break;
                    }
                    left = left.saturating_sub(size);
                    batch.records.push(stored.clone());
                }
                Slot::Damaged { events, .. } => lose(&mut batch, Some(*events), LossReason::Damaged),
                Slot::Cut { .. } => lose(&mut batch, None, LossReason::Cut),
            }
            batch.next = batch.next.next();
        }
        batch
    }
}

/// Adds the next offset to the last loss, or to a new one.
fn lose(batch: &mut ReadBatch, events: Option<u64>, reason: LossReason) {
    let (from, to) = (batch.next, batch.next.next());
    match batch.losses.last_mut().filter(|loss| loss.to == from && loss.reason == reason) {
        Some(loss) => {
            loss.to = to;
            loss.events = loss.events.zip(events).map(|(a, b)| a + b);
        }
        None => batch.losses.push(Loss { from, to, events, reason }),
    }
}
