//! The store: opening, the seam, and what its parts share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use weir_foundation::clock::Clock;
use weir_foundation::file;
use weir_foundation::health::{Health, Progress};
use weir_foundation::lock::{DirectoryLock, LockError};
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_model::{Day, IndexPrefix, Offset, StreamName, StreamPartition};

use super::error::OpenStoreError;
use super::file::SegmentPaths;
use super::manifest::{Manifest, ManifestState};
use super::open::{Segment, forget_beyond};
use super::section::Settings;
use super::state::State;
use super::worker::{Orders, Worker};
use super::{inspect, search};
use crate::error::{DropError, InspectError, SearchError, WriteError};
use crate::seam::{IndexInfo, IndexStore, Inventory, PartitionAudit, PositionRun, Verdicts, WriteBatch};
use crate::search::{SearchRequest, SearchResponse};

/// The embedded index store. Clones share it; with the last one the worker ends, and what is in memory
/// only is gone.
#[derive(Debug, Clone)]
pub struct SegmentStore {
    shared: Arc<Shared>,
    _worker: Arc<WorkerLease>,
}

#[derive(Debug)]
struct WorkerLease(Arc<Shared>);

impl Drop for WorkerLease {
    fn drop(&mut self) {
        self.0.orders.stop();
    }
}

/// What the store stands on.
#[derive(Debug, Clone)]
pub struct SegmentParts {
    /// Time, for ages and deadlines.
    pub clock: Arc<dyn Clock>,
    /// Threads for the worker and for searches.
    pub spawner: Spawner,
    /// Where the store says how it does.
    pub health: Health,
}

/// Counts since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentStats {
    /// Segments made from heads.
    pub sealed: u64,
    /// Rows in them.
    pub sealed_rows: u64,
    /// Bytes in them.
    pub sealed_bytes: u64,
    /// Segments made from segments.
    pub merged: u64,
    /// Rows in them.
    pub merged_rows: u64,
    /// Rows removed by retention.
    pub dropped_rows: u64,
    /// Times that the worker had to try again.
    pub failures: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) parts: SegmentParts,
    pub(super) health: Progress,
    pub(super) manifest: Mutex<Manifest>,
    /// Files of segments that the manifest may name, or not.
    doubtful: Mutex<Vec<SegmentPaths>>,
    state: Mutex<State>,
    pub(super) orders: Orders,
    /// Wakes writers that wait for room.
    pub(super) room: Notify,
    pub(super) progress: watch::Sender<u64>,
    pub(super) fault: Mutex<Option<Fault>>,
    pub(super) counters: Counters,
    next_id: AtomicU64,
    /// How many searches there were.
    pub(super) searches: AtomicU64,
    /// Held open for its lock.
    _lock: DirectoryLock,
}

/// Why the worker makes no headway.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) full: bool,
    pub(super) reason: String,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sealed: AtomicU64,
    pub(super) sealed_rows: AtomicU64,
    pub(super) sealed_bytes: AtomicU64,
    pub(super) merged: AtomicU64,
    pub(super) merged_rows: AtomicU64,
    pub(super) dropped_rows: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// Without progress for this long while rows wait, the store is stuck.
const STALL_AFTER: Duration = Duration::from_secs(30);

impl SegmentStore {
    /// Opens the store, or makes it if there is none.
    pub fn open(settings: Settings, parts: SegmentParts) -> Result<Self, OpenStoreError> {
        let directory = settings.directory.clone();
        let failed = |source| OpenStoreError::Directory { path: directory.clone(), source };
        let lock = DirectoryLock::take(&directory).map_err(|error| match error {
            LockError::Taken { .. } => OpenStoreError::InUse { path: directory.clone() },
            LockError::Io(error) => failed(error),
        })?;
        let files = segment_files(&directory).map_err(failed)?;
        let manifest = directory.join("manifest.db");
        // A new manifest would make orphans of all files.
        let opened = match files.is_empty() {
            true => Manifest::open_or_create(&manifest),
            false => Manifest::open(&manifest),
        };
        let (manifest, loaded) = opened
            .map_err(|error| OpenStoreError::Manifest { path: directory.clone(), source: Box::new(error) })?;
        remove_orphans(&directory, files, &loaded).map_err(failed)?;
        let next_id = loaded.segments.iter().map(|segment| segment.id + 1).max().unwrap_or(1);
        let segments: Vec<_> = loaded
            .segments
            .iter()
            .map(|info| {
                let paths = SegmentPaths::new(&directory.join(info.prefix.as_str()), info.id);
                Arc::new(Segment::new(info.clone(), paths))
            })
            .collect();
        let shared = Arc::new(Shared {
            health: parts.health.register("index", STALL_AFTER),
            state: Mutex::new(State::new(loaded, segments)),
            manifest: Mutex::new(manifest),
            doubtful: Mutex::default(),
            orders: Orders::default(),
            room: Notify::new(),
            progress: watch::Sender::new(0),
            fault: Mutex::new(None),
            counters: Counters::default(),
            next_id: AtomicU64::new(next_id),
            searches: AtomicU64::new(1),
            settings,
            parts,
            _lock: lock,
        });
        shared.health.idle();
        let worker = Worker::new(Arc::clone(&shared));
        shared
            .parts
            .spawner
            .spawn_thread("index.worker", Policy::essential(DrainPhase::Close), |drain| worker.run(&drain))
            .map_err(OpenStoreError::Worker)?;
        Ok(Self { _worker: Arc::new(WorkerLease(Arc::clone(&shared))), shared })
    }

