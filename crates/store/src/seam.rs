//! The seam of the index store: what it guarantees, in prose, and the types that cross it.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_model::{Day, EventBatch, IndexPrefix, Offset, StreamName, StreamPartition, Timestamp};

use crate::error::{DropError, InspectError, SearchError, WriteError};
use crate::search::{SearchRequest, SearchResponse};

/// Where events can be searched.
///
/// Guarantees required of every implementation:
///
/// * **Idempotent by position.** Writing an event again changes nothing: a search finds it once.
/// * **Taken, then durable.** An event that [`write`](IndexStore::write) took is searchable within a second.
///   It survives the process only when [`durable`](IndexStore::durable) has passed its record; until then
///   the caller must be able to write it again.
/// * **Contiguous.** `durable` of a partition is an offset below which every event is durably stored or was
///   answered with a rejection; it never goes back while the partition is this process's.
/// * **Goes on where it must.** [`resume`](IndexStore::resume) answers an offset below which everything is
///   durable or rejected. A store that remembers positions answers its own `durable`, which after a restart is
///   what it was or further, whatever was committed; one that does not answers what the group committed.
/// * **Nothing is dropped in silence.** Any content of model's limits is taken and comes back with the same
///   types, nesting and values (the order of keys is free), or is rejected with the reason; its neighbours are
///   taken all the same. An embedded store rejects nothing.
/// * **Snapshots.** A search sees each event of one instant exactly once.
/// * **Bounded.** A search keeps its limits of time and memory and stops when its future is dropped.
///
/// Freedoms: when taken events become durable; in which files, requests or memory they are; what is
/// remembered to answer searches sooner.
#[async_trait]
pub trait IndexStore: Send + Sync + fmt::Debug {
    /// Takes the records of one partition, in order. Waits while the store has no room; a caller that
    /// gives records of one partition out of order breaks "contiguous".
    async fn write(&self, batch: WriteBatch) -> Result<Verdicts, WriteError>;

    /// Where a partition goes on that is this process's from now on and that the group committed up to
    /// `committed`. A store that remembers no positions forgets what it knew of the partition, which may have
    /// been another member's in between.
    fn resume(&self, partition: &StreamPartition, committed: Offset) -> Offset;

    /// These partitions are no longer this process's: what was given of them and is not durable will be given
    /// again, to whoever has them then. The caller has dropped its [`write`](IndexStore::write)s of them.
    fn release(&self, partitions: &[StreamPartition]);

    /// The offset below which everything of the partition is durable; absent if the store knows nothing
    /// of the partition.
    fn durable(&self, partition: &StreamPartition) -> Option<Offset>;

    /// Changes whenever `durable` of any partition did; its value has no meaning.
    fn progress(&self) -> watch::Receiver<u64>;

    /// Makes everything taken so far durable.
    async fn flush(&self) -> Result<(), WriteError>;

    /// Answers a search.
    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError>;

    /// What can be searched, in the order of names.
    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError>;

    /// Removes what lies wholly before `day`: of one prefix, or of all.
    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError>;

    /// Which of these positions of a partition the store holds, in their order, without gaps inside a run:
    /// what [`write`](IndexStore::write) has answered, at least. The cost is that of the positions asked for.
    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError>;

    /// The list of its rows by position, if the store keeps one.
    fn inventory(&self) -> Option<&dyn Inventory> {
        None
    }
}

/// What a store that keeps positions can say besides: which rows there are, without being told where to look.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// What the store's own rows say about the partitions of a stream.
    async fn audit(&self, stream: &StreamName) -> Result<Vec<PartitionAudit>, InspectError>;

    /// Which positions of a partition the store's rows hold, at or above `from`, in order, without gaps
    /// inside a run. Of many events these are the first, of whole records: ask again from behind the last. An
    /// empty answer says that there are no more.
    async fn positions(
        &self,
        partition: &StreamPartition,
        from: Offset,
    ) -> Result<Vec<PositionRun>, InspectError>;
}

impl dyn IndexStore + '_ {
    /// The inventory, for whoever can not do without.
    pub fn require_inventory(&self) -> Result<&dyn Inventory, InspectError> {
        self.inventory().ok_or_else(|| InspectError(Box::new(NoInventory)))
    }
}

/// A store without an [`Inventory`] was asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store keeps no list of its rows: ask whether it holds given positions")]
pub struct NoInventory;

/// Records of one partition, in order of their offsets.
#[derive(Debug)]
pub struct WriteBatch {
    /// Where they are from.
    pub partition: StreamPartition,
    /// Where the batch before this one ended: at or below what the store has taken already.
    pub from: Offset,
    /// The records.
    pub records: Vec<WriteRecord>,
    /// Where the partition goes on after these records and whatever was lost behind them.
    pub next: Offset,
    /// Whether more waits behind this write, of the partition or for room: then nothing of it is to wait for company.
    pub more: bool,
}

/// One record, decoded. Events with a fault are passed over; the caller has made them dead letters.
#[derive(Debug)]
pub struct WriteRecord {
    /// Its offset.
    pub offset: Offset,
    /// When the door took it.
    pub received: Timestamp,
    /// What it says.
    pub events: EventBatch,
}

/// What became of a batch: every event was taken, but for these.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Never to be tried again; the caller makes dead letters of them before it goes on.
    pub rejected: Vec<Rejection>,
}

/// An event that the store refuses for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The record.
    pub offset: Offset,
    /// The event in it.
    pub index: u32,
    /// Why, for people.
    pub reason: String,
    /// Why, in a word for metrics: one of a few.
    pub label: &'static str,
}

/// One index: the events of one prefix whose time is on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// Its prefix.
    pub prefix: IndexPrefix,
    /// Its day.
    pub day: Day,
    /// How many events it holds, those not yet durable included.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Files to read in place, absolute; for stores that keep files.
    pub files: Vec<std::path::PathBuf>,
}

/// What the store holds of one partition. `stored + dropped + dead` is the number of events below `next`
/// if nothing was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAudit {
    /// The partition.
    pub partition: StreamPartition,
    /// The store has taken everything below.
    pub next: Offset,
    /// Everything below is durable.
    pub durable: Offset,
    /// Rows, counted in the store.
    pub stored: u64,
    /// Rows that retention removed.
    pub dropped: u64,
}

/// `count` events of one record, the indexes `first_index` and up, all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PositionRun {
    /// The record.
    pub offset: Offset,
    /// Index of the first event of the run.
    pub first_index: u32,
    /// How many.
    pub count: u32,
}

impl PositionRun {
    /// The positions of `wanted` that pass, as runs in the same order.
    pub fn select(wanted: &[Self], mut passes: impl FnMut(Offset, u32) -> bool) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for run in wanted {
            for index in (run.first_index..).take(run.count as usize) {
                if !passes(run.offset, index) {
                    continue;
                }
                match runs.last_mut() {
                    Some(last) if last.offset == run.offset && last.first_index + last.count == index => {
                        last.count += 1;
                    }
                    _ => runs.push(Self { offset: run.offset, first_index: index, count: 1 }),
                }
            }
        }
        runs
    }
}

impl IndexInfo {
    /// `<prefix>-YYYY.MM.DD`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.prefix, self.day)
    }
}
