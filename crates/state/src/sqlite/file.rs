//! The file: how it is made, opened and refused.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use weir_foundation::file::{self, remove_if_there, sync_parent, with_suffix};
use weir_foundation::lock::DirectoryLock;
use weir_model::ByteSize;

use crate::error::OpenError;

/// In the header of the file: "weis".
const APPLICATION: u32 = 0x7765_6973;
/// The format that this weir writes.
const FORMAT: u32 = 1;
/// The oldest SQLite without the WAL-reset bug.
const OLDEST_SQLITE: i32 = 3_051_003;

const FILE_NAME: &str = "state.db";
const PAGE_SIZE: u64 = 4096;

/// How long a connection waits for another one that is in its way.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

const SCHEMA: &str = "
create table document (
    kind text not null,
    name text not null,
    version integer not null,
    value blob,
    primary key (kind, name)
) strict;
create index document_by_version on document (version);
create index deleted_document on document (version) where value is null;
create table store (
    id integer primary key check (id = 1),
    revision integer not null,
    forgotten integer not null
) strict;
insert into store values (1, 0, 0);
";

/// Where the state is.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// A directory of its own, made if it is not there.
    pub directory: PathBuf,
    /// What the file may grow to; commits beyond it are refused as on a full disk.
    pub size_limit: Option<ByteSize>,
}

/// The file with its connections.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
}

/// Why a file can not be used; where it is is known to the caller.
#[derive(Debug)]
enum Unusable {
    Foreign,
    Newer(u32),
    Damaged(Box<dyn std::error::Error + Send + Sync>),
    Io(io::Error),
    Sqlite(rusqlite::Error),
}

impl SqliteSettings {
    /// Without a limit to its size.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), size_limit: None }
    }
}

/// Opens the file, or makes it if there is none.
pub(super) fn open(settings: &SqliteSettings) -> Result<Opened, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite { found: rusqlite::version().to_owned() });
    }
    let directory = &settings.directory;
    let failed = |error: io::Error| OpenError::Failed { path: directory.clone(), source: error.into() };
    file::make_directory(directory).map_err(failed)?;
    check_mode(directory, 0o002, 0o700)?;
    // One process at a time makes or opens the file.
    let _lock = DirectoryLock::wait(directory).map_err(failed)?;
    let path = directory.join(FILE_NAME);
    if !path.try_exists().map_err(failed)? {
        create(&path).map_err(|why| why.at(&path))?;
    }
    check_mode(&path, 0o007, 0o600)?;
    check_header(&path).map_err(|why| why.at(&path))?;
    connect(&path, settings.size_limit).map_err(|why| why.at(&path))
}

/// Refuses what everybody else may change, or read if it is a file; names what the group may.
fn check_mode(path: &Path, forbidden: u32, wanted: u32) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::Failed { path: path.to_owned(), source: error.into() };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        return Err(OpenError::Exposed { path: path.to_owned(), mode, wanted });
    }
    if mode & 0o077 != 0 {
        let mode = format_args!("{mode:04o}");
        tracing::warn!(path = %path.display(), %mode, "the state holds secrets, and more than its user can get at it");
    }
    Ok(())
}

/// Writes a complete file under a name of its own, then gives it its name: a file that has its name is whole.
fn create(path: &Path) -> Result<(), Unusable> {
    if std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(Unusable::Damaged("it is gone, and what was written beside it is there".into()));
    }
    let draft = with_suffix(path, ".new");
    remove_if_there(&draft).map_err(Unusable::Io)?;
    // SQLite gives what it keeps beside a file the mode of the file.
    File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(Unusable::Io)?;
    let mut connection = Connection::open(&draft)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE.cast_signed())?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.close().map_err(|(_, error)| error)?;
    let named = std::fs::rename(&draft, path).and_then(|()| sync_parent(path));
    named.map_err(Unusable::Io)
}

/// What the bytes of the file say: SQLite might change a file by opening it.
fn check_header(path: &Path) -> Result<(), Unusable> {
    let mut header = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(Unusable::Damaged("it has no header".into()));
        }
        read => read.map_err(Unusable::Io)?,
    }
    if !header.starts_with(MAGIC) {
        return Err(Unusable::Foreign);
    }
    check_version(number(&header, 68), number(&header, 60))
}

fn number(header: &[u8; 100], at: usize) -> u32 {
    header[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn check_version(application: u32, format: u32) -> Result<(), Unusable> {
    match (application, format) {
        (APPLICATION, ..=FORMAT) => Ok(()),
        (APPLICATION, newer) => Err(Unusable::Newer(newer)),
        _ => Err(Unusable::Foreign),
    }
}

fn connect(path: &Path, size_limit: Option<ByteSize>) -> Result<Opened, Unusable> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let writer = Connection::open_with_flags(path, flags)?;
    // Until it is known to be ours, closing it must not move anything into it.
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    writer.busy_timeout(BUSY_TIMEOUT)?;
    let pragma = |name| writer.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    check_version(pragma("application_id")?, pragma("user_version")?)?;
    let verdict: String = writer.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Unusable::Damaged(verdict.into()));
    }
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    writer.pragma_update(None, "cell_size_check", true)?;
    writer.pragma_update(None, "journal_mode", "wal")?;
    writer.pragma_update(None, "synchronous", "full")?;
    if let Some(limit) = size_limit {
        let pages = (limit.bytes() / PAGE_SIZE).clamp(1, u64::from(u32::MAX - 1));
        writer.pragma_update(None, "max_page_count", pages.cast_signed())?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.busy_timeout(BUSY_TIMEOUT)?;
    reader.pragma_update(None, "cell_size_check", true)?;
    Ok(Opened { writer, reader })
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
                Self::Damaged(error.into())
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl Unusable {
    fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Foreign => OpenError::ForeignFile { path },
            Self::Newer(found) => OpenError::NewerFormat { path, found, known: FORMAT },
            Self::Damaged(source) => OpenError::Damaged { path, source },
            Self::Io(error) => OpenError::Failed { path, source: error.into() },
            Self::Sqlite(error) => OpenError::Failed { path, source: error.into() },
        }
    }
}
