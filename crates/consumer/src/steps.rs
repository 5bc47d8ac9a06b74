use std::ops::Range;

use weir_journal::{Loss, ReadBatch, StoredRecord};
use weir_model::Offset;

/// What a record is counted as beside its value: what holds it, here and decoded. Without it many small records
/// would take many times the memory that they are allowed.
pub(crate) const OVERHEAD: usize = 256;

/// Bytes that a record counts as, wherever memory is shared out.
pub(crate) fn footprint(stored: &StoredRecord) -> usize {
    stored.record.value.len() + OVERHEAD
}

/// One piece of a batch that is delivered, or tried again, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Records of the batch by their place in it; the partition goes on at `next`.
    Records { range: Range<usize>, next: Offset },
    /// Nothing is there any more.
    Pass(Loss),
}

impl Step {
    /// Where the partition goes on.
    pub(crate) const fn next(&self) -> Offset {
        match self {
            Self::Records { next, .. } => *next,
            Self::Pass(loss) => loss.to,
        }
    }
}

/// Cuts a batch into steps in the order of offsets. A step holds records of at most `limit` bytes, or one record.
pub(crate) fn steps(batch: &ReadBatch, limit: usize) -> Vec<Step> {
    let mut losses = batch.losses.clone();
    losses.sort_unstable_by_key(|loss| loss.from);
    let mut losses = losses.into_iter().peekable();
    let mut steps = Vec::new();
    let mut open = Open::at(0);
    for (index, stored) in batch.records.iter().enumerate() {
        while let Some(loss) = losses.next_if(|loss| loss.from < stored.offset) {
            open.close(batch, index, &mut steps);
            steps.push(Step::Pass(loss));
        }
        let bytes = footprint(stored);
        if open.bytes.saturating_add(bytes) > limit {
            open.close(batch, index, &mut steps);
        }
        open.bytes += bytes;
    }
    open.close(batch, batch.records.len(), &mut steps);
    steps.extend(losses.map(Step::Pass));
    steps
}

/// The step that records are being added to.
struct Open {
    start: usize,
    bytes: usize,
}

impl Open {
    fn at(start: usize) -> Self {
        Self { start, bytes: 0 }
    }

    fn close(&mut self, batch: &ReadBatch, end: usize, steps: &mut Vec<Step>) {
        let range = self.start..end;
        if let Some(last) = batch.records.get(range.clone()).and_then(<[_]>::last) {
            steps.push(Step::Records { range, next: last.offset.next() });
        }
        *self = Self::at(end);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_journal::{LossReason, StoredRecord};
    use weir_model::{
        Incarnation, PartitionIndex, Record, RecordFormat, StreamName, StreamPartition, Timestamp,
    };

    use super::*;

    fn record(offset: u64, bytes: usize) -> StoredRecord {
        let record = Record {
            format: RecordFormat::Events,
            events: Some(1),
            received: Timestamp::from_micros(0),
            batch: None,
            value: Bytes::from(vec![0; bytes]),
        };
        StoredRecord { offset: Offset(offset), first_event: Some(offset), record }
    }

    fn loss(from: u64, to: u64) -> Loss {
        Loss { from: Offset(from), to: Offset(to), events: None, reason: LossReason::Damaged }
    }

    fn records(range: Range<usize>, next: u64) -> Step {
        Step::Records { range, next: Offset(next) }
    }

    #[track_caller]
    fn check(stored: Vec<StoredRecord>, losses: Vec<Loss>, expected: &[Step]) {
        let partition = StreamPartition {
            stream: StreamName::new("shop_logs").expect("is legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        };
        let batch = ReadBatch { partition, records: stored, losses, next: Offset(100) };
        assert_eq!(steps(&batch, 100 + 2 * OVERHEAD), expected);
    }

    #[test]
    fn records_stay_together_up_to_the_limit() {
        check(vec![], vec![], &[]);
        check(vec![record(4, 60), record(5, 40)], vec![], &[records(0..2, 6)]);
        check(vec![record(4, 60), record(5, 41)], vec![], &[records(0..1, 5), records(1..2, 6)]);
        check(
            vec![record(0, 500), record(1, 1), record(2, 1)],
            vec![],
            &[records(0..1, 1), records(1..3, 3)],
        );
    }

    #[test]
    fn a_loss_stands_in_its_place() {
        check(vec![], vec![loss(0, 9)], &[Step::Pass(loss(0, 9))]);
        check(
            vec![record(2, 1), record(3, 1), record(6, 1)],
            vec![loss(4, 6), loss(0, 2), loss(7, 9)],
            &[
                Step::Pass(loss(0, 2)),
                records(0..2, 4),
                Step::Pass(loss(4, 6)),
                records(2..3, 7),
                Step::Pass(loss(7, 9)),
            ],
        );
    }
}
