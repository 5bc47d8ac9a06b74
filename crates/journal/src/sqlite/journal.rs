//! The handle of the embedded journal.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};
use weir_foundation::clock::Clock;
use weir_foundation::lock::DirectoryLock;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_model::{Offset, Record, SourceId, StreamName, StreamPartition, Timestamp};

use super::catalog::{Catalog, Partition, Stretch};
use super::condition::{Condition, ConditionCell};
use super::disk::{Disk, SystemDisk};
use super::feed::Feeds;
use super::file::{self, Beginning, FileError};
use super::frame::{Frame, Label};
use super::groups::{Groups, GroupsError, Position};
use super::inventory::Summary;
use super::maintenance;
use super::queue::{Append, Create, Job, Queue, QueueClosed, Skip};
use super::reader::{Cursor, Reader};
use super::recovery::{self, Access};
use super::row;
use super::section::Settings;
use super::stats::{Counters, Stats, add};
use super::subscription::Member;
use super::writer::{ActiveFile, Writer};
use crate::error::{AppendError, CommitError, CreateStreamError, OpenError, ReadError, SubscribeError};
use crate::seam::{
    Appended, Commit, Creation, GroupInfo, IfMissing, Journal, KnownBatch, Origin, ReadBatch, ReadBudget,
    StreamInfo, StreamPattern, StreamSpec, Subscription,
};

/// The oldest SQLite without the WAL-reset bug.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Larger values are compressed off the runtime's threads.
const INLINE: usize = 1 << 20;

type Answered = oneshot::Receiver<Result<u64, AppendError>>;

/// The journal in files of its own. Dropping it closes it, without waiting; see [`SqliteJournal::close`].
pub struct SqliteJournal {
    shared: Arc<Shared>,
}

/// What the parts of the journal have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) spawner: Spawner,
    pub(super) catalog: Catalog,
    pub(super) feeds: Feeds,
    pub(super) queue: Queue,
    pub(super) reader: Reader,
    pub(super) groups: Groups,
    pub(super) condition: ConditionCell,
    pub(super) counters: Counters,
    pub(super) changes: watch::Sender<u64>,
    /// A file was completed.
    pub(super) rolled: Notify,
    files: Mutex<BTreeMap<u32, Summary>>,
    /// Whose turn it is to remove files.
    pub(super) retaining: Mutex<()>,
    /// Whose lock on the directory it is; whoever changes files beside the writer holds this meanwhile.
    ownership: Mutex<Option<DirectoryLock>>,
}

