use bytes::{Bytes, BytesMut};
use foldhash::HashMap;
use weir_journal::{Loss, LossReason, ReadBatch, StoredRecord};
use weir_model::{Offset, Record, StreamName, StreamPartition};

use crate::life::Life;

/// The partitions that a member has, and how far each was brought.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_topic: HashMap<String, HashMap<i32, Lane>>,
    /// Lanes with an open batch.
    open: Vec<(String, i32)>,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) place: StreamPartition,
    pub(super) life: Life,
    /// The offset after the last record that was brought.
    pub(super) next: u64,
    /// How often it was sought.
    pub(super) round: u64,
    records: Vec<StoredRecord>,
    bytes: usize,
    values: Values,
}

/// Memory for the values of an open batch: many small ones are in few pieces, which they share.
#[derive(Debug, Default)]
struct Values {
    piece: BytesMut,
    /// In all pieces so far.
    bytes: usize,
}

/// The largest piece; a larger value is a piece of its own.
const PIECE: usize = 64 * 1024;

impl Values {
    /// A copy of a message's value, whose memory is the library's.
    fn keep(&mut self, value: &[u8]) -> Bytes {
        if self.piece.capacity() < value.len() {
            // As large as all before, so that at most half is left over, however few values there are.
            self.piece = BytesMut::with_capacity(self.bytes.min(PIECE).max(value.len()));
        }
        self.bytes += value.len();
        self.piece.extend_from_slice(value);
        self.piece.split().freeze()
    }
}

/// A batch that is ready, and the round it belongs to.
pub(super) type Ready = (ReadBatch, u64);

impl Lane {
    pub(super) fn new(place: StreamPartition, life: Life, next: u64) -> Self {
        Self { place, life, next, round: 0, records: Vec::new(), bytes: 0, values: Values::default() }
    }

    /// Nothing of what is open, and on from there.
    pub(super) fn go_to(&mut self, next: u64, round: u64) {
        (self.next, self.round) = (next, round);
        (self.records, self.bytes, self.values) = (Vec::new(), 0, Values::default());
    }

    fn close(&mut self) -> Option<Ready> {
        if self.records.is_empty() {
            return None;
        }
        (self.bytes, self.values) = (0, Values::default());
        let records = std::mem::take(&mut self.records);
        let next = Offset(self.next);
        Some((ReadBatch { partition: self.place.clone(), records, losses: Vec::new(), next }, self.round))
    }

    /// The range that can not be read, as a batch.
    pub(super) fn loss(&self, from: u64, reason: LossReason) -> Ready {
        let (to, next) = (Offset(self.next), Offset(self.next));
        let loss = Loss { from: Offset(from), to, events: None, reason };
        let batch =
            ReadBatch { partition: self.place.clone(), records: Vec::new(), losses: vec![loss], next };
        (batch, self.round)
    }
}

impl Lanes {
    pub(super) fn insert(&mut self, topic: &str, partition: i32, lane: Lane) {
        self.by_topic.entry(topic.to_owned()).or_default().insert(partition, lane);
    }

    pub(super) fn get_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Lane> {
        self.by_topic.get_mut(topic)?.get_mut(&partition)
    }

    pub(super) fn of(&mut self, place: &StreamPartition) -> Option<&mut Lane> {
        let partition = i32::try_from(place.partition.0).ok()?;
        self.get_mut(place.stream.as_str(), partition).filter(|lane| lane.place == *place)
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) -> Option<Lane> {
        self.open.retain(|(of, index)| of != topic || *index != partition);
        let partitions = self.by_topic.get_mut(topic)?;
        let lane = partitions.remove(&partition);
        if partitions.is_empty() {
            self.by_topic.remove(topic);
        }
        lane
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, i32, &Lane)> {
        self.by_topic.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(|(partition, lane)| (topic.as_str(), *partition, lane))
        })
    }

    /// Adds the record of a value; gives the batch back that it did not fit into.
    pub(super) fn push(
        &mut self,
        topic: &str,
        partition: i32,
        offset: u64,
        value: &[u8],
        limit: usize,
        record: impl FnOnce(Bytes) -> Record,
    ) -> Option<Ready> {
        let lane = self.by_topic.get_mut(topic)?.get_mut(&partition)?;
        // From before a seek, or from before it was assigned.
        if offset < lane.next {
            return None;
        }
        let size = value.len();
        let ready = if lane.bytes + size > limit { lane.close() } else { None };
        if lane.records.is_empty() {
            self.open.push((topic.to_owned(), partition));
        }
        lane.bytes += size;
        lane.next = offset + 1;
        let record = record(lane.values.keep(value));
        lane.records.push(StoredRecord { offset: Offset(offset), first_event: None, record });
        ready
    }

    /// All that is open.
    pub(super) fn close_all(&mut self) -> Vec<Ready> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().filter_map(|(topic, partition)| self.get_mut(&topic, partition)?.close()).collect()
    }
}

