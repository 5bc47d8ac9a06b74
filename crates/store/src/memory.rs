//! Both stores in memory, as plainly as can be: the measure of what the seams mean.
//!
//! Every search looks at every event. What survives a crash is decided by [`Durability`], so that a test of
//! a consumer can see the gap between taken and durable.

mod dead_letters;
mod partition;
mod search;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use weir_model::{Day, EventId, IndexPrefix, Offset, StreamName, StreamPartition};

use self::dead_letters::DeadLetters;
use self::partition::Partition;
use crate::dead_letter::{DeadLetter, DeadLetterEntry, DeadLetterFilter, DeadLetterKey, DeadLetterStore};
use crate::error::{DeadLetterError, DropError, InspectError, SearchError, WriteError};
use crate::seam::{IndexInfo, IndexStore, Inventory, PartitionAudit, PositionRun, Verdicts, WriteBatch};
use crate::search::{SearchRequest, SearchResponse};
use crate::segment::FilingWindow;

/// An index store and a dead letter store without files.
#[derive(Debug)]
pub struct MemoryStore {
    window: FilingWindow,
    durability: Durability,
    state: Mutex<State>,
    progress: watch::Sender<u64>,
}

/// When taken events become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When they are taken.
    Immediate,
    /// When [`IndexStore::flush`] is called; until then [`MemoryStore::after_crash`] forgets them.
    OnFlush,
}

#[derive(Debug, Clone, Default)]
struct State {
    partitions: BTreeMap<StreamPartition, Partition>,
    letters: DeadLetters,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(durability: Durability, window: FilingWindow) -> Self {
        Self::with_state(durability, window, State::default())
    }

    /// What another process would find if this one died now: what is durable.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        let mut state = self.state().clone();
        for partition in state.partitions.values_mut() {
            partition.forget_volatile();
        }
        state.partitions.retain(|_, partition| partition.durable() > Offset::ZERO);
        Self::with_state(self.durability, self.window, state)
    }

    fn with_state(durability: Durability, window: FilingWindow, state: State) -> Self {
        Self { window, durability, state: Mutex::new(state), progress: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce_progress(&self) {
        self.progress.send_modify(|version| *version = version.wrapping_add(1));
    }
}

#[async_trait]
impl IndexStore for MemoryStore {
    async fn write(&self, batch: WriteBatch) -> Result<Verdicts, WriteError> {
        let progressed = {
            let mut state = self.state();
            if let Some(expected) = state.partitions.get(&batch.partition).map(Partition::next)
                && batch.from > expected
            {
                return Err(WriteError::Gap { expected, got: batch.from });
            }
            let partition = state.partitions.entry(batch.partition).or_default();
            partition.take(batch.records, batch.next, self.window);
            match self.durability {
                Durability::Immediate => partition.make_durable(),
                Durability::OnFlush => false,
            }
        };
        if progressed {
            self.announce_progress();
        }
        Ok(Verdicts::default())
    }

    fn resume(&self, partition: &StreamPartition, _committed: Offset) -> Offset {
        self.durable(partition).unwrap_or(Offset::ZERO)
    }

    fn release(&self, _partitions: &[StreamPartition]) {}

    fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.state().partitions.get(partition).map(Partition::durable)
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    async fn flush(&self) -> Result<(), WriteError> {
        let mut progressed = false;
        for partition in self.state().partitions.values_mut() {
            progressed |= partition.make_durable();
        }
        if progressed {
            self.announce_progress();
        }
        Ok(())
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError> {
        search::answer(&self.state().partitions, &request)
    }

    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError> {
        let mut indices: BTreeMap<(IndexPrefix, Day), IndexInfo> = BTreeMap::new();
        for row in self.state().partitions.values().flat_map(|partition| partition.rows.values()) {
            let info = indices.entry((row.prefix().clone(), row.day)).or_insert_with(|| IndexInfo {
                prefix: row.prefix().clone(),
                day: row.day,
                events: 0,
                bytes: 0,
                files: Vec::new(),
            });
            info.events += 1;
            info.bytes += row.content().to_string().len() as u64;
        }
        Ok(indices.into_values().collect())
    }

    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError> {
        let doomed =
            |row: &partition::Row| row.day < day && prefix.is_none_or(|prefix| prefix == row.prefix());
        let dropped = self.state().partitions.values_mut().map(|partition| partition.drop_rows(doomed)).sum();
        Ok(dropped)
    }

    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError> {
        let state = self.state();
        let rows = state.partitions.get(partition).map(|partition| &partition.rows);
        Ok(PositionRun::select(wanted, |offset, index| {
            rows.is_some_and(|rows| rows.contains_key(&(offset, index)))
        }))
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        Some(self)
    }
}

#[async_trait]
impl Inventory for MemoryStore {
    async fn audit(&self, stream: &StreamName) -> Result<Vec<PartitionAudit>, InspectError> {
        let state = self.state();
        let of_stream = state.partitions.iter().filter(|(partition, _)| partition.stream == *stream);
        Ok(of_stream.map(|(name, partition)| partition.audit(name)).collect())
    }

    async fn positions(
        &self,
        partition: &StreamPartition,
        from: Offset,
    ) -> Result<Vec<PositionRun>, InspectError> {
        let state = self.state();
        Ok(state.partitions.get(partition).map(|partition| partition.runs(from)).unwrap_or_default())
    }
}

#[async_trait]
impl DeadLetterStore for MemoryStore {
    async fn put(&self, letters: Vec<DeadLetter>) -> Result<(), DeadLetterError> {
        let mut state = self.state();
        letters.into_iter().for_each(|letter| state.letters.put(letter));
        Ok(())
    }

    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<(DeadLetterKey, DeadLetterEntry)>, DeadLetterError> {
        Ok(self.state().letters.list(filter, after, limit))
    }

    async fn newest(&self) -> Result<Option<DeadLetterKey>, DeadLetterError> {
        Ok(self.state().letters.newest())
    }

    async fn get(&self, id: &EventId) -> Result<Option<DeadLetter>, DeadLetterError> {
        Ok(self.state().letters.get(id))
    }

    async fn purge(&self, ids: &[EventId]) -> Result<u64, DeadLetterError> {
        Ok(self.state().letters.purge(ids))
    }

    async fn counts(&self, stream: &StreamName) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        Ok(self.state().letters.counts(stream))
    }

    async fn kept(&self, filter: &DeadLetterFilter) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        Ok(self.state().letters.kept(filter))
    }

    async fn kept_at(
        &self,
        partition: &StreamPartition,
        offsets: Range<Offset>,
    ) -> Result<u64, DeadLetterError> {
        Ok(self.state().letters.kept_at(partition, &offsets))
    }
}