    /// Counts since the process started.
    #[must_use]
    pub fn stats(&self) -> SegmentStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SegmentStats {
            sealed: read(&counters.sealed),
            sealed_rows: read(&counters.sealed_rows),
            sealed_bytes: read(&counters.sealed_bytes),
            merged: read(&counters.merged),
            merged_rows: read(&counters.merged_rows),
            dropped_rows: read(&counters.dropped_rows),
            failures: read(&counters.failures),
        }
    }

    /// Bytes of rows that are only in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.shared.state().memory
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl From<Fault> for WriteError {
    fn from(fault: Fault) -> Self {
        let source = std::io::Error::other(fault.reason).into();
        match fault.full {
            true => Self::Full(Some(source)),
            false => Self::Unavailable(source),
        }
    }
}

impl Shared {
    /// Forgets what was read of segments longest ago, beyond what may be kept.
    pub(super) fn forget_old(&self) {
        let segments: Vec<_> = self.state().segments.values().flatten().cloned().collect();
        forget_beyond(self.settings.search_cache.as_usize(), segments.into_iter());
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn doubtful(&self) -> MutexGuard<'_, Vec<SegmentPaths>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fault(&self) -> MutexGuard<'_, Option<Fault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a new segment of the prefix goes.
    pub(super) fn new_segment(&self, prefix: &IndexPrefix) -> std::io::Result<(u64, SegmentPaths)> {
        let directory = self.settings.directory.join(prefix.as_str());
        file::make_directory(&directory)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Ok((id, SegmentPaths::new(&directory, id)))
    }

    pub(super) fn announce(&self) {
        self.progress.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Waits until rows may be added; fails while the disk does.
    async fn room(&self) -> Result<(), WriteError> {
        loop {
            let freed = self.room.notified();
            if self.state().memory < self.settings.head_memory.as_usize() {
                return Ok(());
            }
            if let Some(fault) = self.fault().clone() {
                return Err(fault.into());
            }
            self.orders.wake();
            freed.await;
        }
    }
}

/// The files that are, or might be, of segments.
fn segment_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for prefix in std::fs::read_dir(directory)? {
        let prefix = prefix?;
        if !prefix.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(prefix.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|e| e == "parquet" || e == "filter") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Removes files that the manifest does not name, left by a process that ended between writing a segment
/// and naming it.
fn remove_orphans(directory: &Path, files: Vec<PathBuf>, loaded: &ManifestState) -> std::io::Result<()> {
    let named: std::collections::HashSet<_> = loaded
        .segments
        .iter()
        .flat_map(|segment| {
            let paths = SegmentPaths::new(&directory.join(segment.prefix.as_str()), segment.id);
            [paths.rows, paths.filter]
        })
        .collect();
    for path in files.into_iter().filter(|path| !named.contains(path)) {
        tracing::info!(path = %path.display(), "removing a file that the manifest does not name");
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

#[async_trait]
impl IndexStore for SegmentStore {
    /// Works on the calling thread, some microseconds per event; give it batches of a few megabytes.
    async fn write(&self, batch: WriteBatch) -> Result<Verdicts, WriteError> {
        let shared = &*self.shared;
        let source = {
            let mut state = shared.state();
            let source = state.source(&batch.partition);
            match state.next(source) {
                Some(next) if batch.from.0 > next => {
                    return Err(WriteError::Gap { expected: Offset(next), got: batch.from });
                }
                _ => source,
            }
        };
        for record in &batch.records {
            shared.room().await?;
            let now = shared.parts.clock.monotonic();
            let due = {
                let mut state = shared.state();
                state.take(source, record, now);
                state.head(record.events.index_prefix()).is_some_and(super::worker::is_large)
            };
            if due {
                shared.orders.wake();
            }
        }
        shared.state().advance(source, batch.next.0);
        shared.health.busy();
        Ok(Verdicts::default())
    }

    fn resume(&self, partition: &StreamPartition, _committed: Offset) -> Offset {
        self.durable(partition).unwrap_or(Offset::ZERO)
    }

    fn release(&self, _partitions: &[StreamPartition]) {}

    fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.shared.state().durable(partition)
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.shared.progress.subscribe()
    }

    async fn flush(&self) -> Result<(), WriteError> {
        let answer = self.shared.orders.flush();
        Ok(answer.await.map_err(|_closed| WriteError::Closing)??)
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError> {
        search::search(&self.shared, request).await
    }

    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError> {
        Ok(inspect::indices(&self.shared))
    }

    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError> {
        let answer = self.shared.orders.drop_before(prefix.cloned(), day);
        match answer.await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(fault)) => Err(DropError(std::io::Error::other(fault.reason).into())),
            Err(closed) => Err(DropError(Box::new(closed))),
        }
    }

    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError> {
        inspect::holds(self, partition, wanted).await
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        Some(self)
    }
}

#[async_trait]
impl Inventory for SegmentStore {
    async fn audit(&self, stream: &StreamName) -> Result<Vec<PartitionAudit>, InspectError> {
        Ok(inspect::audit(&self.shared, stream))
    }

    async fn positions(
        &self,
        partition: &StreamPartition,
        from: Offset,
    ) -> Result<Vec<PositionRun>, InspectError> {
        let (shared, partition) = (Arc::clone(&self.shared), partition.clone());
        self.shared
            .parts
            .spawner
            .blocking("index.positions", move || inspect::positions(&shared, &partition, from))
            .await
            .map_err(|error| InspectError(Box::new(error)))?
            .map_err(|error| InspectError(Box::new(error)))
    }
}
