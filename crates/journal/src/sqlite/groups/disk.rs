//! The file `groups.db`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, params};
use weir_foundation::file::{remove_if_there, sync_parent, with_suffix};
use weir_model::{Incarnation, PartitionIndex, StreamName, StreamPartition};

use super::{Change, Group, GroupsError, Position};
use crate::error::OpenError;
use crate::seam::StreamPattern;
use crate::sqlite::catalog::Catalog;
use crate::sqlite::file::{self, FileError, unsigned};
use crate::sqlite::recovery;

const FILE_NAME: &str = "groups.db";
/// In the header of the file: "weig".
const APPLICATION: i32 = 0x7765_6967;
const FORMAT: u32 = 1;

const SCHEMA: &str = "
create table consumer_group (
    name text primary key,
    prefix text,
    suffix text
) strict, without rowid;
create table position (
    consumer_group text not null,
    stream text not null,
    incarnation integer not null,
    partition integer not null,
    offset integer not null,
    event integer,
    primary key (consumer_group, stream, incarnation, partition)
) strict, without rowid;
";

#[derive(Debug)]
pub(super) struct Disk {
    connection: Connection,
}

impl Disk {
    /// A file that can not be read is put aside: its groups begin again where the journal begins, and stores
    /// take nothing twice.
    pub(super) fn open(
        directory: &Path,
        catalog: &Catalog,
    ) -> Result<(Self, BTreeMap<String, Group>), OpenError> {
        let path = directory.join(FILE_NAME);
        match Self::open_file(&path, catalog) {
            Err(FileError::Damaged(error)) => {
                tracing::error!(%error, "the groups of the journal can not be read, they begin again");
                recovery::quarantine(&path).map_err(|source| recovery::failed(directory, source))?;
                Self::open_file(&path, catalog)
            }
            other => other,
        }
        .map_err(|error| match error {
            FileError::Foreign(_) => OpenError::ForeignFile { path: path.clone() },
            FileError::Newer(found) => OpenError::NewerFormat { path: path.clone(), found, known: FORMAT },
            other => recovery::failed(directory, other),
        })
    }

    fn open_file(path: &PathBuf, catalog: &Catalog) -> Result<(Self, BTreeMap<String, Group>), FileError> {
        if !path.exists() {
            create(path)?;
        }
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        file::check_header(&connection, APPLICATION, FORMAT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -256)?;
        let groups = read(&connection, catalog)?;
        Ok((Self { connection }, groups))
    }

    pub(super) fn write<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> Result<(), GroupsError> {
        self.try_write(changes).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => GroupsError::Full(error),
            _ => GroupsError::Failed(error.into()),
        })
    }

    fn try_write<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for change in changes {
            put(&transaction, change)?;
        }
        transaction.commit()?;
        // Asked for here, because SQLite keeps the failure of an automatic checkpoint to itself.
        self.connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
    }
}

fn create(path: &Path) -> Result<(), FileError> {
    let draft = with_suffix(path, ".new");
    remove_if_there(&draft).map_err(FileError::Io)?;
    let mut connection = Connection::open(&draft)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    std::fs::rename(&draft, path).map_err(FileError::Io)?;
    sync_parent(path).map_err(FileError::Io)?;
    Ok(())
}

fn put(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Group { name, pattern } => {
            let prefix = pattern.as_ref().map(|pattern| &pattern.prefix);
            let suffix = pattern.as_ref().map(|pattern| &pattern.suffix);
            connection
                .prepare_cached(
                    "insert into consumer_group (name, prefix, suffix) values (?, ?, ?) on conflict (name) do update
                     set prefix = coalesce(excluded.prefix, prefix), suffix = coalesce(excluded.suffix, suffix)",
                )?
                .execute(params![name, prefix, suffix])?;
        }
        Change::Position { group, partition, position } => {
            connection
                .prepare_cached(
                    "insert into position (consumer_group, stream, incarnation, partition, offset, event)
                     values (?, ?, ?, ?, ?, ?) on conflict do update
                     set offset = excluded.offset, event = excluded.event where offset <= excluded.offset",
                )?
                .execute(params![
                    group,
                    partition.place.stream.as_str(),
                    partition.place.incarnation.0.cast_signed(),
                    partition.place.partition.0,
                    position.offset.cast_signed(),
                    position.event.map(u64::cast_signed),
                ])?;
        }
        Change::Deleted { group } => {
            connection.prepare_cached("delete from position where consumer_group = ?")?.execute([group])?;
            connection.prepare_cached("delete from consumer_group where name = ?")?.execute([group])?;
        }
    }
    Ok(())
}

fn read(connection: &Connection, catalog: &Catalog) -> Result<BTreeMap<String, Group>, FileError> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut statement = connection.prepare("select name, prefix, suffix from consumer_group")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (prefix, suffix): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
        let pattern = prefix.zip(suffix).map(|(prefix, suffix)| StreamPattern { prefix, suffix });
        groups.entry(row.get(0)?).or_default().pattern = pattern;
    }
    let mut statement = connection
        .prepare("select consumer_group, stream, incarnation, partition, offset, event from position")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Ok(stream) = StreamName::new(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?) else {
            continue;
        };
        let place = StreamPartition {
            stream,
            incarnation: Incarnation(unsigned(row, 2)?),
            partition: PartitionIndex(row.get(3)?),
        };
        // Positions in a life of a stream that is over mean nothing any more.
        let Some(partition) = catalog.partition(&place) else { continue };
        let event = row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned);
        let position = Position { offset: unsigned(row, 4)?, event };
        groups.entry(row.get(0)?).or_default().positions.insert(partition.id, position);
    }
    Ok(groups)
}
