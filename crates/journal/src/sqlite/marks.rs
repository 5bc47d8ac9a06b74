//! How far sources were appended, in the file beside the records.
//!
//! A file has the marks that were set while it was written; the newest file that has one of a source has the last.
//! When a file is removed, those that no later one has go into the one that is written.

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, Row, params};
use weir_model::{Mark, SourceId, Timestamp};

use super::file::{FileError, unsigned};
use super::inventory::sum;
use super::journal::Shared;

/// The first format that has marks.
const FIRST_FORMAT: u32 = 2;

pub(super) const SCHEMA: &str = "
create table mark (
    source blob primary key,
    end integer not null,
    touched integer not null,
    sum integer not null
) strict, without rowid;
";

/// A mark as it is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MarkRow {
    pub(super) mark: Mark,
    /// When the source was last appended.
    pub(super) touched: Timestamp,
}

pub(super) const PUT: &str = "insert into mark (source, end, touched, sum) values (?, ?, ?, ?)
    on conflict (source) do update set end = excluded.end, touched = excluded.touched, sum = excluded.sum";
const KEEP: &str = "insert into mark (source, end, touched, sum) values (?, ?, ?, ?) on conflict do nothing";
const FIND: &str = "select source, end, touched, sum from mark where source = ?";
const SINCE: &str = "select source, end, touched, sum from mark where touched >= ?";

impl MarkRow {
    fn sum(&self) -> u32 {
        let source = crc32c::crc32c(&self.mark.source.0.to_le_bytes());
        sum(source, &[self.mark.end.cast_signed(), self.touched.micros()])
    }

    /// None if it is not what was written: a mark that is too high would swallow events.
    fn of(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let source = SourceId(u128::from_le_bytes(row.get(0)?));
        let mark = Mark { source, end: unsigned(row, 1)? };
        let found = Self { mark, touched: Timestamp::from_micros(row.get(2)?) };
        Ok((row.get::<_, u32>(3)? == found.sum()).then_some(found))
    }
}

/// Writes a mark in the place of the one that there is.
pub(super) fn put(connection: &Connection, row: &MarkRow) -> rusqlite::Result<()> {
    write(connection, PUT, row)
}

/// Writes a mark unless there is one, which is later.
pub(super) fn keep(connection: &Connection, row: &MarkRow) -> rusqlite::Result<()> {
    write(connection, KEEP, row)
}

fn write(connection: &Connection, sql: &str, row: &MarkRow) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(params![
        row.mark.source.0.to_le_bytes(),
        row.mark.end.cast_signed(),
        row.touched.micros(),
        row.sum(),
    ])?;
    Ok(())
}

fn find(connection: &Connection, source: SourceId) -> Result<Option<MarkRow>, FileError> {
    if !has_marks(connection)? {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(FIND)?;
    Ok(statement.query_row([source.0.to_le_bytes()], MarkRow::of).optional()?.flatten())
}

/// Takes out the marks of sources of which the file has one.
pub(super) fn take_out(
    connection: &Connection,
    marks: &mut HashMap<SourceId, MarkRow>,
) -> Result<(), FileError> {
    let mut known = Vec::new();
    for source in marks.keys() {
        if find(connection, *source)?.is_some() {
            known.push(*source);
        }
    }
    for source in known {
        marks.remove(&source);
    }
    Ok(())
}

/// Adds the marks of sources that were appended since then, where the map has none.
pub(super) fn collect(
    connection: &Connection,
    since: Timestamp,
    marks: &mut HashMap<SourceId, MarkRow>,
) -> Result<(), FileError> {
    if !has_marks(connection)? {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(SINCE)?;
    let mut rows = statement.query([since.micros()])?;
    while let Some(row) = rows.next()? {
        if let Some(found) = MarkRow::of(row)? {
            marks.entry(found.mark.source).or_insert(found);
        }
    }
    Ok(())
}

impl Shared {
    /// The mark of a source. The newest file that has one has the last.
    pub(super) fn mark(&self, source: SourceId) -> Result<Option<u64>, FileError> {
        let files: Vec<u32> = self.files().keys().rev().copied().collect();
        for file in files {
            match self.reader.with(file, |connection| find(connection, source)) {
                Ok(Some(found)) => return Ok(Some(found.mark.end)),
                Ok(None) => {}
                // It was removed meanwhile: its marks are in another one by now.
                Err(_) if !self.files().contains_key(&file) => return self.mark(source),
                Err(FileError::Damaged(error) | FileError::Unreadable(error)) => {
                    tracing::error!(file, %error, "the marks of a damaged journal file are not known");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn has_marks(connection: &Connection) -> rusqlite::Result<bool> {
    let format: u32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
    Ok(format >= FIRST_FORMAT)
}

/// Brings a file of an earlier format, which is to be written on, to this one.
pub(super) fn upgrade(connection: &mut Connection, format: u32) -> rusqlite::Result<()> {
    let found: u32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
    if found < FIRST_FORMAT {
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", format)?;
        transaction.commit()?;
    }
    Ok(())
}
