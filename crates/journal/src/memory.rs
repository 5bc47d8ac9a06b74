//! The journal in memory: all guarantees but durability. For tests of what stands on the seam.

mod partition;
mod subscription;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use foldhash::HashMap;
use rand::Rng;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_model::{
    Incarnation, Mark, Offset, PartitionIndex, Record, SourceId, StreamName, StreamPartition, Timestamp,
};
use xxhash_rust::xxh3::xxh3_64;

use self::partition::Partition;
use self::subscription::Member;
use crate::error::{AppendError, CommitError, CreateStreamError, ReadError, SubscribeError};
use crate::seam::{
    Appended, Commit, Creation, GroupInfo, GroupPosition, IfMissing, Journal, KnownBatch, Origin, ReadBatch,
    ReadBudget, StreamInfo, StreamPattern, StreamSpec, Subscription,
};

/// Partitions of a stream that asks for none, and the most that one gets.
const PARTITIONS: u32 = 4;

/// A journal that forgets everything when it is dropped. Clones share what they hold.
#[derive(Clone)]
pub struct MemoryJournal {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<StreamName, Stream>,
    groups: BTreeMap<String, Group>,
    marks: HashMap<SourceId, u64>,
    closed: bool,
    full: bool,
}

struct Stream {
    incarnation: Incarnation,
    created: Timestamp,
    partitions: Vec<Partition>,
    turn: u64,
}

#[derive(Default)]
struct Group {
    live: bool,
    /// Offset, and the number of events before it.
    positions: HashMap<StreamPartition, (u64, Option<u64>)>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, state: Mutex::default(), changes: watch::Sender::new(0) }) }
    }

    /// From now on everything is refused.
    pub fn close(&self) {
        self.shared.state().closed = true;
        self.shared.changed();
    }

    /// From now on appends are refused as if the disk were full.
    pub fn fill_up(&self) {
        self.shared.state().full = true;
    }

    /// Ends [`fill_up`](Self::fill_up).
    pub fn make_room(&self) {
        self.shared.state().full = false;
    }

    /// Removes everything below `start`, as retention does.
    pub fn expire(&self, partition: &StreamPartition, start: Offset) {
        if let Some(partition) = self.shared.state().partition_mut(partition) {
            partition.expire(start.0);
        }
        self.shared.changed();
    }

    /// Makes one record unreadable.
    pub fn damage(&self, partition: &StreamPartition, offset: Offset) {
        if let Some(partition) = self.shared.state().partition_mut(partition) {
            partition.damage(offset.0);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|change| *change = change.wrapping_add(1));
    }
}

impl State {
    fn partition(&self, place: &StreamPartition) -> Option<&Partition> {
        let stream = self.streams.get(&place.stream)?;
        stream.partitions.get(place.partition.0 as usize).filter(|_| stream.incarnation == place.incarnation)
    }

    fn partition_mut(&mut self, place: &StreamPartition) -> Option<&mut Partition> {
        let stream = self.streams.get_mut(&place.stream)?;
        let same = stream.incarnation == place.incarnation;
        stream.partitions.get_mut(place.partition.0 as usize).filter(|_| same)
    }
}

impl Stream {
    fn place(&self, name: &StreamName, index: usize) -> StreamPartition {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        StreamPartition {
            stream: name.clone(),
            incarnation: self.incarnation,
            partition: PartitionIndex(index),
        }
    }

    fn info(&self, name: &StreamName) -> StreamInfo {
        let bounds = self.partitions.iter().enumerate();
        StreamInfo {
            name: name.clone(),
            created: Some(self.created),
            partitions: bounds.map(|(index, partition)| partition.bounds(self.place(name, index))).collect(),
        }
    }

