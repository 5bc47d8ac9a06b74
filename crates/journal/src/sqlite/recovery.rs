//! Opening a directory: which files there are, what each holds, and where every partition goes on.
//!
//! A file that can not be opened at all is put aside; one that contradicts itself stays readable but is not
//! written any more. When the newest file is one of these, nobody knows how far it went: offsets go on with
//! a jump of [`JUMP`], which no file can hold, so that none is ever given twice.

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::Connection;
use weir_model::{PartitionIndex, StreamPartition};

use self::load::{Loaded, load, load_newest};
use super::catalog::{Catalog, Extent, Gap, Partition, Stream};
use super::file::{self, FileError};
use super::groups::Groups;
use super::inventory::{PartitionRow, StreamRow, Summary};
use super::journal::begin_file;
use super::writer::{ActiveFile, Unsummarized};
use crate::error::OpenError;
use crate::seam::LossReason;
use weir_foundation::file::{remove_if_there, sync_parent, with_suffix};

/// How far offsets jump when the end of a partition is not known.
pub const JUMP: u64 = 1 << 32;

/// A directory as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) catalog: Catalog,
    pub(super) files: BTreeMap<u32, Summary>,
    /// The newest file, if it can be written on.
    pub(super) newest: Option<Newest>,
    /// The number that the next file gets.
    pub(super) next_sequence: u32,
    pub(super) quarantined: u64,
}

#[derive(Debug)]
pub(super) struct Newest {
    pub(super) sequence: u32,
    pub(super) summary: Summary,
    pub(super) unsummarized: Unsummarized,
    pub(super) connection: Connection,
}

/// Whether opening may change what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Owner,
    /// Damage is only looked at.
    Inspector,
}

pub(super) fn find(directory: &Path, access: Access) -> Result<Found, OpenError> {
    let listing = Listing::of(directory, access)?;
    let mut files: BTreeMap<u32, Loaded> = BTreeMap::new();
    let mut quarantined = 0;
    let mut quarantined_at = listing.quarantined.clone();
    let newest = listing.files.last_key_value().map(|(sequence, _)| *sequence);
    for (sequence, path) in &listing.files {
        let loaded = match access {
            Access::Owner if Some(*sequence) == newest => load_newest(path),
            _ => load(path, *sequence, access),
        };
        match loaded {
            Ok(loaded) => {
                files.insert(*sequence, loaded);
            }
            Err(FileError::Damaged(error) | FileError::Unreadable(error)) => {
                quarantined += 1;
                quarantined_at.insert(*sequence);
                tracing::error!(file = %path.display(), %error, "a journal file can not be read at all");
                if access == Access::Owner {
                    quarantine(path).map_err(|source| failed(directory, source))?;
                }
            }
            Err(error) => return Err(refused(directory, path, error)),
        }
    }
    let oldest = files.first_key_value().map(|(sequence, _)| *sequence);
    let oldest_lost = oldest.is_some_and(|oldest| quarantined_at.contains(&(oldest - 1)));
    let tail_known = newest.is_none_or(|sequence| files.get(&sequence).is_some_and(|loaded| loaded.complete));
    let catalog = assemble(&files, if oldest_lost { LossReason::Damaged } else { LossReason::Expired });
    if !tail_known {
        tracing::error!(jump = JUMP, "the end of the journal is damaged, offsets go on with a jump");
        for partition in catalog.partitions() {
            let mut extent = partition.extent();
            let to = extent.end + JUMP;
            extent.skip(to, LossReason::Damaged);
        }
    }
    let next_sequence = listing.highest + 1;
    let summaries = files.iter().map(|(sequence, loaded)| (*sequence, loaded.summary)).collect();
    let newest = match files.pop_last() {
        Some((sequence, loaded)) if tail_known => {
            let Loaded { summary, unsummarized, connection, .. } = loaded;
            connection.map(|connection| Newest { sequence, summary, unsummarized, connection })
        }
        _ => None,
    };
    Ok(Found { catalog, files: summaries, newest, next_sequence, quarantined })
}

/// A journal that is ready to go on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) catalog: Catalog,
    pub(super) files: BTreeMap<u32, Summary>,
    pub(super) active: ActiveFile,
    pub(super) quarantined: u64,
}

/// Chooses the file to go on in, after moving ends up to what groups have dealt with beyond them.
pub(super) fn resume(directory: &Path, found: Found, groups: &Groups) -> Result<Recovered, OpenError> {
    let Found { catalog, mut files, newest, next_sequence, quarantined } = found;
    let cuts = cut(&catalog, groups);
    let active = match newest {
        Some(Newest { sequence, summary, unsummarized, connection }) => {
            let mut active =
                ActiveFile::new(directory.to_owned(), sequence, connection, summary, unsummarized);
            active.insert_gaps(&cuts).map_err(|source| failed(directory, source))?;
            active
        }
        None => {
            files.insert(next_sequence, Summary::default());
            begin_file(directory, next_sequence, &catalog).map_err(|source| failed(directory, source))?
        }
    };
    Ok(Recovered { catalog, files, active, quarantined })
}

/// A group that is beyond the end of a partition has seen records that are gone: their offsets stay theirs.
fn cut(catalog: &Catalog, groups: &Groups) -> Vec<(u32, Gap)> {
    let mut cuts = Vec::new();
    for (id, offset) in groups.highest() {
        let Some(partition) = catalog.by_id(id) else { continue };
        let mut extent = partition.extent();
        if offset <= extent.end {
            continue;
        }
        tracing::error!(partition = %partition.place, end = extent.end, offset, "the end of a partition was cut");
        let gap = Gap { from: extent.end, to: offset, event: extent.end_event, reason: LossReason::Cut };
        extent.skip(offset, LossReason::Cut);
        cuts.push((id, gap));
    }
    cuts
}

