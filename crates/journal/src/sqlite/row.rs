//! A record as a row of a file, and its verification.

use rusqlite::{Connection, OptionalExtension, Row, params};
use weir_model::{BatchTag, Incarnation, Offset, Record, Timestamp};

use super::file::{FileError, unsigned};
use super::frame::{self, Label};
use super::inventory::PartitionRow;
use crate::seam::{KnownBatch, StoredRecord};

/// The columns that [`RawRecord::of`] reads, in its order.
macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "select partition, offset, first_event, events, received, format, batch, digest, value from record ",
            $rest
        )
    };
}
pub(super) use columns;

/// A record as it is on disk, copied out so that the read transaction is short.
#[derive(Debug)]
pub(super) struct RawRecord {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) first_event: u64,
    pub(super) events: u32,
    pub(super) received: Timestamp,
    format: i64,
    batch: Option<BatchTag>,
    pub(super) frame: Vec<u8>,
}

impl RawRecord {
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            partition: row.get(0)?,
            offset: unsigned(row, 1)?,
            first_event: unsigned(row, 2)?,
            events: row.get(3)?,
            received: Timestamp::from_micros(row.get(4)?),
            format: row.get(5)?,
            batch: tag(row.get(6)?, row.get(7)?),
            frame: row.get(8)?,
        })
    }

    /// The record, if it is exactly what was written for this life of the stream.
    pub(super) fn verify(self, incarnation: Incarnation) -> Option<StoredRecord> {
        let label = Label {
            incarnation,
            partition: self.partition,
            events: self.events,
            received: self.received,
            format: frame::format_of(self.format)?,
            batch: self.batch,
        };
        let value = frame::open(self.frame, &label, self.offset, self.first_event).ok()?;
        Some(StoredRecord {
            offset: Offset(self.offset),
            first_event: Some(self.first_event),
            record: Record {
                format: label.format,
                events: Some(label.events),
                received: label.received,
                batch: label.batch,
                value,
            },
        })
    }
}

fn tag(id: Option<[u8; 16]>, digest: Option<[u8; 16]>) -> Option<BatchTag> {
    Some(BatchTag { id: u128::from_le_bytes(id?), digest: u128::from_le_bytes(digest?) })
}

/// The id of the record at a place, as the index alone says.
pub(super) fn indexed_id(
    connection: &Connection,
    partition: u32,
    offset: u64,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "select id from record indexed by record_by_place where partition = ? and offset = ?",
        )?
        .query_row(params![partition, offset.cast_signed()], |row| row.get(0))
        .optional()
}

pub(super) fn first_event(
    connection: &Connection,
    partition: u32,
    offset: u64,
) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("select first_event from record where partition = ? and offset = ?")?
        .query_row(params![partition, offset.cast_signed()], |row| unsigned(row, 0))
        .optional()
}

/// Adds the newest tagged records of a file that were received since then, newest first, until there are `most`.
pub(super) fn known_batches(
    connection: &Connection,
    since: Timestamp,
    most: usize,
    batches: &mut Vec<KnownBatch>,
) -> Result<(), FileError> {
    let mut statement = connection.prepare_cached(
        "select batch, digest, received from record indexed by record_by_batch
         where batch is not null and received >= ? order by received desc",
    )?;
    let mut rows = statement.query([since.micros()])?;
    while batches.len() < most
        && let Some(row) = rows.next()?
    {
        if let Some(tag) = tag(row.get(0)?, row.get(1)?) {
            batches.push(KnownBatch { tag, received: Timestamp::from_micros(row.get(2)?) });
        }
    }
    Ok(())
}

/// Whether a tagged record was received since then.
pub(super) fn has_batches(connection: &Connection, since: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "select exists (select 1 from record indexed by record_by_batch
             where batch is not null and received >= ?)",
        )?
        .query_row([since.micros()], |row| row.get(0))
}

/// From the first to the last record of a partition in a file, as the index and these two records say.
pub(super) fn bounds(connection: &Connection, id: u32) -> rusqlite::Result<Option<PartitionRow>> {
    let end = |order: &str| {
        let sql = format!(
            "select offset, first_event, events from record where partition = ? order by offset {order} limit 1"
        );
        connection
            .query_row(&sql, [id], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, row.get::<_, u32>(2)?)))
            .optional()
    };
    let (Some((from, from_event, _)), Some((last, last_event, events))) = (end("asc")?, end("desc")?) else {
        return Ok(None);
    };
    let (to, to_event) = (last.saturating_add(1), last_event.saturating_add(u64::from(events)));
    Ok(Some(PartitionRow { id, from, from_event, to, to_event, bytes: 0 }))
}
