//! What one file says about itself, counted to its end.

use std::path::Path;

use foldhash::HashMap;
use rusqlite::Connection;
use weir_model::Incarnation;

use super::Access;
use crate::sqlite::catalog::Gap;
use crate::sqlite::file::{self, FileError};
use crate::sqlite::inventory::{self, PartitionRow, StreamRow, Summary};
use crate::sqlite::row::{self, RawRecord};
use crate::sqlite::writer::Unsummarized;

/// A file that was opened and looked through.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) streams: Vec<StreamRow>,
    pub(super) partitions: HashMap<u32, PartitionRow>,
    pub(super) gaps: Vec<(u32, Gap)>,
    pub(super) summary: Summary,
    /// Whether `partitions` is known to go to the end of the file.
    pub(super) complete: bool,
    /// Partitions with records behind the summary that is on disk, and the bytes of those records.
    pub(super) unsummarized: Unsummarized,
    /// To write on; only of the newest file, and only for its owner.
    pub(super) connection: Option<Connection>,
}

/// The file that goes on being written, if nothing is wrong with it.
pub(super) fn load_newest(path: &Path) -> Result<Loaded, FileError> {
    let written = file::open_writer(path).and_then(|connection| {
        inventory::check_tables(&connection)?;
        let loaded = load_from(path, &connection)?;
        let complete = loaded.complete && loaded.is_tail_sound(&connection)?;
        Ok(Loaded { complete, connection: Some(connection), ..loaded })
    });
    match written {
        Err(FileError::Damaged(error) | FileError::Unreadable(error)) => {
            tracing::error!(file = %path.display(), %error, "the newest journal file can not be written on");
            let loaded = load_from(path, &file::open_reader(path, file::phase(path))?)?;
            Ok(Loaded { complete: false, ..loaded })
        }
        other => other,
    }
}

/// A file that is only read from now on.
pub(super) fn load(path: &Path, sequence: u32, access: Access) -> Result<Loaded, FileError> {
    if access == Access::Owner && file::has_wal(path) {
        take_over_wal(path, sequence)?;
    }
    load_from(path, &file::open_reader(path, file::phase(path))?)
}

fn load_from(path: &Path, connection: &Connection) -> Result<Loaded, FileError> {
    let inventory = inventory::read(connection)?;
    let summary = match inventory.summary {
        Some(summary) => summary,
        // Nothing is behind a summary that is not known; what the rows say is all.
        None => Summary { records: file::last_record(connection)?, ..Summary::default() },
    };
    let mut loaded = Loaded {
        streams: inventory.streams,
        partitions: inventory.partitions.into_iter().map(|row| (row.id, row)).collect(),
        gaps: inventory.gaps,
        summary,
        complete: true,
        unsummarized: Unsummarized::default(),
        connection: None,
    };
    loaded.find_missing(connection);
    if let Err(error) = loaded.count(connection) {
        match error {
            FileError::Damaged(error) | FileError::Unreadable(error) => {
                tracing::error!(file = %path.display(), %error, "a journal file is damaged");
                loaded.complete = false;
            }
            other => return Err(other),
        }
    }
    if !inventory.sound {
        tracing::error!(file = %path.display(), "what a journal file says about itself is damaged");
        loaded.complete = false;
    }
    Ok(loaded)
}

/// Takes over what a crash left beside a file that is not written any more. Where that can not be done, the
/// file goes on being read through it.
fn take_over_wal(path: &Path, sequence: u32) -> Result<(), FileError> {
    tracing::info!(file = sequence, "taking over the WAL of a journal file");
    let taken = file::open_writer(path).and_then(|connection| {
        connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error.into())
    });
    match taken {
        Err(FileError::Damaged(error) | FileError::Unreadable(error) | FileError::Sqlite(error)) => {
            tracing::error!(file = sequence, %error, "the WAL of a journal file stays beside it");
            Ok(())
        }
        other => other,
    }
}

/// What the count of the records behind the summary has seen.
#[derive(Default)]
struct Count {
    /// Rows that are passed, readable or not.
    rows: u64,
    /// Rows whose place is where the next record of their partition had to be.
    placed: u64,
    /// Rows that could not be read.
    lost: u64,
    /// How many of them are the last ones.
    lost_in_a_row: u64,
}

/// More records than the last page of a file can have.
const TAIL: u64 = 256;

/// Rows in a row that can not be read after which the file is taken to have no more.
const PATIENCE: u64 = 100_000;

impl Loaded {
    /// Counts the records behind the summary.
    fn count(&mut self, connection: &Connection) -> Result<(), FileError> {
        let last = file::last_record(connection)?;
        if last <= self.summary.records {
            // Less than there were: the last page is damaged in a way that SQLite does not notice.
            self.complete = last == self.summary.records;
            return Ok(());
        }
        let lives = self.incarnations();
        let mut count = Count::default();
        let all = last - self.summary.records;
        while count.rows < all && count.lost_in_a_row < PATIENCE {
            match self.count_on(connection, &lives, &mut count) {
                Ok(()) => break,
                // What is behind the damage is still there.
                Err(FileError::Damaged(error) | FileError::Unreadable(error)) => {
                    if count.lost == 0 {
                        tracing::error!(%error, "a record of a journal file can not be read");
                    }
                    count.rows += 1;
                    count.lost += 1;
                    count.lost_in_a_row += 1;
                    self.summary.records += 1;
                }
                Err(error) => return Err(error),
            }
        }
        self.complete = count.lost == 0 && count.rows == all && count.placed == count.rows;
        Ok(())
    }

