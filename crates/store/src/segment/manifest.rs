//! The manifest: one SQLite file that says which segments there are, what was counted, how far each
//! partition is, and which events are dead. One transaction changes all of that together, and what it
//! does not name does not exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use weir_model::{Day, IndexPrefix, StreamPartition};

use super::open::SegmentInfo;
use super::source::{SourceId, Sources, parse_source, source_text};

/// Version of the tables below.
pub(super) const FORMAT: u32 = 1;

const SCHEMA: &str = "
create table segment (
    id integer primary key,
    prefix text not null,
    rows integer not null,
    bytes integer not null,
    min_time integer not null,
    max_time integer not null,
    level integer not null
) strict;
create table segment_day (
    segment integer not null references segment (id) on delete cascade,
    day integer not null,
    rows integer not null,
    primary key (segment, day)
) strict, without rowid;
create table segment_source (
    segment integer not null references segment (id) on delete cascade,
    source integer not null,
    rows integer not null,
    primary key (segment, source)
) strict, without rowid;
-- Partitions, numbered from 0 without gaps.
create table source (id integer primary key, name text not null unique) strict;
-- Everything of the partition below `offset` is in segments or was refused.
create table watermark (source integer primary key, offset integer not null) strict;
-- Everything of the partition for this prefix below `offset` is in segments; only where that is more
-- than the watermark says.
create table ahead (
    prefix text not null,
    source integer not null,
    offset integer not null,
    primary key (prefix, source)
) strict, without rowid;
-- Rows that retention removed.
create table dropped (source integer primary key, rows integer not null) strict;
create table dead_letter (
    key integer primary key autoincrement,
    source integer not null,
    offset integer not null,
    event integer not null,
    events integer not null,
    received integer not null,
    died integer not null,
    prefix text,
    format text not null,
    code text not null,
    message text not null,
    -- Null once purged.
    original blob,
    unique (source, offset, event)
) strict;
-- So that counting looks at no letter.
create index dead_letter_count on dead_letter (source, events);
-- So that listing looks at no purged one.
create index dead_letter_kept on dead_letter (key) where original is not null;
";

#[derive(Debug)]
pub(super) struct Manifest {
    connection: Connection,
}

/// Everything in a manifest but the dead letters.
#[derive(Debug, Default)]
pub(super) struct ManifestState {
    pub(super) sources: Sources,
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) watermarks: BTreeMap<SourceId, u64>,
    pub(super) ahead: BTreeMap<(IndexPrefix, SourceId), u64>,
    pub(super) dropped: BTreeMap<SourceId, u64>,
}

/// A change, carried out whole or not at all.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) add: Vec<&'a SegmentInfo>,
    pub(super) remove: Vec<u64>,
    /// Partitions met since the last change, with their numbers.
    pub(super) sources: Vec<(SourceId, &'a StreamPartition)>,
    pub(super) watermarks: Vec<(SourceId, u64)>,
    pub(super) ahead: Vec<(&'a IndexPrefix, SourceId, u64)>,
    /// Rows removed by retention in this change.
    pub(super) dropped: Vec<(SourceId, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("the manifest `{}` can not be used", .path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("the manifest `{}` has format {found}, this weir reads up to {FORMAT}; use a newer weir", .path.display())]
    NewerFormat { path: PathBuf, found: u32 },
    #[error("the manifest `{}` is damaged: {what}", .path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "there are segments, but no manifest `{}` to name them; put it back, or move the directory away \
         so that the index is made anew from the journal",
        .path.display()
    )]
    Missing { path: PathBuf },
}

/// Why a change was not carried out.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// Nothing of it is stored.
    Refused(rusqlite::Error),
    /// It may be stored: where syncing failed it is found again by a process that opens the manifest, unless
    /// another change took its place in the WAL.
    Unknown(rusqlite::Error),
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error)
    }
}

