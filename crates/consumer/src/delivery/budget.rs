//! The bytes that may be read and not yet be delivered, and how streams share them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_journal::ReadBatch;
use weir_model::StreamName;

use crate::steps::footprint;

/// A stream has at most half of what the others leave, so that however much of it is read and not taken by its
/// store, the next stream finds room. Clones share the budget.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    shared: Arc<Shared>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Shared {
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    by_stream: BTreeMap<StreamName, usize>,
    /// Whether the last batch had to wait.
    is_short: bool,
}

/// What a batch takes of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shared: Arc<Shared>,
    stream: StreamName,
    bytes: usize,
}

/// Why a batch has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Its stream has all that it may have.
    Stream,
    /// The streams have all there is.
    All,
}

/// How many jobs can be queued at most: each takes at least this part of the budget.
pub(super) const MOST_JOBS: usize = 1024;

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { shared: Arc::default(), limit: bytes.max(MOST_JOBS) }
    }

    /// Room for a batch. The first of a stream may be more than half of what is left.
    pub(super) fn admit(&self, batch: &ReadBatch) -> Result<Share, Full> {
        let stream = &batch.partition.stream;
        let bytes = self.cost(batch);
        let mut used = self.shared.used();
        let obstacle = self.obstacle(&used, stream, bytes);
        used.is_short = obstacle.is_some();
        if let Some(full) = obstacle {
            return Err(full);
        }
        used.all += bytes;
        *used.by_stream.entry(stream.clone()).or_default() += bytes;
        drop(used);
        Ok(Share { shared: Arc::clone(&self.shared), stream: stream.clone(), bytes })
    }

    /// Whether there is more to deliver than there is room for.
    pub(super) fn is_short(&self) -> bool {
        self.shared.used().is_short
    }

    /// Whether a batch has to wait for its own stream.
    pub(super) fn is_over_share(&self, batch: &ReadBatch) -> bool {
        let obstacle = self.obstacle(&self.shared.used(), &batch.partition.stream, self.cost(batch));
        obstacle == Some(Full::Stream)
    }

    fn obstacle(&self, used: &Used, stream: &StreamName, bytes: usize) -> Option<Full> {
        let own = used.by_stream.get(stream).copied().unwrap_or(0);
        if own > 0 && own + bytes > self.share(used, own) {
            Some(Full::Stream)
        } else {
            (used.all > 0 && used.all + bytes > self.limit).then_some(Full::All)
        }
    }

    /// Whether a stream has so little left that it is worth to read on.
    pub(super) fn wants(&self, stream: &StreamName) -> bool {
        let used = self.shared.used();
        let own = used.by_stream.get(stream).copied().unwrap_or(0);
        own <= self.share(&used, own) / 2
    }

    /// Waits until a share was given back, from when this was called.
    pub(super) async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    fn share(&self, used: &Used, own: usize) -> usize {
        self.limit.saturating_sub(used.all - own) / 2
    }

    /// A batch beyond the whole budget is admitted alone.
    fn cost(&self, batch: &ReadBatch) -> usize {
        let bytes: usize = batch.records.iter().map(footprint).sum();
        bytes.clamp(self.limit.div_ceil(MOST_JOBS), self.limit)
    }
}

impl Share {
    /// Makes one share of two of a stream.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Shared {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.shared.used();
        used.all -= self.bytes;
        if let Some(own) = used.by_stream.get_mut(&self.stream) {
            *own -= self.bytes;
            if *own == 0 {
                used.by_stream.remove(&self.stream);
            }
        }
        drop(used);
        // One reader waits, and perhaps not at this instant.
        self.shared.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_journal::StoredRecord;
    use weir_model::{Incarnation, Offset, PartitionIndex, Record, RecordFormat, StreamPartition, Timestamp};

    use super::*;
    use crate::steps::OVERHEAD;

    const UNIT: usize = 16 * 1024;

    /// One that counts as so many bytes.
    fn batch(stream: &str, bytes: usize) -> ReadBatch {
        let record = Record {
            format: RecordFormat::Events,
            events: Some(1),
            received: Timestamp::default(),
            batch: None,
            value: Bytes::from(vec![0; bytes - OVERHEAD]),
        };
        ReadBatch {
            partition: StreamPartition {
                stream: StreamName::new(stream).expect("a name"),
                incarnation: Incarnation(0),
                partition: PartitionIndex(0),
            },
            records: vec![StoredRecord { offset: Offset(0), first_event: None, record }],
            losses: Vec::new(),
            next: Offset(1),
        }
    }

    #[test]
    fn each_stream_has_half_of_what_the_others_leave() {
        let budget = Budget::new(256 * UNIT);
        let admit = |stream, units: usize| budget.admit(&batch(stream, units * UNIT));
        let first = admit("a", 100).expect("the first has room");
        assert!(!budget.is_short());
        assert_eq!(admit("a", 100).expect_err("its half is 128"), Full::Stream);
        assert!(budget.is_short());
        let second = admit("a", 28).expect("up to its half");
        let others = admit("b", 64).expect("half of the other half");
        assert_eq!(admit("b", 4).expect_err("no more"), Full::Stream);
        let large = admit("c", 100);
        assert_eq!(large.expect_err("64 are left"), Full::All);
        assert!(!budget.wants(&StreamName::new("a").expect("a name")));
        drop((first, second));
        assert!(budget.wants(&StreamName::new("a").expect("a name")));
        drop(others);
        admit("c", 256).expect("all of it is free again");
    }

    #[test]
    fn a_batch_larger_than_the_budget_goes_alone() {
        let budget = Budget::new(64 * UNIT);
        let alone = budget.admit(&batch("a", 1_000 * UNIT)).expect("nothing else is there");
        assert_eq!(budget.admit(&batch("b", UNIT)).expect_err("nothing is left"), Full::All);
        drop(alone);
        budget.admit(&batch("b", UNIT)).expect("there is room again");
    }
}