impl SqliteJournal {
    /// Opens or makes the journal and starts what it needs. Blocks while it recovers.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_on(Arc::new(SystemDisk), settings, clock, spawner)
    }

    /// As [`open`](Self::open), with another view of the free space.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Arc<Self>, OpenError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(OpenError::OldSqlite { found: rusqlite::version().to_owned() });
        }
        let directory = &settings.directory;
        let lock = DirectoryLock::take(directory).map_err(|error| OpenError::locking(directory, error))?;
        let found = recovery::find(&settings.directory, Access::Owner)?;
        let groups = Groups::open(&settings.directory, &found.catalog)?;
        let recovered = recovery::resume(&settings.directory, found, &groups)?;
        let shared = Arc::new(Shared {
            catalog: recovered.catalog,
            feeds: Feeds::default(),
            queue: Queue::new(settings.queue.as_usize()),
            reader: Reader::new(settings.directory.clone(), recovered.active.sequence()),
            groups,
            condition: ConditionCell::default(),
            counters: Counters::default(),
            changes: watch::Sender::new(0),
            rolled: Notify::new(),
            files: Mutex::new(recovered.files),
            retaining: Mutex::default(),
            ownership: Mutex::new(Some(lock)),
            settings,
            clock,
            disk,
            spawner: spawner.clone(),
        });
        add(&shared.counters.quarantined_files, recovered.quarantined);
        let writer = Writer::new(Arc::clone(&shared), recovered.active);
        let essential = Policy::essential(DrainPhase::Close);
        spawner
            .spawn_thread("journal.writer", essential, move |_| writer.run())
            .map_err(|source| recovery::failed(&shared.settings.directory, source))?;
        let maintained = Arc::clone(&shared);
        spawner.spawn("journal.maintenance", essential, |drain| maintenance::run(maintained, drain));
        Ok(Arc::new(Self { shared }))
    }

    /// Takes no more, makes durable what it has, and gives the directory free. Idempotent.
    pub async fn close(&self) {
        self.shared.close().await;
    }

    /// How the journal is, now and later.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.shared.condition.subscribe()
    }

    /// What it did since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let files = self.shared.files();
        let bytes = files.values().map(|summary| summary.bytes).sum();
        self.shared.counters.snapshot(files.len() as u64, bytes)
    }

    /// The records of a partition by the files that they are in, oldest first: each goes as a whole. The last one may be
    /// in the file that is written. Empty if the partition is not of this journal.
    #[must_use]
    pub fn stretches(&self, partition: &StreamPartition) -> Vec<Stretch> {
        let known = self.shared.catalog.partition(partition);
        known.map_or_else(Vec::new, |partition| partition.extent().runs.iter().map(Stretch::of).collect())
    }

    /// Looks at the limits now instead of in the next round of maintenance: when this returns, what may go is gone, and
    /// whether there is space again is about to be found out.
    pub async fn retain(&self) {
        self.shared.retain().await;
        self.shared.probe();
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(super) fn files(&self) -> MutexGuard<'_, BTreeMap<u32, Summary>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files but the one that is written, oldest first.
    pub(super) fn sealed_files(&self) -> Vec<(u32, Summary)> {
        let files = self.files();
        let sealed = files.len().saturating_sub(1);
        files.iter().take(sealed).map(|(file, summary)| (*file, *summary)).collect()
    }

    pub(super) fn note_file(&self, file: u32, summary: Summary) {
        self.files().insert(file, summary);
    }

    pub(super) fn forget_file(&self, file: u32) {
        self.files().remove(&file);
    }

    /// Nothing inside means that the directory may be another process's.
    pub(super) fn ownership(&self) -> MutexGuard<'_, Option<DirectoryLock>> {
        self.ownership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last act of the writer: nobody writes any more, so another process may.
    pub(super) fn closed(&self) {
        self.feeds.close_all();
        self.groups.close();
        drop(self.ownership().take());
        self.condition.closed();
    }

    pub(super) async fn close(&self) {
        self.queue.close();
        self.feeds.close_all();
        // How it ended is told by the condition.
        drop(maintenance::ended(&mut self.condition.subscribe()).await);
    }

    fn partition(&self, place: &StreamPartition) -> Result<Arc<Partition>, ReadError> {
        self.catalog.partition(place).ok_or_else(|| ReadError::UnknownPartition(place.clone()))
    }

    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce(&Self) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, ReadError> {
        if matches!(self.condition.get(), Condition::Closed) {
            return Err(ReadError::Closing);
        }
        let shared = Arc::clone(self);
        match self.spawner.blocking(name, move || work(&shared)).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(ReadError::Failed(Box::new(error))),
            Err(error) => Err(ReadError::Failed(Box::new(error))),
        }
    }

    fn known_batches(&self, since: Timestamp, most: usize) -> Result<Vec<KnownBatch>, FileError> {
        let wanted: Vec<u32> = {
            let files = self.files();
            // Where it is not known when a file was written, its records say it.
            let recent =
                files.iter().filter(|(_, summary)| summary.received.is_none_or(|(_, last)| last >= since));
            recent.map(|(file, _)| *file).collect()
        };
        let mut batches = Vec::new();
        for file in wanted.into_iter().rev() {
            let listed = self
                .reader
                .with(file, |connection| row::known_batches(connection, since, most, &mut batches));
            match listed {
                Err(FileError::Damaged(error) | FileError::Unreadable(error)) => {
                    tracing::error!(file, %error, "the batches of a damaged journal file are not known");
                }
                listed => listed?,
            }
        }
        batches.reverse();
        batches.sort_by_key(|batch| batch.received);
        Ok(batches)
    }

    fn commit_error(&self, group: &str, error: GroupsError) -> CommitError {
        match error {
            GroupsError::Closed => CommitError::Closing,
            GroupsError::Taken => CommitError::Live(group.to_owned()),
            GroupsError::Failed(ref failure) => {
                self.condition.failed(&weir_foundation::failure::chain(failure).to_string());
                CommitError::Failed { group: group.to_owned(), source: Box::new(error) }
            }
            other => CommitError::Failed { group: group.to_owned(), source: Box::new(other) },
        }
    }

    /// A record as the writer takes it, and where its offset will be.
    async fn prepare(
        &self,
        partition: Arc<Partition>,
        record: Record,
    ) -> Result<(Append, Answered), AppendError> {
        let label = Label::of(&record, partition.place.incarnation, partition.id);
        let frame = self.frame(label, &record.value).await?;
        let value = self.feeds.is_followed().then_some(record.value);
        let (answer, answered) = oneshot::channel();
        Ok((Append { partition, label, frame, value, mark: None, answer }, answered))
    }

    async fn frame(&self, label: Label, value: &Bytes) -> Result<Frame, AppendError> {
        let codec = self.settings.codec;
        if value.len() <= INLINE {
            return Ok(Frame::new(codec, &label, value));
        }
        let value = value.clone();
        let frame =
            self.spawner.blocking("journal.compress", move || Frame::new(codec, &label, &value)).await;
        frame.map_err(|error| AppendError::Unavailable(Box::new(error)))
    }

    /// Moves the end of a partition up to what a group has dealt with beyond it.
    async fn cut(&self, group: &str, partition: &Arc<Partition>, to: u64) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        let skip = Skip { group: group.to_owned(), partition: Arc::clone(partition), to, answer };
        let refused = |QueueClosed| match self.condition.failure() {
            Some(failure) => CommitError::Failed { group: group.to_owned(), source: Box::new(failure) },
            None => CommitError::Closing,
        };
        self.queue.push(Job::Skip(skip)).await.map_err(refused)?;
        answered.await.unwrap_or(Err(CommitError::Closing))
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError> {
        let limit = self.shared.settings.max_record.as_usize();
        if let Some(size) = records.iter().map(|record| record.value.len()).find(|size| *size > limit) {
            return Err(AppendError::TooLarge { size, limit });
        }
        let unknown = || AppendError::UnknownStream(stream.clone());
        let known = self.shared.catalog.stream(stream).ok_or_else(unknown)?;
        let (mut appends, mut answers) = (Vec::with_capacity(1), Vec::with_capacity(1));
        let key = origin.key();
        for record in records {
            let partition = Arc::clone(known.choose(key.as_deref()).ok_or_else(unknown)?);
            let (append, answered) = self.shared.prepare(partition, record).await?;
            answers.push((append.partition.place.clone(), answered));
            appends.push(append);
        }
        if let Some(last) = appends.last_mut() {
            last.mark = origin.mark();
        }
        let job = match (appends.pop(), appends.is_empty()) {
            (None, _) => return Ok(Vec::new()),
            (Some(append), true) => Job::Append(append),
            (Some(append), false) => {
                appends.push(append);
                Job::AppendAll(appends)
            }
        };
        let refused = |QueueClosed| match self.shared.condition.failure() {
            Some(failure) => AppendError::Unavailable(Box::new(failure)),
            None => AppendError::Closing,
        };
        self.shared.queue.push(job).await.map_err(refused)?;
        let mut appended = Vec::with_capacity(answers.len());
        for (partition, answered) in answers {
            // The writer answers everything that it took, unless its thread panicked.
            let lost = |_| Err(AppendError::Failed("the writer of the journal is gone".into()));
            let offset = answered.await.unwrap_or_else(lost)?;
            appended.push(Appended { partition, offset: Offset(offset) });
        }
        Ok(appended)
    }

    async fn create_stream(&self, spec: StreamSpec) -> Result<Creation, CreateStreamError> {
        if let Some(stream) = self.shared.catalog.stream(&spec.name) {
            return Ok(Creation::Existed(stream.info()));
        }
        if spec.if_missing == IfMissing::Refuse {
            return Err(CreateStreamError::Missing(spec.name));
        }
        let most = self.shared.settings.max_partitions;
        let partitions = spec.partitions.map_or(most, |asked| asked.clamp(1, most));
        let (answer, answered) = oneshot::channel();
        let create = Create { name: spec.name.clone(), partitions, answer };
        let refused = |QueueClosed| match self.shared.condition.failure() {
            Some(failure) => CreateStreamError::Failed { name: spec.name, source: Box::new(failure) },
            None => CreateStreamError::Closing,
        };
        self.shared.queue.push(Job::Create(create)).await.map_err(refused)?;
        answered.await.unwrap_or(Err(CreateStreamError::Closing))
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, ReadError> {
        Ok(self.shared.catalog.streams().iter().map(|stream| stream.info()).collect())
    }

    async fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError> {
        let known = self.shared.partition(partition)?;
        if from.0 >= known.extent().end {
            let (records, losses) = (Vec::new(), Vec::new());
            return Ok(ReadBatch { partition: partition.clone(), records, losses, next: from });
        }
        let read = move |shared: &Shared| shared.reader.read(&known, Cursor::at(from), budget);
        let scan = self.shared.blocking("journal.read", read).await?;
        Ok(ReadBatch {
            partition: partition.clone(),
            records: scan.records,
            losses: scan.losses,
            next: Offset(scan.next.offset),
        })
    }

    async fn subscribe(
        &self,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let shared = &self.shared;
        let membership = shared.groups.join(group);
        let membership = membership.ok_or_else(|| SubscribeError::Taken(group.to_owned()))?;
        let feed = shared.feeds.open(pattern.clone(), &shared.catalog);
        let member = Member::new(Arc::clone(shared), membership, feed);
        let wanted = shared.catalog.streams().into_iter().filter(|stream| pattern.matches(&stream.name));
        let begins = wanted.flat_map(|stream| stream.partitions.clone()).filter_map(|partition| {
            let (offset, event) = {
                let extent = partition.extent();
                (extent.start(), extent.start_event())
            };
            (offset > 0).then_some((partition, Position { offset, event: Some(event) }))
        });
        let subscribed = shared.groups.subscribed(&shared.spawner, group, &pattern, begins.collect()).await;
        subscribed
            .map_err(|error| SubscribeError::Failed { group: group.to_owned(), source: Box::new(error) })?;
        Ok(Box::new(member))
    }

    async fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), CommitError> {
        let mut positions = Vec::with_capacity(commits.len());
        for commit in commits {
            let partition = self
                .shared
                .partition(&commit.partition)
                .map_err(|error| CommitError::Failed { group: group.to_owned(), source: Box::new(error) })?;
            let end = partition.extent().end;
            if commit.offset.0 > end {
                self.shared.cut(group, &partition, commit.offset.0).await?;
            }
            positions.push((partition, commit.offset.0));
        }
        let committed = self.shared.groups.commit(&self.shared.spawner, group, positions).await;
        committed.map_err(|error| self.shared.commit_error(group, error))
    }

    async fn groups(&self) -> Result<Vec<GroupInfo>, ReadError> {
        Ok(self.shared.groups.infos(&self.shared.catalog))
    }

    async fn delete_group(&self, group: &str) -> Result<(), CommitError> {
        let deleted = self.shared.groups.delete(&self.shared.spawner, group).await;
        deleted.map_err(|error| self.shared.commit_error(group, error))
    }

    async fn known_batches(&self, since: Timestamp, most: usize) -> Result<Vec<KnownBatch>, ReadError> {
        self.shared.blocking("journal.known-batches", move |shared| shared.known_batches(since, most)).await
    }

    async fn mark(&self, _: &StreamName, source: SourceId) -> Result<Option<u64>, ReadError> {
        self.shared.blocking("journal.mark", move |shared| shared.mark(source)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.feeds.close_all();
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal")
            .field("directory", &self.shared.settings.directory)
            .field("condition", &self.shared.condition.get())
            .finish_non_exhaustive()
    }
}

/// The file that recovery goes on in.
pub(super) fn begin_file(
    directory: &std::path::Path,
    sequence: u32,
    catalog: &Catalog,
) -> Result<ActiveFile, FileError> {
    let path = file::create(directory, sequence, &Beginning::of(catalog))?;
    Ok(ActiveFile::fresh(directory.to_owned(), sequence, file::open_writer(&path)?))
}