impl Manifest {
    /// Opens the manifest that names the segments there are.
    pub(super) fn open(path: &Path) -> Result<(Self, ManifestState), ManifestError> {
        let missing = || ManifestError::Missing { path: path.to_owned() };
        if !path.exists() {
            return Err(missing());
        }
        match connect(path)? {
            (_, Contents::Nothing) => Err(missing()),
            (connection, Contents::Tables) => Self::load(connection, path),
        }
    }

    /// Opens the manifest, or makes it if there is none.
    pub(super) fn open_or_create(path: &Path) -> Result<(Self, ManifestState), ManifestError> {
        let (mut connection, contents) = connect(path)?;
        if let Contents::Nothing = contents {
            create(&mut connection)
                .map_err(|source| ManifestError::Sqlite { path: path.to_owned(), source })?;
        }
        Self::load(connection, path)
    }

    fn load(connection: Connection, path: &Path) -> Result<(Self, ManifestState), ManifestError> {
        let state = configure(&connection).map_err(LoadError::Sqlite).and_then(|()| load(&connection));
        match state {
            Ok(state) => Ok((Self { connection }, state)),
            Err(LoadError::Sqlite(source)) => Err(ManifestError::Sqlite { path: path.to_owned(), source }),
            Err(LoadError::Damaged(what)) => Err(ManifestError::Damaged { path: path.to_owned(), what }),
        }
    }

    pub(super) fn apply(&mut self, change: &Change<'_>) -> Result<(), ApplyError> {
        let transaction = self.connection.transaction()?;
        for (id, partition) in &change.sources {
            transaction
                .prepare_cached("insert or ignore into source (id, name) values (?1, ?2)")?
                .execute(params![id.0, source_text(partition)])?;
        }
        for id in &change.remove {
            transaction.prepare_cached("delete from segment where id = ?1")?.execute([signed(*id)])?;
        }
        for segment in &change.add {
            add_segment(&transaction, segment)?;
        }
        for (source, offset) in &change.watermarks {
            transaction
                .prepare_cached("insert or replace into watermark (source, offset) values (?1, ?2)")?
                .execute(params![source.0, signed(*offset)])?;
        }
        for (prefix, source, offset) in &change.ahead {
            transaction
                .prepare_cached("insert or replace into ahead (prefix, source, offset) values (?1, ?2, ?3)")?
                .execute(params![prefix.as_str(), source.0, signed(*offset)])?;
        }
        transaction
            .prepare_cached(
                "delete from ahead where offset <= \
                 (select watermark.offset from watermark where watermark.source = ahead.source)",
            )?
            .execute([])?;
        for (source, rows) in &change.dropped {
            transaction
                .prepare_cached(
                    "insert into dropped (source, rows) values (?1, ?2) \
                     on conflict (source) do update set rows = rows + excluded.rows",
                )?
                .execute(params![source.0, signed(*rows)])?;
        }
        transaction.commit().map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => ApplyError::Refused(error),
            _ => ApplyError::Unknown(error),
        })
    }

    /// Writes what is there already: once that is stored, no change before it whose outcome was unknown can
    /// be found again.
    pub(super) fn settle(&self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "user_version", FORMAT)
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// SQLite's integers are signed; what is counted here stays far below the limit.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// What a file holds that may be read.
enum Contents {
    Nothing,
    Tables,
}