/// Names of topics as streams have them.
pub(super) fn place(topic: &str, partition: i32) -> Option<(StreamName, u32)> {
    Some((StreamName::new(topic).ok()?, u32::try_from(partition).ok()?))
}

#[cfg(test)]
mod tests {
    use weir_model::{Incarnation, PartitionIndex, RecordFormat, Timestamp};

    use super::*;

    fn lanes() -> Lanes {
        let mut lanes = Lanes::default();
        let place = StreamPartition {
            stream: StreamName::new("shop_logs").expect("is legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        };
        lanes.insert("shop_logs", 0, Lane::new(place, Life::whole(Incarnation(1)), 5));
        lanes
    }

    fn record(value: Bytes) -> Record {
        Record {
            format: RecordFormat::Timber,
            events: Some(1),
            received: Timestamp::default(),
            batch: None,
            value,
        }
    }

    impl Lanes {
        fn put(&mut self, partition: i32, offset: u64, bytes: usize) -> Option<Ready> {
            self.push("shop_logs", partition, offset, &vec![0; bytes], 10, record)
        }
    }

    fn offsets((batch, _): &Ready) -> (Vec<u64>, u64) {
        (batch.records.iter().map(|stored| stored.offset.0).collect(), batch.next.0)
    }

    #[test]
    fn batches_are_as_large_as_they_may_be() {
        let mut lanes = lanes();
        assert!(lanes.put(0, 4, 1).is_none(), "it was brought before");
        assert!(lanes.put(1, 5, 1).is_none(), "not a partition of this member");
        assert!(lanes.put(0, 5, 6).is_none());
        assert!(lanes.put(0, 7, 4).is_none(), "offsets may be left out");
        let full = lanes.put(0, 8, 20).expect("there is no more room");
        assert_eq!(offsets(&full), (vec![5, 7], 8));
        let rest: Vec<_> = lanes.close_all().iter().map(offsets).collect();
        assert_eq!(rest, [(vec![8], 9)]);
        assert!(lanes.close_all().is_empty());
    }

    #[test]
    fn values_share_memory_and_waste_little() {
        let mut values = Values::default();
        let texts: Vec<String> = (0..10_000).map(|number| format!("value {number}")).collect();
        let large = "x".repeat(PIECE + 1);
        let kept: Vec<_> = texts.iter().map(|text| values.keep(text.as_bytes())).collect();
        assert_eq!(values.keep(large.as_bytes()), large);
        assert!(kept.iter().zip(&texts).all(|(kept, text)| kept == text.as_bytes()));
        let neighbours = kept.windows(2).filter(|two| two[0].as_ptr_range().end == two[1].as_ptr());
        assert!(neighbours.count() > 9_900, "few pieces");
        let mut few = Values::default();
        few.keep(b"123456789");
        few.keep(b"12345");
        assert!(few.piece.capacity() <= 9, "no more than there was");
    }

    #[test]
    fn what_was_open_is_forgotten_by_a_seek() {
        let mut lanes = lanes();
        lanes.put(0, 5, 1);
        lanes.get_mut("shop_logs", 0).expect("it is there").go_to(2, 1);
        assert!(lanes.close_all().is_empty());
        lanes.put(0, 2, 1);
        let closed = lanes.close_all();
        assert_eq!((offsets(&closed[0]), closed[0].1), ((vec![2], 3), 1));
    }
}
