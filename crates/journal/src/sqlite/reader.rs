//! Reading records: in order, across files, around what is damaged.

mod run;
mod salvage;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use rusqlite::Connection;
use weir_model::Offset;

use self::run::RunReader;
use self::salvage::Salvage;
use super::catalog::{Found, Partition, Run};
use super::file::{self, FileError, Phase};
use super::row;
use crate::seam::{Loss, LossReason, ReadBudget, StoredRecord};

/// Connections kept open while nobody reads; each costs about a megabyte at most.
const IDLE_CONNECTIONS: usize = 4;

#[derive(Debug)]
pub(super) struct Reader {
    directory: PathBuf,
    /// Number of the file that is written.
    active: AtomicU32,
    idle: Mutex<Vec<Lease>>,
    salvaged: Mutex<HashMap<u32, Arc<Salvage>>>,
    /// How often the disk could not read a file (the first number) for a partition (the second).
    unread: Mutex<HashMap<(u32, u32), u32>>,
}

/// Attempts after which what the disk can not read is taken to be lost, so that it does not keep everything
/// behind it for ever. Who follows a partition waits longer and longer between them.
const ATTEMPTS: u32 = 8;

/// A connection to one file.
#[derive(Debug)]
struct Lease {
    file: u32,
    phase: Phase,
    connection: Connection,
}

/// Where to read, and how many events are before it, if known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) offset: u64,
    pub(super) event: Option<u64>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) records: Vec<StoredRecord>,
    pub(super) losses: Vec<Loss>,
    pub(super) next: Cursor,
    left: ReadBudget,
}

impl Scan {
    fn new(from: Cursor, budget: ReadBudget) -> Self {
        Self { records: Vec::new(), losses: Vec::new(), next: from, left: budget }
    }

    /// Whether a record of so many bytes is still wanted.
    fn wants(&self, bytes: usize) -> bool {
        self.records.is_empty() || (self.left.records > 0 && bytes <= self.left.bytes)
    }

    fn take(&mut self, record: StoredRecord) {
        self.left.records = self.left.records.saturating_sub(1);
        self.left.bytes = self.left.bytes.saturating_sub(record.record.value.len());
        self.next = Cursor { offset: record.offset.0 + 1, event: record.event_after() };
        self.records.push(record);
    }

    fn lose(&mut self, loss: Loss, next_event: Option<u64>) {
        self.next = Cursor { offset: loss.to.0, event: next_event };
        self.losses.push(loss);
    }
}

impl Reader {
    pub(super) fn new(directory: PathBuf, active: u32) -> Self {
        Self {
            directory,
            active: AtomicU32::new(active),
            idle: Mutex::default(),
            salvaged: Mutex::default(),
            unread: Mutex::default(),
        }
    }

    /// From now on this file is written, and none before it.
    pub(super) fn set_active(&self, file: u32) {
        self.active.store(file, Ordering::Release);
        let retired: Vec<Lease> = {
            let mut idle = self.idle();
            idle.extract_if(.., |lease| lease.phase == Phase::Active).collect()
        };
        drop(retired);
    }

    /// Lets go of everything that nobody uses now.
    pub(super) fn close(&self) {
        let leases = std::mem::take(&mut *self.idle());
        drop(leases);
    }

    /// Lets go of a file that is about to be removed.
    pub(super) fn forget(&self, file: u32) {
        self.idle().retain(|lease| lease.file != file);
        self.salvaged().remove(&file);
        self.unread().retain(|(of, _), _| *of != file);
    }

