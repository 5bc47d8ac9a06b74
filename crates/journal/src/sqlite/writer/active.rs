//! The file that is written.

use std::path::PathBuf;
use std::time::Duration;

use foldhash::HashSet;
use rusqlite::{Connection, params};
use weir_model::Timestamp;

use super::group::{Group, Trouble};
use crate::sqlite::catalog::{Catalog, Gap};
use crate::sqlite::file::{self, Beginning, FileError};
use crate::sqlite::frame::{Label, format_code};
use crate::sqlite::inventory::{self, PartitionRow, StreamRow, Summary};
use crate::sqlite::journal::Shared;
use crate::sqlite::marks::{self, MarkRow};

/// Pages in the WAL after which it is copied into the file. Callers wait meanwhile: more would make rarer but
/// longer pauses, for the same CPU time and the same bytes written.
const CHECKPOINT_PAGES: u64 = 500;
/// Pages in the WAL after which readers have to wait until it is copied: else it would grow without bound
/// while somebody always reads.
const WAL_LIMIT_PAGES: u64 = 8_000;
/// Bytes of values after which the summary is written again; what is behind it is counted at open.
const SUMMARY_BYTES: u64 = 64 << 20;
/// Bytes that a row and its place in the index take beside the value.
const ROW_BYTES: u64 = 96;

/// What changed since the summary was written.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Unsummarized {
    pub(in crate::sqlite) partitions: HashSet<u32>,
    /// Of values, as stored.
    pub(in crate::sqlite) bytes: u64,
}

#[derive(Debug)]
pub(in crate::sqlite) struct ActiveFile {
    directory: PathBuf,
    sequence: u32,
    connection: Connection,
    summary: Summary,
    unsummarized: Unsummarized,
    /// Pages in the WAL that are not in the file, roughly, and how many of them bring the next checkpoint.
    wal_pages: u64,
    checkpoint_at: u64,
    page_limit: Option<u32>,
}

impl ActiveFile {
    pub(in crate::sqlite) fn new(
        directory: PathBuf,
        sequence: u32,
        connection: Connection,
        summary: Summary,
        unsummarized: Unsummarized,
    ) -> Self {
        Self {
            directory,
            sequence,
            connection,
            summary,
            unsummarized,
            wal_pages: 0,
            checkpoint_at: CHECKPOINT_PAGES,
            page_limit: None,
        }
    }

    /// A file that nothing was written to yet.
    pub(in crate::sqlite) fn fresh(directory: PathBuf, sequence: u32, connection: Connection) -> Self {
        Self::new(directory, sequence, connection, Summary::default(), Unsummarized::default())
    }

    pub(in crate::sqlite) fn sequence(&self) -> u32 {
        self.sequence
    }

    pub(super) fn set_page_limit(&mut self, limit: Option<u32>) -> Result<(), Trouble> {
        if self.page_limit != limit {
            // The largest value means no limit but SQLite's own.
            self.connection.pragma_update(None, "max_page_count", limit.unwrap_or(0xffff_fffe))?;
            self.page_limit = limit;
        }
        Ok(())
    }

    pub(super) fn begin(&self) -> Result<(), Trouble> {
        self.connection.prepare_cached("begin immediate")?.execute([])?;
        Ok(())
    }

    /// Makes the transaction durable.
    pub(super) fn commit(&mut self, group: &Group) -> Result<(), Trouble> {
        self.connection.prepare_cached("commit")?.execute([])?;
        let mut bytes = 0;
        for record in group.records() {
            self.summary.add(record.bytes, record.received);
            bytes += record.bytes + ROW_BYTES;
        }
        self.unsummarized.partitions.extend(group.touched());
        self.unsummarized.bytes += bytes;
        self.wal_pages += bytes / u64::from(file::PAGE_SIZE) + 2 * group.partitions() as u64 + 2;
        Ok(())
    }

