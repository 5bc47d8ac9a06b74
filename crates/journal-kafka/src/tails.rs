//! How far the ends of partitions were read for the marks of sources, which other producers set.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use tokio::sync;
use weir_foundation::clock::timeout;
use weir_journal::{ReadBudget, ReadError};
use weir_model::{Incarnation, Offset, SourceId, StreamName, StreamPartition};

use crate::catalog::Topic;
use crate::cluster::Cluster;
use crate::shared::Shared;

/// As many bytes of values at the end of a partition are looked through, about: what one producer stored a few minutes ago
/// where much comes in, and hours ago where little does.
const TAIL: u64 = 32 << 20;

/// By the size of so many records at the end of a partition it is told where its tail begins.
const PROBE: u64 = 16;

/// What is read at a time.
const STEP: ReadBudget = ReadBudget { bytes: 4 << 20, records: 10_000 };

#[derive(Debug, Default)]
pub(crate) struct Tails(Mutex<HashMap<(StreamName, u32), Arc<Tail>>>);

#[derive(Debug)]
struct Tail {
    topic: Incarnation,
    /// What is below it is known, or too old.
    known: AtomicU64,
    /// One at a time reads.
    turn: sync::Mutex<()>,
}

/// The partition of a source. Its records and whoever looks for them agree by this alone.
pub(crate) fn partition_of(source: SourceId, partitions: u32) -> u32 {
    let folded = (source.0 ^ (source.0 >> 64)) as u64;
    u32::try_from(folded % u64::from(partitions.max(1))).unwrap_or(0)
}

impl Tails {
    fn of(&self, topic: &Topic, partition: u32) -> Arc<Tail> {
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new =
            || Arc::new(Tail { topic: topic.life, known: AtomicU64::new(0), turn: sync::Mutex::default() });
        let tail = tails.entry((topic.name.clone(), partition)).or_insert_with(new);
        if tail.topic != topic.life {
            *tail = new();
        }
        Arc::clone(tail)
    }

    /// This process appended a record. What nobody else wrote is not read again.
    pub(crate) fn appended(&self, place: &StreamPartition, offset: Offset) {
        let tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tails.is_empty() {
            return;
        }
        if let Some(tail) = tails.get(&(place.stream.clone(), place.partition.0)) {
            // Otherwise somebody else wrote before it.
            tail.known.compare_exchange(offset.0, offset.next().0, Ordering::AcqRel, Ordering::Relaxed).ok();
        }
    }
}

impl Shared {
    /// The mark of a source, after a look at what others appended to its partition.
    pub(crate) async fn mark(
        self: &Arc<Self>,
        stream: &StreamName,
        source: SourceId,
    ) -> Result<Option<u64>, ReadError> {
        let Some(topic) = self.topic(stream).await? else { return Ok(self.marks.get(source)) };
        let partition = partition_of(source, topic.partitions);
        let tail = self.tails.of(&topic, partition);
        // Behind one that waits for brokers in vain nobody has to wait longer than it does.
        let turn = timeout(&*self.clock, self.settings.request_timeout, tail.turn.lock()).await;
        let _turn = turn.map_err(|elapsed| ReadError::Failed(Box::new(elapsed)))?;
        let at = (topic.name.clone(), partition);
        let asked = at.clone();
        let ask = move |cluster: &Cluster| cluster.bounds(iter::once(asked.clone()));
        let bounds = self.cluster.ask("journal.kafka.mark", ask).await?;
        let Some(range) = bounds.get(&at) else {
            return Err(ReadError::Failed("nobody leads the partition of the source".into()));
        };
        let known = tail.known.load(Ordering::Acquire);
        // A partition that lost its end is read anew.
        let known = if known > range.end { 0 } else { known };
        let life = self.registry.life(&topic.name, partition, topic.life);
        let place = StreamPartition { incarnation: life.incarnation, ..topic.place(partition) };
        let mut next = self.tail_begins(&place, known.max(range.start), range.end).await?;
        while next < range.end {
            next = self.look_through(&place, next, range.end, STEP).await?.next;
        }
        tail.known.fetch_max(next, Ordering::AcqRel);
        Ok(self.marks.get(source))
    }

    /// Where at most about [`TAIL`] bytes begin that end at `end`, not before `from`.
    async fn tail_begins(
        self: &Arc<Self>,
        place: &StreamPartition,
        from: u64,
        end: u64,
    ) -> Result<u64, ReadError> {
        if end.saturating_sub(from) <= PROBE {
            return Ok(from);
        }
        let budget = ReadBudget { records: usize::MAX, ..STEP };
        let looked = self.look_through(place, end - PROBE, end, budget).await?;
        let each = (looked.bytes / looked.records.max(1)).max(1);
        Ok(end.saturating_sub((TAIL / each).max(PROBE)).max(from))
    }

    async fn look_through(
        self: &Arc<Self>,
        place: &StreamPartition,
        from: u64,
        end: u64,
        budget: ReadBudget,
    ) -> Result<Looked, ReadError> {
        let _turn = self.readers.turns.acquire().await.or(Err(ReadError::Closing))?;
        let (shared, place) = (Arc::clone(self), place.clone());
        let look = move |_: &Cluster| {
            let mut looked = Looked { next: from, bytes: 0, records: 0 };
            looked.next =
                shared.readers.look(&place, from..end, budget, &*shared.clock, |stored, mark| {
                    looked.bytes += stored.record.value.len() as u64;
                    looked.records += 1;
                    if let Some(mark) = mark {
                        shared.marks.set(mark, &place, stored.offset);
                    }
                })?;
            Ok(looked)
        };
        Ok(self.cluster.ask("journal.kafka.mark", look).await?)
    }
}

/// What was seen of a partition.
struct Looked {
    next: u64,
    bytes: u64,
    records: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_spread_and_stay() {
        let mut counts = [0; 7];
        for source in 0..7_000_u128 {
            let source = SourceId(source.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
            let partition = partition_of(source, 7);
            assert_eq!(partition, partition_of(source, 7));
            counts[partition as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        assert_eq!(partition_of(SourceId(u128::MAX), 1), 0);
        assert_eq!(partition_of(SourceId(5), 0), 0);
    }
}
