//! What a file says about itself: its streams, where their partitions stand, and how much it holds.
//!
//! Every row has a CRC-32C of its columns. One that does not match is as good as not there, and the file is
//! then not written any more.

use rusqlite::{Connection, Row, params};
use weir_model::{Incarnation, StreamName, Timestamp};

use super::catalog::Gap;
use super::file::{FileError, unsigned};
use super::marks;
use crate::seam::LossReason;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamRow {
    pub(super) name: StreamName,
    pub(super) incarnation: Incarnation,
    pub(super) first_partition: u32,
    pub(super) partitions: u32,
    pub(super) created: Timestamp,
}

/// Where a partition stood at the beginning of the file, and at its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PartitionRow {
    pub(super) id: u32,
    pub(super) from: u64,
    pub(super) from_event: u64,
    pub(super) to: u64,
    pub(super) to_event: u64,
    pub(super) bytes: u64,
}

/// How much a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Summary {
    /// Records have the ids 1 up to this.
    pub(super) records: u64,
    /// Of values, as stored.
    pub(super) bytes: u64,
    pub(super) received: Option<(Timestamp, Timestamp)>,
}

impl Summary {
    pub(super) fn add(&mut self, bytes: u64, received: Timestamp) {
        self.records += 1;
        self.bytes += bytes;
        self.received = Some(match self.received {
            Some((first, last)) => (first.min(received), last.max(received)),
            None => (received, received),
        });
    }
}

/// All of it, as far as it can be trusted.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) streams: Vec<StreamRow>,
    pub(super) partitions: Vec<PartitionRow>,
    pub(super) gaps: Vec<(u32, Gap)>,
    pub(super) summary: Option<Summary>,
    /// Whether every row was as it was written.
    pub(super) sound: bool,
}

const INSERT_STREAM: &str =
    "insert into stream (name, incarnation, first_partition, partitions, created, sum)
    values (?, ?, ?, ?, ?, ?)";
const PUT_PARTITION: &str = "insert or replace into partition
    (id, from_offset, from_event, to_offset, to_event, bytes, sum) values (?, ?, ?, ?, ?, ?, ?)";
const INSERT_GAP: &str = "insert or replace into gap
    (partition, from_offset, to_offset, event, reason, sum) values (?, ?, ?, ?, ?, ?)";
const PUT_SUMMARY: &str = "insert or replace into summary
    (rowid, records, bytes, first_received, last_received, sum) values (1, ?, ?, ?, ?, ?)";
pub(super) const INSERT_RECORD: &str = "insert into record
    (partition, offset, first_event, events, received, format, batch, digest, value)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Whether the tables are such that everything can be written that ever is.
pub(super) fn check_tables(connection: &Connection) -> Result<(), FileError> {
    for sql in [INSERT_STREAM, PUT_PARTITION, INSERT_GAP, PUT_SUMMARY, INSERT_RECORD, marks::PUT] {
        connection.prepare_cached(sql)?;
    }
    Ok(())
}

impl StreamRow {
    fn sum(&self) -> u32 {
        let numbers = [
            self.incarnation.0.cast_signed(),
            i64::from(self.first_partition),
            i64::from(self.partitions),
            self.created.micros(),
        ];
        sum(crc32c::crc32c(self.name.as_str().as_bytes()), &numbers)
    }
}

impl PartitionRow {
    fn numbers(&self) -> [i64; 6] {
        [
            i64::from(self.id),
            self.from.cast_signed(),
            self.from_event.cast_signed(),
            self.to.cast_signed(),
            self.to_event.cast_signed(),
            self.bytes.cast_signed(),
        ]
    }
}

impl Summary {
    fn numbers(&self) -> [i64; 4] {
        let received = |time: Option<Timestamp>| time.map_or(i64::MIN, Timestamp::micros);
        [
            self.records.cast_signed(),
            self.bytes.cast_signed(),
            received(self.received.map(|(first, _)| first)),
            received(self.received.map(|(_, last)| last)),
        ]
    }
}

fn gap_numbers(partition: u32, gap: &Gap) -> [i64; 5] {
    let reason = match gap.reason {
        LossReason::Expired => 0,
        LossReason::Damaged => 1,
        LossReason::Cut => 2,
    };
    [i64::from(partition), gap.from.cast_signed(), gap.to.cast_signed(), gap.event.cast_signed(), reason]
}

pub(super) fn sum(begin: u32, numbers: &[i64]) -> u32 {
    numbers.iter().fold(begin, |sum, number| crc32c::crc32c_append(sum, &number.to_le_bytes()))
}

pub(super) fn insert_stream(connection: &Connection, stream: &StreamRow) -> rusqlite::Result<()> {
    connection.prepare_cached(INSERT_STREAM)?.execute(params![
        stream.name.as_str(),
        stream.incarnation.0.cast_signed(),
        stream.first_partition,
        stream.partitions,
        stream.created.micros(),
        stream.sum(),
    ])?;
    Ok(())
}

