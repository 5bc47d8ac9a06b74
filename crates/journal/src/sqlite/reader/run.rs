//! Reading the records of one partition in one file.
//!
//! The ordinary way is one scan of the index. When it meets an anomaly (a hole, an error of SQLite, a record
//! that is not what it says) the offset is looked up alone, then without the index; what can not be had in
//! any way is a loss, and the scan goes on behind it.

use rusqlite::{Connection, OptionalExtension, params};
use weir_model::Offset;

use super::{Cursor, Partition, Reader, Run, RunEnd, Scan};
use crate::seam::{Loss, LossReason, StoredRecord};
use crate::sqlite::file::FileError;
use crate::sqlite::frame;
use crate::sqlite::row::{self, RawRecord, columns};

pub(super) struct RunReader<'a> {
    pub(super) reader: &'a Reader,
    pub(super) connection: &'a Connection,
    pub(super) partition: &'a Partition,
    pub(super) run: Run,
}

/// What the index scan gave.
struct Stretch {
    records: Vec<RawRecord>,
    end: StretchEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StretchEnd {
    /// There are no rows behind.
    Rows,
    Budget,
    /// SQLite could not go on.
    Damage,
}

/// Offsets that can not be read, up to where the scan is.
#[derive(Clone, Copy)]
struct OpenLoss {
    from: u64,
    event: Option<u64>,
}

impl RunReader<'_> {
    pub(super) fn read(&self, scan: &mut Scan) -> Result<RunEnd, FileError> {
        let mut lost: Option<OpenLoss> = None;
        while scan.next.offset < self.run.to {
            let began = scan.next.offset;
            let stretch = self.stretch(scan)?;
            for raw in stretch.records {
                // Also where a damaged index says so.
                if !(scan.next.offset..self.run.to).contains(&raw.offset) {
                    continue;
                }
                while scan.next.offset < raw.offset {
                    if self.look_up(scan, &mut lost) == RunEnd::Budget {
                        return Ok(RunEnd::Budget);
                    }
                }
                if self.take(scan, &mut lost, self.open(raw)) == RunEnd::Budget {
                    return Ok(RunEnd::Budget);
                }
            }
            let upto = match stretch.end {
                StretchEnd::Budget if scan.next.offset > began && lost.is_none() => {
                    return Ok(RunEnd::Budget);
                }
                StretchEnd::Budget if scan.next.offset > began => continue,
                StretchEnd::Rows => self.run.to,
                // An index that only repeats itself is damaged too.
                StretchEnd::Damage | StretchEnd::Budget => self.run.to.min(scan.next.offset + 1),
            };
            while scan.next.offset < upto {
                if self.look_up(scan, &mut lost) == RunEnd::Budget {
                    return Ok(RunEnd::Budget);
                }
            }
        }
        if let Some(open) = lost {
            close(scan, open, self.run.to, self.run.to_event);
            scan.next.event = Some(self.run.to_event);
        }
        Ok(RunEnd::Reached)
    }

    /// Looks for the record at the cursor alone.
    fn look_up(&self, scan: &mut Scan, lost: &mut Option<OpenLoss>) -> RunEnd {
        self.take(scan, lost, self.single(scan.next.offset).and_then(|raw| self.open(raw)))
    }

    /// Takes what is at the cursor, unless the budget does not allow it.
    fn take(&self, scan: &mut Scan, lost: &mut Option<OpenLoss>, found: Option<StoredRecord>) -> RunEnd {
        let Some(record) = found else {
            self.skip(scan, lost);
            return RunEnd::Reached;
        };
        if let Some(open) = lost.take() {
            close(scan, open, record.offset.0, record.first_event.unwrap_or(0));
            scan.next.event = record.first_event;
        }
        if !scan.wants(record.record.value.len()) {
            return RunEnd::Budget;
        }
        scan.take(record);
        RunEnd::Reached
    }

    fn skip(&self, scan: &mut Scan, lost: &mut Option<OpenLoss>) {
        let Cursor { offset, event } = scan.next;
        if lost.is_none() {
            *lost = Some(OpenLoss { from: offset, event: event.or_else(|| self.event_before(offset)) });
        }
        scan.next = Cursor { offset: offset + 1, event: None };
    }

    /// The number of events before an offset whose own record is lost.
    fn event_before(&self, offset: u64) -> Option<u64> {
        if offset == self.run.from {
            return Some(self.run.from_event);
        }
        let before = self.single(offset.checked_sub(1)?).and_then(|raw| self.open(raw))?;
        before.event_after()
    }

    fn stretch(&self, scan: &Scan) -> Result<Stretch, FileError> {
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        let mut statement = self
            .connection
            .prepare_cached(columns!("where partition = ? and offset >= ? and offset < ? order by offset"))?;
        let (from, to) = (scan.next.offset.cast_signed(), self.run.to.cast_signed());
        let mut rows = statement.query(params![self.partition.id, from, to])?;
        loop {
            let raw = match rows.next() {
                Ok(Some(row)) => RawRecord::of(row),
                Ok(None) => return Ok(Stretch { records, end: StretchEnd::Rows }),
                Err(error) => Err(error),
            };
            match raw.map_err(FileError::from) {
                Ok(raw) => {
                    bytes += frame::claimed_length(&raw.frame);
                    records.push(raw);
                }
                Err(FileError::Damaged(_)) => return Ok(Stretch { records, end: StretchEnd::Damage }),
                Err(FileError::Unreadable(_)) if self.reader.is_given_up(self.partition, self.run) => {
                    return Ok(Stretch { records, end: StretchEnd::Damage });
                }
                Err(error) => return Err(error),
            }
            // One more than is wanted, so that a loss before it can be counted.
            if records.len() > scan.left.records || bytes > scan.left.bytes {
                return Ok(Stretch { records, end: StretchEnd::Budget });
            }
        }
    }

    /// One record: through the index, and where the index has it not, by its id.
    fn single(&self, offset: u64) -> Option<RawRecord> {
        let indexed = self.connection.prepare_cached(columns!("where partition = ? and offset = ?"));
        let place = params![self.partition.id, offset.cast_signed()];
        let found = indexed.and_then(|mut found| found.query_row(place, RawRecord::of).optional());
        if let Ok(Some(raw)) = found {
            return Some(raw);
        }
        if found.is_err() && self.is_indexed(offset) {
            return None;
        }
        let id = self.reader.salvage(self.run.file, self.connection).id(self.partition.id, offset)?;
        let mut by_id = self.connection.prepare_cached(columns!("not indexed where id = ?")).ok()?;
        by_id.query_row([id], RawRecord::of).ok()
    }

    /// Whether the index knows the offset, so that the damage is in the record itself.
    fn is_indexed(&self, offset: u64) -> bool {
        matches!(row::indexed_id(self.connection, self.partition.id, offset), Ok(Some(_)))
    }

    fn open(&self, raw: RawRecord) -> Option<StoredRecord> {
        raw.verify(self.partition.place.incarnation)
    }
}

/// Ends a loss before `to`, which has `event` events before it.
fn close(scan: &mut Scan, open: OpenLoss, to: u64, event: u64) {
    scan.losses.push(Loss {
        from: Offset(open.from),
        to: Offset(to),
        events: open.event.map(|before| event.saturating_sub(before)),
        reason: LossReason::Damaged,
    });
}