    /// Reads on from a cursor until the budget is used or the end is reached.
    pub(super) fn read(
        &self,
        partition: &Partition,
        from: Cursor,
        budget: ReadBudget,
    ) -> Result<Scan, FileError> {
        let mut scan = Scan::new(from, budget);
        loop {
            let found = partition.extent().find(scan.next.offset, scan.next.event);
            match found {
                Found::End => return Ok(scan),
                Found::Lost(loss, event) => scan.lose(loss, Some(event)),
                Found::Run(run) => {
                    if !scan.records.is_empty() && (scan.left.records == 0 || scan.left.bytes == 0) {
                        return Ok(scan);
                    }
                    let read = self.read_run(partition, run, &mut scan);
                    self.note_attempt(partition, run, read.as_ref().err());
                    match read {
                        Ok(RunEnd::Reached) => {}
                        Ok(RunEnd::Budget) => return Ok(scan),
                        // Retention was faster: what is there now?
                        Err(_) if !self.holds(partition, run) => {}
                        Err(error) if self.is_gone(partition, run, &error) => {
                            tracing::error!(file = run.file, %error, "a journal file can not be read any more");
                            scan.lose(run.rest(scan.next), Some(run.to_event));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Whether no later attempt will read the file either.
    fn is_gone(&self, partition: &Partition, run: Run, error: &FileError) -> bool {
        match error {
            FileError::Damaged(_) => true,
            FileError::Unreadable(_) => self.is_given_up(partition, run),
            _ => !self.path(run.file).exists(),
        }
    }

    fn note_attempt(&self, partition: &Partition, run: Run, error: Option<&FileError>) {
        let place = (run.file, partition.id);
        let mut unread = self.unread();
        match error {
            None => drop(unread.remove(&place)),
            Some(FileError::Unreadable(_)) => *unread.entry(place).or_default() += 1,
            Some(_) => {}
        }
    }

    /// Whether what the disk can not read is lost. What is in the file that is written is the writer's concern.
    fn is_given_up(&self, partition: &Partition, run: Run) -> bool {
        let attempts = self.unread().get(&(run.file, partition.id)).copied().unwrap_or(0);
        attempts >= ATTEMPTS && run.file < self.active.load(Ordering::Acquire)
    }

    fn holds(&self, partition: &Partition, run: Run) -> bool {
        partition.extent().runs.iter().any(|known| known.file == run.file)
    }

    fn read_run(&self, partition: &Partition, run: Run, scan: &mut Scan) -> Result<RunEnd, FileError> {
        let lease = self.lease(run.file)?;
        let end = RunReader { reader: self, connection: &lease.connection, partition, run }.read(scan);
        self.give_back(lease);
        end
    }

    /// The number of events before an offset, from the record that is there.
    pub(super) fn event_at(&self, partition: &Partition, offset: u64) -> Option<u64> {
        let Found::Run(run) = partition.extent().find(offset, None) else { return None };
        let lease = self.lease(run.file).ok()?;
        let event = row::first_event(&lease.connection, partition.id, offset);
        self.give_back(lease);
        event.ok().flatten()
    }

    /// Runs `work` on a connection to a file.
    pub(super) fn with<T>(
        &self,
        file: u32,
        work: impl FnOnce(&Connection) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let lease = self.lease(file)?;
        let result = work(&lease.connection);
        self.give_back(lease);
        result
    }

    fn lease(&self, file: u32) -> Result<Lease, FileError> {
        let kept = {
            let mut idle = self.idle();
            idle.iter().rposition(|lease| lease.file == file).map(|at| idle.remove(at))
        };
        if let Some(lease) = kept {
            return Ok(lease);
        }
        let phase = self.phase(file);
        let connection = file::open_reader(&self.path(file), phase)?;
        Ok(Lease { file, phase, connection })
    }

    fn give_back(&self, lease: Lease) {
        if lease.phase == Phase::Active && self.phase(lease.file) == Phase::Sealed {
            return;
        }
        let dropped = {
            let mut idle = self.idle();
            idle.push(lease);
            (idle.len() > IDLE_CONNECTIONS).then(|| idle.remove(0))
        };
        drop(dropped);
    }

    fn phase(&self, file: u32) -> Phase {
        let is_written = file >= self.active.load(Ordering::Acquire);
        if is_written { Phase::Active } else { file::phase(&self.path(file)) }
    }

    fn path(&self, file: u32) -> PathBuf {
        self.directory.join(file::file_name(file))
    }

    /// The map of a file whose index can not be trusted; made once, by looking at every record.
    fn salvage(&self, file: u32, connection: &Connection) -> Arc<Salvage> {
        if let Some(known) = self.salvaged().get(&file) {
            return Arc::clone(known);
        }
        tracing::warn!(file = %self.path(file).display(), "a journal file is damaged, looking at each of its records");
        let made = Arc::new(Salvage::of(connection));
        self.salvaged().insert(file, Arc::clone(&made));
        made
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lease>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread(&self) -> MutexGuard<'_, HashMap<(u32, u32), u32>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn salvaged(&self) -> MutexGuard<'_, HashMap<u32, Arc<Salvage>>> {
        self.salvaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// The loss of everything from the cursor on.
    fn rest(&self, from: Cursor) -> Loss {
        let before = if from.offset == self.from { Some(self.from_event) } else { from.event };
        let events = before.map(|event| self.to_event.saturating_sub(event));
        let (from, to) = (Offset(from.offset), Offset(self.to));
        Loss { from, to, events, reason: LossReason::Damaged }
    }
}

/// Why a run was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    Reached,
    Budget,
}

impl Cursor {
    pub(super) fn at(offset: Offset) -> Self {
        Self { offset: offset.0, event: None }
    }
}