pub(super) fn put_partition(connection: &Connection, row: &PartitionRow) -> rusqlite::Result<()> {
    let [id, from, from_event, to, to_event, bytes] = row.numbers();
    let sum = sum(0, &row.numbers());
    connection.prepare_cached(PUT_PARTITION)?.execute([
        id,
        from,
        from_event,
        to,
        to_event,
        bytes,
        sum.into(),
    ])?;
    Ok(())
}

pub(super) fn insert_gap(connection: &Connection, partition: u32, gap: &Gap) -> rusqlite::Result<()> {
    let [partition, from, to, event, reason] = gap_numbers(partition, gap);
    let sum = sum(0, &[partition, from, to, event, reason]);
    connection.prepare_cached(INSERT_GAP)?.execute([partition, from, to, event, reason, sum.into()])?;
    Ok(())
}

pub(super) fn put_summary(connection: &Connection, summary: &Summary) -> rusqlite::Result<()> {
    let [records, bytes, _, _] = summary.numbers();
    connection.prepare_cached(PUT_SUMMARY)?.execute(params![
        records,
        bytes,
        summary.received.map(|(first, _)| first.micros()),
        summary.received.map(|(_, last)| last.micros()),
        sum(0, &summary.numbers()),
    ])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> Result<Inventory, FileError> {
    let (streams, streams_sound) = trusted(
        connection,
        "select name, incarnation, first_partition, partitions, created, sum from stream order by id",
        |row| stream(row).filter(|stream| row.get(5) == Ok(stream.sum())),
    )?;
    let (partitions, partitions_sound) = trusted(
        connection,
        "select id, from_offset, from_event, to_offset, to_event, bytes, sum from partition",
        |row| partition(row).ok().filter(|partition| row.get(6) == Ok(sum(0, &partition.numbers()))),
    )?;
    let (gaps, gaps_sound) = trusted(
        connection,
        "select partition, from_offset, to_offset, event, reason, sum from gap order by partition, from_offset",
        |row| gap(row).ok().filter(|(of, gap)| row.get(5) == Ok(sum(0, &gap_numbers(*of, gap)))),
    )?;
    let (mut summaries, summary_sound) = trusted(
        connection,
        "select records, bytes, first_received, last_received, sum from summary",
        |row| summary(row).ok().filter(|summary| row.get(4) == Ok(sum(0, &summary.numbers()))),
    )?;
    let summary = summaries.pop();
    let sound = streams_sound && partitions_sound && gaps_sound && summary_sound && summary.is_some();
    Ok(Inventory { streams, partitions, gaps, summary, sound })
}

/// The rows that `parse` trusts, and whether these are all.
fn trusted<T>(
    connection: &Connection,
    sql: &str,
    parse: impl Fn(&Row<'_>) -> Option<T>,
) -> Result<(Vec<T>, bool), FileError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let (mut parsed, mut sound) = (Vec::new(), true);
    while let Some(row) = rows.next()? {
        match parse(row) {
            Some(value) => parsed.push(value),
            None => sound = false,
        }
    }
    Ok((parsed, sound))
}

fn stream(row: &Row<'_>) -> Option<StreamRow> {
    Some(StreamRow {
        name: StreamName::new(row.get_ref(0).ok()?.as_str().ok()?).ok()?,
        incarnation: Incarnation(unsigned(row, 1).ok()?),
        first_partition: row.get(2).ok()?,
        partitions: row.get(3).ok()?,
        created: Timestamp::from_micros(row.get(4).ok()?),
    })
}

fn partition(row: &Row<'_>) -> rusqlite::Result<PartitionRow> {
    Ok(PartitionRow {
        id: row.get(0)?,
        from: unsigned(row, 1)?,
        from_event: unsigned(row, 2)?,
        to: unsigned(row, 3)?,
        to_event: unsigned(row, 4)?,
        bytes: unsigned(row, 5)?,
    })
}

fn gap(row: &Row<'_>) -> rusqlite::Result<(u32, Gap)> {
    let reason = match row.get::<_, i64>(4)? {
        0 => LossReason::Expired,
        2 => LossReason::Cut,
        _ => LossReason::Damaged,
    };
    let gap = Gap { from: unsigned(row, 1)?, to: unsigned(row, 2)?, event: unsigned(row, 3)?, reason };
    Ok((row.get(0)?, gap))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let (first, last): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
    let received = first.zip(last).map(|(a, b)| (Timestamp::from_micros(a), Timestamp::from_micros(b)));
    Ok(Summary { records: unsigned(row, 0)?, bytes: unsigned(row, 1)?, received })
}