    fn choose(&mut self, key: Option<&[u8]>) -> usize {
        let hash = match key {
            Some(key) => xxh3_64(key),
            None => {
                self.turn += 1;
                self.turn
            }
        };
        usize::try_from(hash % self.partitions.len().max(1) as u64).unwrap_or(0)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError> {
        let appended = {
            let mut state = self.shared.state();
            if state.closed {
                return Err(AppendError::Closing);
            }
            if state.full {
                return Err(AppendError::Full(None));
            }
            let unknown = || AppendError::UnknownStream(stream.clone());
            let known = state.streams.get_mut(stream).ok_or_else(unknown)?;
            let (key, mut appended) = (origin.key(), Vec::with_capacity(records.len()));
            for record in records {
                let index = known.choose(key.as_deref());
                let partition = known.place(stream, index);
                let offset = known.partitions.get_mut(index).ok_or_else(unknown)?.push(record);
                appended.push(Appended { partition, offset });
            }
            if let Some(Mark { source, end }) = origin.mark() {
                state.marks.insert(source, end);
            }
            appended
        };
        self.shared.changed();
        Ok(appended)
    }

    async fn create_stream(&self, spec: StreamSpec) -> Result<Creation, CreateStreamError> {
        let created = {
            let mut state = self.shared.state();
            if state.closed {
                return Err(CreateStreamError::Closing);
            }
            if let Some(stream) = state.streams.get(&spec.name) {
                return Ok(Creation::Existed(stream.info(&spec.name)));
            }
            if spec.if_missing == IfMissing::Refuse {
                return Err(CreateStreamError::Missing(spec.name));
            }
            let partitions = spec.partitions.map_or(PARTITIONS, |asked| asked.clamp(1, PARTITIONS));
            let stream = Stream {
                incarnation: Incarnation(rand::rng().next_u64()),
                created: Timestamp::from(self.shared.clock.now()),
                partitions: (0..partitions).map(|_| Partition::default()).collect(),
                turn: 0,
            };
            let info = stream.info(&spec.name);
            state.streams.insert(spec.name, stream);
            Creation::Created(info)
        };
        self.shared.changed();
        Ok(created)
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, ReadError> {
        Ok(self.shared.state().streams.iter().map(|(name, stream)| stream.info(name)).collect())
    }

    async fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError> {
        let state = self.shared.state();
        let known = state.partition(partition);
        let known = known.ok_or_else(|| ReadError::UnknownPartition(partition.clone()))?;
        Ok(known.read(partition, from.0, None, budget))
    }

    async fn subscribe(
        &self,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let mut state = self.shared.state();
        let known = state.groups.entry(group.to_owned()).or_default();
        if known.live {
            return Err(SubscribeError::Taken(group.to_owned()));
        }
        known.live = true;
        Ok(Box::new(Member::new(self.shared.clone(), group.to_owned(), pattern)))
    }

    async fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), CommitError> {
        let mut state = self.shared.state();
        if state.closed {
            return Err(CommitError::Closing);
        }
        for commit in commits {
            let known = state.partition_mut(&commit.partition).ok_or_else(|| CommitError::Failed {
                group: group.to_owned(),
                source: Box::new(ReadError::UnknownPartition(commit.partition.clone())),
            })?;
            known.cut(commit.offset.0);
            let event = known.event_at(commit.offset.0);
            let positions = &mut state.groups.entry(group.to_owned()).or_default().positions;
            let position = positions.entry(commit.partition.clone()).or_insert((0, Some(0)));
            if position.0 < commit.offset.0 {
                *position = (commit.offset.0, event);
            }
        }
        drop(state);
        self.shared.changed();
        Ok(())
    }

    async fn groups(&self) -> Result<Vec<GroupInfo>, ReadError> {
        let state = self.shared.state();
        let infos = state.groups.iter().map(|(name, group)| {
            let positions = group.positions.iter().map(|(partition, (offset, _))| GroupPosition {
                partition: partition.clone(),
                committed: Offset(*offset),
            });
            let mut positions: Vec<_> = positions.collect();
            positions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
            GroupInfo { name: name.clone(), live: group.live, positions }
        });
        Ok(infos.collect())
    }

    async fn delete_group(&self, group: &str) -> Result<(), CommitError> {
        let groups = &mut self.shared.state().groups;
        if groups.get(group).is_some_and(|known| known.live) {
            return Err(CommitError::Live(group.to_owned()));
        }
        groups.remove(group);
        Ok(())
    }

    async fn known_batches(&self, since: Timestamp, most: usize) -> Result<Vec<KnownBatch>, ReadError> {
        let state = self.shared.state();
        let partitions = state.streams.values().flat_map(|stream| &stream.partitions);
        let batches = partitions.flat_map(|partition| partition.records()).filter_map(|stored| {
            let received = stored.record.received;
            stored.record.batch.filter(|_| received >= since).map(|tag| KnownBatch { tag, received })
        });
        let mut batches: Vec<_> = batches.collect();
        batches.sort_by_key(|batch| batch.received);
        Ok(batches.split_off(batches.len().saturating_sub(most)))
    }

    async fn mark(&self, _: &StreamName, source: SourceId) -> Result<Option<u64>, ReadError> {
        Ok(self.shared.state().marks.get(&source).copied())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJournal")
            .field("streams", &self.shared.state().streams.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
