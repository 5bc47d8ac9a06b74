//! How far the ends of partitions were read for the marks of sources, which other producers set.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use rdkafka::Offset as At;
use tokio::sync;
use weir_foundation::clock::timeout;
use weir_journal::{Origin, ReadBudget, ReadError};
use weir_model::{Incarnation, Offset, Record, SourceId, StreamName, StreamPartition};

use crate::catalog::Topic;
use crate::cluster::{Cluster, index};
use crate::producer::{Outcome, Route, Undelivered};
use crate::shared::Shared;

/// As many bytes of values at the end of a partition are looked through, about: what one producer stored a few minutes ago
/// where much comes in, and hours ago where little does.
const TAIL: u64 = 32 << 20;

/// What is read at a time at most, and so many records at first.
const STEP: ReadBudget = ReadBudget { bytes: 4 << 20, records: 8_192 };
const FIRST: u64 = 16;

#[derive(Debug, Default)]
pub(crate) struct Tails(Mutex<HashMap<(StreamName, u32), Arc<Tail>>>);

#[derive(Debug)]
struct Tail {
    topic: Incarnation,
    /// What is below it is known, or too old; 0 if nobody looked yet.
    known: AtomicU64,
    /// How many looks have begun.
    begun: AtomicU64,
    /// The number of the last look that was done.
    done: AtomicU64,
    /// One at a time looks.
    turn: sync::Mutex<()>,
}

/// The partition of a source. Its records and whoever looks for them agree by this alone.
pub(crate) fn partition_of(source: SourceId, partitions: u32) -> u32 {
    let folded = (source.0 ^ (source.0 >> 64)) as u64;
    u32::try_from(folded % u64::from(partitions.max(1))).unwrap_or(0)
}

impl Tail {
    fn new(topic: Incarnation) -> Self {
        let number = || AtomicU64::new(0);
        Self { topic, known: number(), begun: number(), done: number(), turn: sync::Mutex::default() }
    }
}

impl Tails {
    fn of(&self, topic: &Topic, partition: u32) -> Arc<Tail> {
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Tail::new(topic.life));
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
    /// Sends records. One that sets a mark is sent when those before it are stored: whoever finds it may rely on them.
    pub(crate) async fn send(&self, topic: &Topic, origin: Origin<'_>, records: &[Record]) -> Vec<Outcome> {
        let name = topic.name.as_str();
        let key = origin.key();
        let route = Route { key: key.as_deref(), source: None };
        let Some((mark, (last, before))) = origin.mark().zip(records.split_last()) else {
            return self.producer.send(name, route, records).await;
        };
        let partition = index(partition_of(mark.source, topic.partitions));
        let to = |mark| Route { source: Some((partition, mark)), ..route };
        let mut outcomes = self.producer.send(name, to(None), before).await;
        if outcomes.iter().all(Result::is_ok) {
            outcomes.extend(self.producer.send(name, to(Some(mark)), std::slice::from_ref(last)).await);
        } else {
            outcomes.push(Err(Undelivered::unsent()));
        }
        outcomes
    }

    /// The mark of a source, after a look at what others appended to its partition.
    pub(crate) async fn mark(
        self: &Arc<Self>,
        stream: &StreamName,
        source: SourceId,
    ) -> Result<Option<u64>, ReadError> {
        let Some(topic) = self.topic(stream).await? else { return Ok(self.marks.get(source)) };
        let partition = partition_of(source, topic.partitions);
        let tail = self.tails.of(&topic, partition);
        let came = tail.begun.load(Ordering::Acquire);
        // Behind one that waits for brokers in vain nobody has to wait longer than it does.
        let turn = timeout(&*self.clock, self.settings.request_timeout, tail.turn.lock()).await;
        let _turn = turn.map_err(|elapsed| ReadError::Failed(Box::new(elapsed)))?;
        // Of all who waited one has looked.
        if tail.done.load(Ordering::Acquire) <= came {
            let number = tail.begun.fetch_add(1, Ordering::AcqRel) + 1;
            self.look_at_tail(&topic, partition, &tail).await?;
            tail.done.store(number, Ordering::Release);
        }
        Ok(self.marks.get(source))
    }

    async fn look_at_tail(
        self: &Arc<Self>,
        topic: &Topic,
        partition: u32,
        tail: &Tail,
    ) -> Result<(), ReadError> {
        let life = self.registry.life(&topic.name, partition, topic.life);
        let place = StreamPartition { incarnation: life.incarnation, ..topic.place(partition) };
        let mut known = tail.known.load(Ordering::Acquire);
        let end = self.offset(topic, partition, At::End).await?;
        if known > end {
            // The partition lost its end, and what was known of it.
            self.marks.forget(&place);
            tail.known.store(0, Ordering::Release);
            known = 0;
        }
        if known < end {
            let start = self.offset(topic, partition, At::Beginning).await?;
            self.look_back(&place, known.max(start), end).await?;
            tail.known.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    async fn offset(&self, topic: &Topic, partition: u32, at: At) -> Result<u64, ReadError> {
        let place = (topic.name.clone(), partition);
        let asked = place.clone();
        let ask = move |cluster: &Cluster| cluster.offsets(iter::once((asked.clone(), at)));
        let found = self.cluster.ask("journal.kafka.mark", ask).await?;
        let nobody = || ReadError::Failed("nobody leads the partition of the source".into());
        found.get(&place).copied().ok_or_else(nobody)
    }

    /// Looks through the records from `end` back to `from`, or to about [`TAIL`] bytes. Records are of all sizes: what does
    /// not fit into one step is looked through in smaller ones.
    async fn look_back(
        self: &Arc<Self>,
        place: &StreamPartition,
        from: u64,
        end: u64,
    ) -> Result<(), ReadError> {
        let (mut end, mut bytes, mut records) = (end, 0, FIRST);
        while end > from && bytes < TAIL {
            let begin = end.saturating_sub(records).max(from);
            let looked = self.look_through(place, begin, end).await?;
            if looked.next < end {
                records = ((end - begin) / 2).max(1);
                continue;
            }
            bytes += looked.bytes;
            end = begin;
            records = (records * 2).min(STEP.records as u64);
        }
        Ok(())
    }

    /// As much as fits into one step.
    async fn look_through(
        self: &Arc<Self>,
        place: &StreamPartition,
        begin: u64,
        end: u64,
    ) -> Result<Looked, ReadError> {
        let _turn = self.readers.turns.acquire().await.or(Err(ReadError::Closing))?;
        let (shared, place) = (Arc::clone(self), place.clone());
        let look = move |_: &Cluster| {
            let mut bytes = 0;
            let next = shared.readers.look(&place, begin..end, STEP, &*shared.clock, |stored, mark| {
                bytes += stored.record.value.len() as u64;
                if let Some(mark) = mark {
                    shared.marks.set(mark, &place, stored.offset);
                }
            })?;
            Ok(Looked { next, bytes })
        };
        Ok(self.cluster.ask("journal.kafka.mark", look).await?)
    }
}

/// What was seen of a partition.
struct Looked {
    /// The end, if all of it was seen.
    next: u64,
    bytes: u64,
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
