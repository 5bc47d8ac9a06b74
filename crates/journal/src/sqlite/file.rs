//! One file of the journal: its name, its schema, its connections, and what it says about itself.
//!
//! A file is complete in itself: it names all streams, and where each partition stood when the file was
//! begun and when its summary was last written. Records behind the summary are counted again at open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi};
use weir_foundation::file::{remove_if_there, sync_parent, with_suffix};

use super::catalog::Gap;
use super::inventory::{self, PartitionRow, StreamRow, Summary};
use super::marks;

/// In the header of every file: "weir".
const APPLICATION: i32 = 0x7765_6972;
/// The format that this weir writes.
pub(super) const FORMAT: u32 = 2;
/// Measured with records of 9 kB, as compressed batches are: against 32 KiB it halves the bytes written when each
/// commit has one record. 16 KiB costs 8 % less CPU time per record of 5 kB, but of a record of 9 kB each page holds
/// only one, so that the files grow by three quarters.
pub(super) const PAGE_SIZE: u32 = 8_192;

/// How long a connection waits for another one that is in its way.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
create table stream (
    id integer primary key,
    name text not null unique,
    incarnation integer not null,
    first_partition integer not null,
    partitions integer not null,
    created integer not null,
    sum integer not null
) strict;
create table partition (
    id integer primary key,
    from_offset integer not null,
    from_event integer not null,
    to_offset integer not null,
    to_event integer not null,
    bytes integer not null,
    sum integer not null
) strict;
create table gap (
    partition integer not null,
    from_offset integer not null,
    to_offset integer not null,
    event integer not null,
    reason integer not null,
    sum integer not null,
    primary key (partition, from_offset)
) strict, without rowid;
create table summary (
    records integer not null,
    bytes integer not null,
    first_received integer,
    last_received integer,
    sum integer not null
) strict;
create table record (
    id integer primary key,
    partition integer not null,
    offset integer not null,
    first_event integer not null,
    events integer not null,
    received integer not null,
    format integer not null,
    batch blob,
    digest blob,
    value blob not null
) strict;
create unique index record_by_place on record (partition, offset);
create index record_by_batch on record (received, batch, digest) where batch is not null;
";

/// What a file is called by its number.
pub(super) fn file_name(sequence: u32) -> String {
    format!("journal-{sequence:06}.db")
}

/// The number in a name such as `journal-000017.db`.
pub(super) fn sequence_of(name: &str) -> Option<u32> {
    let sequence = name.strip_prefix("journal-")?.strip_suffix(".db")?.parse().ok()?;
    // There is one before and one behind it.
    let is_legal = (1..u32::MAX).contains(&sequence) && file_name(sequence) == name;
    is_legal.then_some(sequence)
}

/// The companion that SQLite keeps for writes that are not in the file yet.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// Why a file can not be used at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// A healthy file that weir did not write.
    #[error("the file is not of a journal (application id {0:#x})")]
    Foreign(i32),
    /// Of a weir to come.
    #[error("the file has format {0}")]
    Newer(u32),
    /// Not a database any more, or one without the tables that it needs.
    #[error("the file is damaged")]
    Damaged(#[source] rusqlite::Error),
    /// The disk does not give back what was written.
    #[error("the disk can not read the file")]
    Unreadable(#[source] rusqlite::Error),
    #[error("the directory of the file could not be changed")]
    Io(#[source] std::io::Error),
    #[error("the file could not be read or written")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for FileError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode};

        if is_bad_sector(&error) {
            return Self::Unreadable(error);
        }
        let damaged = match error.sqlite_error_code() {
            // "Unknown" is "no such table" here: the page that names the tables lost one.
            Some(code) => {
                matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            }
            // A column, or a schema, that is not what was written.
            None => matches!(
                error,
                Error::FromSqlConversionFailure(..)
                    | Error::IntegralValueOutOfRange(..)
                    | Error::InvalidColumnType(..)
                    | Error::SqlInputError { .. }
                    | Error::QueryReturnedNoRows
            ),
        };
        if damaged { Self::Damaged(error) } else { Self::Sqlite(error) }
    }
}

fn is_bad_sector(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_CORRUPTFS))
}

