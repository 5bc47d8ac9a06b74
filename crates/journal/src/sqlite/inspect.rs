//! Looking at a journal without changing it: every record is read and verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_foundation::lock::DirectoryLock;
use weir_model::{Offset, StreamName, StreamPartition};

use super::catalog::{Catalog, Partition};
use super::file::{self, FileError};
use super::journal::{Shared, SqliteJournal};
use super::reader::{Cursor, Reader};
use super::recovery::{self, Access};
use crate::error::{OpenError, ReadError};
use crate::seam::{Loss, ReadBatch, ReadBudget, StreamInfo};

const BUDGET: ReadBudget = ReadBudget { bytes: 4 << 20, records: 10_000 };

/// The journal of a process that is not running. Its methods block.
#[derive(Debug)]
pub struct Inspector {
    directory: PathBuf,
    catalog: Catalog,
    reader: Reader,
    files: Vec<u32>,
    /// Nobody opens the journal while somebody inspects it.
    _lock: Option<DirectoryLock>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Oldest first.
    pub files: Vec<FileReport>,
    /// Names of files that were put aside because they could not be read at all.
    pub quarantined: Vec<String>,
    /// In the order of their names.
    pub streams: Vec<StreamReport>,
}

/// A file of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its name in the directory.
    pub name: String,
    /// Its size on disk, with what SQLite keeps beside it.
    pub bytes: u64,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Full name.
    pub name: StreamName,
    /// In order of their indexes.
    pub partitions: Vec<PartitionReport>,
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// The partition.
    pub partition: StreamPartition,
    /// The first offset that may be readable.
    pub start: Offset,
    /// The next offset.
    pub end: Offset,
    /// Records that were read and verified.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of their values, uncompressed.
    pub bytes: u64,
    /// What can not be read between start and end.
    pub losses: Vec<Loss>,
}

impl CheckReport {
    /// Whether everything between the starts and the ends could be read.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut partitions = self.streams.iter().flat_map(|stream| &stream.partitions);
        self.quarantined.is_empty() && partitions.all(|partition| partition.losses.is_empty())
    }
}

impl Inspector {
    /// Fails if the journal is in use: then its process can check it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let lock = DirectoryLock::share(directory).map_err(|error| OpenError::locking(directory, error))?;
        let found = recovery::find(directory, Access::Inspector)?;
        let files: Vec<u32> = found.files.keys().copied().collect();
        let reader = Reader::new(directory.to_owned(), found.next_sequence);
        Ok(Self { directory: directory.to_owned(), catalog: found.catalog, reader, files, _lock: lock })
    }

    /// All streams, in the order of their names.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamInfo> {
        self.catalog.streams().iter().map(|stream| stream.info()).collect()
    }

    /// As [`Journal::read`](crate::Journal::read).
    pub fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError> {
        let known = self.catalog.partition(partition);
        let known = known.ok_or_else(|| ReadError::UnknownPartition(partition.clone()))?;
        let scan = self.reader.read(&known, Cursor::at(from), budget);
        let scan = scan.map_err(|error| ReadError::Failed(Box::new(error)))?;
        let (partition, next) = (partition.clone(), Offset(scan.next.offset));
        Ok(ReadBatch { partition, records: scan.records, losses: scan.losses, next })
    }

    /// Reads and verifies every record.
    pub fn check(&self) -> Result<CheckReport, ReadError> {
        let report = check(&self.directory, &self.files, &self.catalog, &self.reader, &|| true);
        report.map_err(|error| ReadError::Failed(Box::new(error)))
    }
}

impl SqliteJournal {
    /// Reads and verifies every record that is there now, beside what else is going on. Ends when the call is
    /// cancelled or the journal is closed.
    pub async fn check(&self) -> Result<CheckReport, ReadError> {
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let checked = move |shared: &Shared| {
            let files: Vec<u32> = shared.files().keys().copied().collect();
            let wanted = || waiting.strong_count() > 0 && !shared.queue.is_closed();
            check(&shared.settings.directory, &files, &shared.catalog, &shared.reader, &wanted)
        };
        let report = self.shared().blocking("journal.check", checked).await;
        drop(caller);
        report
    }
}

fn check(
    directory: &Path,
    files: &[u32],
    catalog: &Catalog,
    reader: &Reader,
    wanted: &dyn Fn() -> bool,
) -> Result<CheckReport, FileError> {
    let mut streams = Vec::new();
    for stream in catalog.streams() {
        let partitions: Result<Vec<_>, FileError> =
            stream.partitions.iter().map(|partition| check_partition(partition, reader, wanted)).collect();
        streams.push(StreamReport { name: stream.name.clone(), partitions: partitions? });
    }
    let files = files.iter().map(|sequence| {
        let path = directory.join(file::file_name(*sequence));
        let bytes = file::length(&path) + file::length(&file::wal_path(&path));
        FileReport { name: file::file_name(*sequence), bytes }
    });
    let quarantined = quarantined(directory).map_err(FileError::Io)?;
    Ok(CheckReport { files: files.collect(), quarantined, streams })
}

/// Names of the files of a journal's directory that could not be read at all, and were put aside.
pub fn quarantined(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains(".quarantined-") && !name.ends_with("-wal") && !name.ends_with("-shm") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn check_partition(
    partition: &Partition,
    reader: &Reader,
    wanted: &dyn Fn() -> bool,
) -> Result<PartitionReport, FileError> {
    let bounds = partition.bounds();
    let (start, end) = (bounds.start, bounds.end);
    let place = partition.place.clone();
    let mut report =
        PartitionReport { partition: place, start, end, records: 0, events: 0, bytes: 0, losses: Vec::new() };
    let mut cursor = Cursor { offset: start.0, event: bounds.start_event };
    while cursor.offset < end.0 {
        if !wanted() {
            return Err(FileError::Io(std::io::ErrorKind::Interrupted.into()));
        }
        let scan = reader.read(partition, cursor, BUDGET)?;
        if scan.next.offset == cursor.offset {
            break;
        }
        for stored in &scan.records {
            report.records += 1;
            report.events += u64::from(stored.record.events.unwrap_or(0));
            report.bytes += stored.record.value.len() as u64;
        }
        report.losses.extend(scan.losses);
        cursor = scan.next;
    }
    Ok(report)
}