/// Opens a file and changes nothing in it.
fn connect(path: &Path) -> Result<(Connection, Contents), ManifestError> {
    let sqlite = |source| ManifestError::Sqlite { path: path.to_owned(), source };
    let connection = Connection::open(path).map_err(sqlite)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(sqlite)?;
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
    let tables: u32 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (found, tables) {
        (0, 0) => Ok((connection, Contents::Nothing)),
        (0, _) => Err(ManifestError::Damaged {
            path: path.to_owned(),
            what: "it does not name its format".to_owned(),
        }),
        (1..=FORMAT, _) => Ok((connection, Contents::Tables)),
        _ => Err(ManifestError::NewerFormat { path: path.to_owned(), found }),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn add_segment(transaction: &Transaction<'_>, segment: &SegmentInfo) -> rusqlite::Result<()> {
    let id = signed(segment.id);
    transaction
        .prepare_cached(
            "insert into segment (id, prefix, rows, bytes, min_time, max_time, level) \
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            id,
            segment.prefix.as_str(),
            signed(segment.rows),
            signed(segment.bytes),
            segment.min_time,
            segment.max_time,
            segment.level
        ])?;
    for (day, rows) in &segment.days {
        transaction
            .prepare_cached("insert into segment_day (segment, day, rows) values (?1, ?2, ?3)")?
            .execute(params![id, day.number(), signed(*rows)])?;
    }
    for (source, rows) in &segment.sources {
        transaction
            .prepare_cached("insert into segment_source (segment, source, rows) values (?1, ?2, ?3)")?
            .execute(params![id, source.0, signed(*rows)])?;
    }
    Ok(())
}

enum LoadError {
    Sqlite(rusqlite::Error),
    Damaged(String),
}

impl From<rusqlite::Error> for LoadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn load(connection: &Connection) -> Result<ManifestState, LoadError> {
    let mut state = ManifestState { sources: load_sources(connection)?, ..ManifestState::default() };
    let mut segments: BTreeMap<u64, SegmentInfo> = BTreeMap::new();
    let mut statement =
        connection.prepare("select id, prefix, rows, bytes, min_time, max_time, level from segment")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = unsigned(row.get(0)?);
        let prefix = prefix(&row.get::<_, String>(1)?)?;
        let info = SegmentInfo {
            id,
            prefix,
            rows: unsigned(row.get(2)?),
            bytes: unsigned(row.get(3)?),
            min_time: row.get(4)?,
            max_time: row.get(5)?,
            days: Vec::new(),
            sources: Vec::new(),
            level: row.get(6)?,
        };
        segments.insert(id, info);
    }
    each(connection, "select segment, day, rows from segment_day order by segment, day", |row| {
        if let Some(segment) = segments.get_mut(&unsigned(row.get(0)?)) {
            segment.days.push((Day::from_number(row.get(1)?), unsigned(row.get(2)?)));
        }
        Ok(())
    })?;
    each(connection, "select segment, source, rows from segment_source order by segment, source", |row| {
        if let Some(segment) = segments.get_mut(&unsigned(row.get(0)?)) {
            segment.sources.push((SourceId(row.get(1)?), unsigned(row.get(2)?)));
        }
        Ok(())
    })?;
    state.segments = segments.into_values().collect();
    each(connection, "select source, offset from watermark", |row| {
        state.watermarks.insert(SourceId(row.get(0)?), unsigned(row.get(1)?));
        Ok(())
    })?;
    each(connection, "select prefix, source, offset from ahead", |row| {
        let key = (prefix(&row.get::<_, String>(0)?)?, SourceId(row.get(1)?));
        state.ahead.insert(key, unsigned(row.get(2)?));
        Ok(())
    })?;
    each(connection, "select source, rows from dropped", |row| {
        state.dropped.insert(SourceId(row.get(0)?), unsigned(row.get(1)?));
        Ok(())
    })?;
    Ok(state)
}

fn load_sources(connection: &Connection) -> Result<Sources, LoadError> {
    let mut sources = Sources::default();
    each(connection, "select id, name from source order by id", |row| {
        let (id, name): (u32, String) = (row.get(0)?, row.get(1)?);
        let partition =
            parse_source(&name).ok_or_else(|| LoadError::Damaged(format!("`{name}` is no partition")))?;
        if sources.add(partition) != SourceId(id) {
            return Err(LoadError::Damaged(format!("partition {id} is out of order")));
        }
        Ok(())
    })?;
    Ok(sources)
}

fn each(
    connection: &Connection,
    sql: &str,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn prefix(text: &str) -> Result<IndexPrefix, LoadError> {
    IndexPrefix::new(text).map_err(|error| LoadError::Damaged(format!("the prefix `{text}` {error}")))
}

/// Whether the storage refused for lack of space.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// One value, if there is a row.
pub(super) fn optional<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()
}