/// Puts together what the files say. What is before the first of them is gone for the given reason.
fn assemble(files: &BTreeMap<u32, Loaded>, before: LossReason) -> Catalog {
    let catalog = Catalog::default();
    let Some((_, newest)) = files.last_key_value() else { return catalog };
    let mut extents: HashMap<u32, Extent> = HashMap::default();
    for (id, gap) in &newest.gaps {
        extents.entry(*id).or_default().gaps.push(*gap);
    }
    // The newest file names them all, unless a name in it is damaged.
    let mut streams: BTreeMap<u32, &StreamRow> = BTreeMap::new();
    let mut incomplete = None;
    for (sequence, loaded) in files {
        streams.extend(loaded.streams.iter().map(|stream| (stream.first_partition, stream)));
        for (id, row) in &loaded.partitions {
            let extent = extents.entry(*id).or_default();
            if let Some(before) = incomplete {
                extent.extend_to(before, row.from, row.from_event);
            }
            extent.restore(*sequence, row);
        }
        incomplete = (!loaded.complete).then_some(*sequence);
    }
    for stream in streams.values() {
        catalog.insert(Arc::new(stream_of(stream, &mut extents, before)));
    }
    catalog
}

fn stream_of(row: &StreamRow, extents: &mut HashMap<u32, Extent>, before: LossReason) -> Stream {
    let partitions = (0..row.partitions).map(|index| {
        let id = row.first_partition + index;
        let place = StreamPartition {
            stream: row.name.clone(),
            incarnation: row.incarnation,
            partition: PartitionIndex(index),
        };
        let mut extent = extents.remove(&id).unwrap_or_default();
        extent.settle();
        extent.before = before;
        Arc::new(Partition::new(id, place, extent))
    });
    Stream::new(row.name.clone(), row.created, partitions.collect())
}

impl Extent {
    /// A file that could not be counted to its end holds everything up to where the next one begins.
    fn extend_to(&mut self, file: u32, to: u64, to_event: u64) {
        if to <= self.end || self.gaps.iter().any(|gap| gap.from == self.end) {
            return;
        }
        let row = PartitionRow { id: 0, from: self.end, from_event: self.end_event, to, to_event, bytes: 0 };
        match self.runs.back_mut().filter(|run| run.file == file && run.to == row.from) {
            Some(run) => {
                run.to = to;
                run.to_event = to_event;
            }
            None => self.restore(file, &row),
        }
        self.end = to;
        self.end_event = to_event;
    }

    /// Applies gaps that end behind the last record, and forgets those before the first.
    fn settle(&mut self) {
        let last: Option<Gap> = self.gaps.iter().copied().max_by_key(|gap| gap.to);
        if let Some(gap) = last.filter(|gap| gap.to > self.end) {
            self.end = gap.to;
            self.end_event = self.end_event.max(gap.event);
        }
        let start = self.start();
        if !self.runs.is_empty() {
            self.gaps.retain(|gap| gap.to > start);
        }
    }
}

/// The files of a directory, by their numbers.
struct Listing {
    files: BTreeMap<u32, PathBuf>,
    quarantined: BTreeSet<u32>,
    /// The highest number that a file has or had.
    highest: u32,
}

impl Listing {
    fn of(directory: &Path, access: Access) -> Result<Self, OpenError> {
        let mut listing = Self { files: BTreeMap::new(), quarantined: BTreeSet::new(), highest: 0 };
        for entry in std::fs::read_dir(directory).map_err(|source| failed(directory, source))? {
            let entry = entry.map_err(|source| failed(directory, source))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".db.new") && access == Access::Owner {
                // A file that was being made when the process died; nothing is in it.
                remove_if_there(&entry.path()).map_err(|source| failed(directory, source))?;
            }
            if let Some(sequence) = file::sequence_of(name) {
                listing.files.insert(sequence, entry.path());
                listing.highest = listing.highest.max(sequence);
            } else if name.starts_with("journal-") && name.ends_with(".db") {
                return Err(OpenError::ForeignFile { path: entry.path() });
            } else if let Some((base, _)) = name.split_once(".quarantined-")
                && let Some(sequence) = file::sequence_of(base)
            {
                listing.quarantined.insert(sequence);
                listing.highest = listing.highest.max(sequence);
            }
        }
        Ok(listing)
    }
}

/// Renames a file, and what SQLite keeps beside it, to the first name that is free.
pub(super) fn quarantine(path: &Path) -> std::io::Result<()> {
    let aside = (1_u32..)
        .map(|number| with_suffix(path, &format!(".quarantined-{number}")))
        .find(|aside| !aside.exists())
        .expect("a directory holds fewer files than there are numbers");
    std::fs::rename(path, &aside)?;
    let wal = file::wal_path(path);
    if wal.exists() {
        std::fs::rename(&wal, file::wal_path(&aside))?;
    }
    remove_if_there(&with_suffix(path, "-shm"))?;
    tracing::error!(from = %path.display(), to = %aside.display(), "put a damaged file aside");
    sync_parent(path)
}

pub(super) fn failed(
    directory: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    OpenError::Failed { path: directory.to_owned(), source: source.into() }
}

fn refused(directory: &Path, path: &Path, error: FileError) -> OpenError {
    match error {
        FileError::Foreign(_) => OpenError::ForeignFile { path: path.to_owned() },
        FileError::Newer(found) => {
            OpenError::NewerFormat { path: path.to_owned(), found, known: file::FORMAT }
        }
        other => failed(directory, other),
    }
}