    /// Writes something that changes nothing, to see whether there is space.
    pub(super) fn probe(&self) -> Result<(), Trouble> {
        self.connection.prepare_cached("update summary set records = records")?.execute([])?;
        Ok(())
    }

    pub(super) fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.connection.execute_batch("rollback") {
            tracing::error!(%error, "a transaction of the journal could not be rolled back");
        }
    }

    pub(super) fn insert(&self, label: &Label, offset: u64, event: u64, frame: &[u8]) -> Result<(), Trouble> {
        let mut insert = self.connection.prepare_cached(inventory::INSERT_RECORD)?;
        let (id, digest) = match &label.batch {
            Some(tag) => (Some(tag.id.to_le_bytes()), Some(tag.digest.to_le_bytes())),
            None => (None, None),
        };
        insert.execute(params![
            label.partition,
            offset.cast_signed(),
            event.cast_signed(),
            label.events,
            label.received.micros(),
            format_code(label.format),
            id,
            digest,
            frame,
        ])?;
        Ok(())
    }

    pub(super) fn put_mark(&self, row: &MarkRow) -> Result<(), Trouble> {
        Ok(marks::put(&self.connection, row)?)
    }

    /// Where there are none by now.
    pub(super) fn keep_marks(&self, rows: &[MarkRow]) -> Result<(), Trouble> {
        for row in rows {
            marks::keep(&self.connection, row)?;
        }
        Ok(())
    }

    pub(super) fn insert_stream(&self, row: &StreamRow) -> Result<(), Trouble> {
        inventory::insert_stream(&self.connection, row)?;
        for id in row.first_partition..row.first_partition + row.partitions {
            inventory::put_partition(&self.connection, &PartitionRow { id, ..PartitionRow::default() })?;
        }
        Ok(())
    }

    pub(super) fn insert_gap(&self, partition: u32, gap: &Gap) -> Result<(), Trouble> {
        Ok(inventory::insert_gap(&self.connection, partition, gap)?)
    }

    /// Writes gaps that recovery found, outside a group.
    pub(in crate::sqlite) fn insert_gaps(&mut self, gaps: &[(u32, Gap)]) -> Result<(), FileError> {
        let transaction = self.connection.transaction()?;
        for (partition, gap) in gaps {
            inventory::insert_gap(&transaction, *partition, gap)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What is due after a commit: a checkpoint, a summary, the next file.
    pub(super) fn tidy(&mut self, shared: &Shared) -> Result<(), FileError> {
        shared.note_file(self.sequence, self.summary);
        if self.wal_pages >= self.checkpoint_at {
            self.checkpoint()?;
        }
        if self.unsummarized.bytes >= SUMMARY_BYTES {
            self.summarize(shared)?;
        }
        if self.is_due(shared) {
            self.roll(shared)?;
        }
        Ok(())
    }

    fn is_due(&self, shared: &Shared) -> bool {
        let settings = &shared.settings;
        let size = self.summary.bytes + self.summary.records * ROW_BYTES;
        let Some((first, _)) = self.summary.received else { return false };
        let age = || Timestamp::from(shared.clock.now()).since(first);
        size >= settings.file_size.bytes() || age() >= settings.file_age
    }

    fn checkpoint(&mut self) -> Result<(), FileError> {
        let mode = if self.wal_pages >= WAL_LIMIT_PAGES { "truncate" } else { "passive" };
        let (_, left) = self.checkpoint_as(mode)?;
        self.wal_pages = left;
        self.checkpoint_at = left + CHECKPOINT_PAGES;
        Ok(())
    }

    /// Whether readers were in the way, and how many pages are left in the WAL.
    fn checkpoint_as(&self, mode: &str) -> Result<(bool, u64), FileError> {
        let sql = format!("pragma wal_checkpoint({mode})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (busy, all, done): (i64, i64, i64) =
            statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok((busy != 0, u64::try_from(all - done).unwrap_or(0)))
    }

    fn summarize(&mut self, shared: &Shared) -> Result<(), FileError> {
        self.connection.execute_batch("begin immediate")?;
        let written = self.put_summaries(shared).and_then(|()| self.connection.execute_batch("commit"));
        if let Err(error) = written {
            self.roll_back();
            return Err(error.into());
        }
        self.unsummarized = Unsummarized::default();
        self.wal_pages += 2;
        Ok(())
    }

    fn put_summaries(&self, shared: &Shared) -> rusqlite::Result<()> {
        for id in &self.unsummarized.partitions {
            let Some(partition) = shared.catalog.by_id(*id) else { continue };
            let row = partition.extent().row(*id, self.sequence);
            inventory::put_partition(&self.connection, &row)?;
        }
        inventory::put_summary(&self.connection, &self.summary)
    }

    /// Completes this file and begins the next one. Readers that are in the way put it off.
    fn roll(&mut self, shared: &Shared) -> Result<(), FileError> {
        self.summarize(shared)?;
        let empty = self.empty_wal()?;
        self.wal_pages = 0;
        if empty {
            self.succeed(shared)?;
        }
        Ok(())
    }

    /// Whether it is empty now; else readers were in the way.
    fn empty_wal(&self) -> Result<bool, FileError> {
        self.connection.busy_timeout(Duration::from_millis(250))?;
        let checkpointed = self.checkpoint_as("truncate");
        self.connection.busy_timeout(file::BUSY_TIMEOUT)?;
        let (busy, _) = checkpointed?;
        Ok(!busy)
    }

    /// Goes on in a new file without completing this one. What stays in its WAL is read from there.
    pub(super) fn leave(&mut self, shared: &Shared) -> Result<(), FileError> {
        if let Err(error) = self.empty_wal() {
            tracing::error!(%error, "the WAL of a damaged journal file stays beside it");
        }
        self.succeed(shared)
    }

    fn succeed(&mut self, shared: &Shared) -> Result<(), FileError> {
        let sequence = self.sequence + 1;
        let path = file::create(&self.directory, sequence, &Beginning::of(&shared.catalog))?;
        let connection = file::open_writer(&path)?;
        let next = Self::fresh(self.directory.clone(), sequence, connection);
        let previous = std::mem::replace(self, next);
        shared.note_file(previous.sequence, previous.summary);
        shared.note_file(sequence, Summary::default());
        shared.reader.set_active(sequence);
        shared.rolled.notify_one();
        tracing::info!(file = sequence, "began a journal file");
        drop(previous);
        Ok(())
    }

    /// Leaves the file complete and without a WAL.
    pub(super) fn finish(&mut self, shared: &Shared) -> Result<(), FileError> {
        if !self.unsummarized.partitions.is_empty() {
            self.summarize(shared)?;
        }
        self.checkpoint_as("truncate")?;
        Ok(())
    }
}

impl Beginning {
    /// All streams with where they stand.
    pub(in crate::sqlite) fn of(catalog: &Catalog) -> Self {
        let mut beginning = Self::default();
        for stream in catalog.streams() {
            let Some(first) = stream.partitions.first() else { continue };
            beginning.streams.push(StreamRow {
                name: stream.name.clone(),
                incarnation: first.place.incarnation,
                first_partition: first.id,
                partitions: u32::try_from(stream.partitions.len()).unwrap_or(u32::MAX),
                created: stream.created,
            });
            for partition in &stream.partitions {
                let extent = partition.extent();
                let (at, event) = (extent.end, extent.end_event);
                beginning.gaps.extend(extent.gaps.iter().map(|gap| (partition.id, *gap)));
                beginning.partitions.push(PartitionRow {
                    id: partition.id,
                    from: at,
                    from_event: event,
                    to: at,
                    to_event: event,
                    bytes: 0,
                });
            }
        }
        beginning
    }
}