/// What a new file begins with.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    pub(super) streams: Vec<StreamRow>,
    pub(super) partitions: Vec<PartitionRow>,
    pub(super) gaps: Vec<(u32, Gap)>,
}

/// Writes a complete file under a name of its own, then gives it its name: a file that has its name is whole.
pub(super) fn create(directory: &Path, sequence: u32, beginning: &Beginning) -> Result<PathBuf, FileError> {
    let path = directory.join(file_name(sequence));
    let draft = with_suffix(&path, ".new");
    remove_if_there(&draft).map_err(FileError::Io)?;
    let mut connection = Connection::open(&draft)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(marks::SCHEMA)?;
    for stream in &beginning.streams {
        inventory::insert_stream(&transaction, stream)?;
    }
    for partition in &beginning.partitions {
        inventory::put_partition(&transaction, partition)?;
    }
    for (partition, gap) in &beginning.gaps {
        inventory::insert_gap(&transaction, *partition, gap)?;
    }
    inventory::put_summary(&transaction, &Summary::default())?;
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.close().map_err(|(_, error)| error)?;
    let named = std::fs::rename(&draft, &path).and_then(|()| sync_parent(&path));
    named.map_err(FileError::Io)?;
    Ok(path)
}

/// Bytes of a file, none if it is not there.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The one connection that writes.
pub(super) fn open_writer(path: &Path) -> Result<Connection, FileError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    check_header(&connection, APPLICATION, FORMAT)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Else records would go into a damaged page, from which nobody could read them again.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // The writer checkpoints itself, because SQLite keeps the failure of an automatic one to itself.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // Two groups of appends fit, so that nothing is written before its commit.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.set_prepared_statement_cache_capacity(32);
    marks::upgrade(&mut connection, FORMAT)?;
    Ok(connection)
}

/// How a file must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Somebody may be writing it, or some of it is only in its WAL.
    Active,
    /// Complete, with nothing left in its WAL: read without locks.
    Sealed,
}

/// The phase of a file that nobody writes any more.
pub(super) fn phase(path: &Path) -> Phase {
    if has_wal(path) { Phase::Active } else { Phase::Sealed }
}

/// Whether something was written beside the file that is not in it yet.
pub(super) fn has_wal(path: &Path) -> bool {
    length(&wal_path(path)) > 0
}

pub(super) fn open_reader(path: &Path, phase: Phase) -> Result<Connection, FileError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, phase), flags)?;
    // Else a file that is shorter than its header says would give nothing at all. It is not written.
    connection.pragma_update(None, "writable_schema", true)?;
    check_header(&connection, APPLICATION, FORMAT)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}

fn uri(path: &Path, phase: Phase) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;

    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte))
            }
            other => write!(uri, "%{other:02x}").expect("a string takes everything"),
        }
    }
    if phase == Phase::Sealed {
        uri.push_str("?immutable=1");
    }
    uri
}

pub(super) fn check_header(connection: &Connection, known: i32, newest: u32) -> Result<(), FileError> {
    let application: i32 = connection.query_row("pragma application_id", [], |row| row.get(0))?;
    let empty =
        || connection.query_row("select count(*) = 0 from sqlite_schema", [], |row| row.get::<_, bool>(0));
    if application == 0 && empty()? {
        return Err(FileError::Damaged(rusqlite::Error::QueryReturnedNoRows));
    }
    if application != known {
        return Err(FileError::Foreign(application));
    }
    let format: u32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
    if format > newest {
        return Err(FileError::Newer(format));
    }
    Ok(())
}

/// The highest id of a record.
pub(super) fn last_record(connection: &Connection) -> rusqlite::Result<u64> {
    let last: Option<i64> =
        connection.query_row("select max(id) from record", [], |row| row.get(0)).optional()?.flatten();
    Ok(last.unwrap_or(0).cast_unsigned())
}

pub(super) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