    /// Goes on counting up to the end, or to a row that can not be read.
    fn count_on(
        &mut self,
        connection: &Connection,
        lives: &HashMap<u32, Incarnation>,
        count: &mut Count,
    ) -> Result<(), FileError> {
        let mut statement = connection.prepare_cached(row::columns!("where id > ? order by id"))?;
        let mut rows = statement.query([self.summary.records.cast_signed()])?;
        while let Some(row) = rows.next()? {
            count.rows += 1;
            count.lost_in_a_row = 0;
            let bytes =
                row.get_ref(8).ok().and_then(|value| value.as_blob().ok()).map_or(0, <[u8]>::len) as u64;
            let raw = RawRecord::of(row).ok();
            self.unsummarized.bytes += bytes;
            self.summary.add(bytes, raw.as_ref().map_or_else(Default::default, |raw| raw.received));
            if let Some(raw) = raw {
                self.place(connection, self.summary.records, raw, lives, count);
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        connection: &Connection,
        id: u64,
        raw: RawRecord,
        lives: &HashMap<u32, Incarnation>,
        count: &mut Count,
    ) {
        let (partition, offset, event) =
            (raw.partition, raw.offset, raw.first_event.saturating_add(u64::from(raw.events)));
        let bytes = raw.frame.len() as u64;
        let Some(life) = lives.get(&partition) else { return };
        let Some(known) = self.partitions.get_mut(&partition) else { return };
        // A record that does not verify still has a place if the index, its second witness, says the same.
        let sure = raw.verify(*life).is_some()
            || matches!(row::indexed_id(connection, partition, offset), Ok(Some(found)) if found.cast_unsigned() == id);
        let skipped = self
            .gaps
            .iter()
            .filter(|(of, gap)| *of == partition && gap.from >= known.to && gap.to <= offset)
            .map(|(_, gap)| gap.to - gap.from)
            .sum::<u64>();
        // Damaged records before this one leave their places free, never more than there were rows.
        let behind = offset.checked_sub(known.to + skipped);
        if !sure || behind.is_none_or(|behind| behind > count.rows) {
            return;
        }
        count.placed += behind.unwrap_or(0) + 1;
        known.to = offset + 1;
        known.to_event = event;
        known.bytes += bytes;
        self.unsummarized.partitions.insert(partition);
    }

    /// Whether the last records are where they were put: a damaged page does not keep what is written into it.
    fn is_tail_sound(&self, connection: &Connection) -> Result<bool, FileError> {
        let lives = self.incarnations();
        let mut id = self.summary.records.saturating_sub(TAIL);
        let mut statement =
            connection.prepare_cached("select id, partition, offset from record where id > ? order by id")?;
        let mut rows = statement.query([id.cast_signed()])?;
        while let Some(row) = rows.next()? {
            id += 1;
            let (found, partition, offset) = (file::unsigned(row, 0)?, row.get(1)?, file::unsigned(row, 2)?);
            let indexed = row::indexed_id(connection, partition, offset);
            let witnessed = matches!(indexed, Ok(Some(indexed)) if indexed.cast_unsigned() == id);
            if found != id || !(witnessed || is_verified(connection, id, &lives)) {
                tracing::error!(id, "the last page of a journal file is damaged");
                return Ok(false);
            }
        }
        Ok(id == self.summary.records)
    }

    /// Asks the index about partitions whose own row is damaged.
    fn find_missing(&mut self, connection: &Connection) {
        let known = self.streams.iter().flat_map(|stream| {
            let first = stream.first_partition;
            first..first + stream.partitions
        });
        let missing: Vec<u32> = known.filter(|id| !self.partitions.contains_key(id)).collect();
        for id in missing {
            let row = row::bounds(connection, id).ok().flatten();
            if let Some(row) = row
                .filter(|row| row.to.checked_sub(row.from).is_some_and(|count| count <= self.summary.records))
            {
                self.partitions.insert(id, row);
            }
        }
    }

    fn incarnations(&self) -> HashMap<u32, Incarnation> {
        let numbered = |stream: &StreamRow| {
            let (first, life) = (stream.first_partition, stream.incarnation);
            (first..first + stream.partitions).map(move |id| (id, life))
        };
        self.streams.iter().flat_map(numbered).collect()
    }
}

fn is_verified(connection: &Connection, id: u64, lives: &HashMap<u32, Incarnation>) -> bool {
    let read = connection.prepare_cached(row::columns!("not indexed where id = ?"));
    let raw = read.and_then(|mut read| read.query_row([id.cast_signed()], RawRecord::of));
    raw.is_ok_and(|raw| lives.get(&raw.partition).is_some_and(|life| raw.verify(*life).is_some()))
}
