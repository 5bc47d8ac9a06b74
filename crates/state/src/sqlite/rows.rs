//! What is read and written in the tables.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::CommitError;
use crate::seam::{Change, Changes, Edit, Entry, Key, Kind, TOMBSTONES, Write};

/// Where the revision comes from and how far the store remembers.
struct Store {
    revision: u64,
    forgotten: u64,
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<u64> {
    store(connection).map(|store| store.revision)
}

pub(super) fn get(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached(
            "select version, value from document where kind = ? and name = ? and value is not null",
        )?
        .query_row(params![key.kind.as_str(), key.name], |row| {
            let version = row.get::<_, i64>(0)?.cast_unsigned();
            Ok(Entry { name: key.name.clone(), version, value: row.get(1)? })
        })
        .optional()
}

pub(super) fn changes(connection: &Connection, kinds: &[Kind], since: u64) -> rusqlite::Result<Changes> {
    // All of one moment.
    let transaction = connection.unchecked_transaction()?;
    let Store { revision, forgotten } = store(&transaction)?;
    let whole = since == 0 || since < forgotten || since > revision;
    let after = if whole { 0 } else { since };
    let mut statement = transaction.prepare_cached(
        "select kind, name, version, value from document where version > ? and (? or value is not null)
         order by version, kind, name",
    )?;
    let mut rows = statement.query(params![after.cast_signed(), !whole])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str()?;
        if let Some(kind) = kinds.iter().find(|kind| kind.as_str() == name) {
            let version = row.get::<_, i64>(2)?.cast_unsigned();
            changes.push(Change { kind: *kind, name: row.get(1)?, value: row.get(3)?, version });
        }
    }
    Ok(Changes { revision, whole, changes })
}

/// Carries out all of it or nothing, durably.
pub(super) fn commit(connection: &mut Connection, writes: &[Write]) -> Result<u64, CommitError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused)?;
    for write in writes {
        let found = version(&transaction, &write.key).map_err(refused)?;
        if !write.expect.fits(found) {
            return Err(CommitError::Conflict { key: write.key.clone() });
        }
    }
    let before = store(&transaction).map_err(refused)?;
    let revision = before.revision + 1;
    let changed = apply(&transaction, writes, revision).map_err(refused)?;
    if !changed {
        return Ok(before.revision);
    }
    let set = transaction.execute("update store set revision = ?", [revision.cast_signed()]);
    set.map_err(refused)?;
    transaction.commit().map_err(undecided)?;
    Ok(revision)
}

fn store(connection: &Connection) -> rusqlite::Result<Store> {
    connection.prepare_cached("select revision, forgotten from store")?.query_row([], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(Store { revision: number(0)?, forgotten: number(1)? })
    })
}

fn version(connection: &Connection, key: &Key) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("select version from document where kind = ? and name = ? and value is not null")?
        .query_row(params![key.kind.as_str(), key.name], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        .optional()
}

/// Whether anything changed.
fn apply(transaction: &Transaction<'_>, writes: &[Write], revision: u64) -> rusqlite::Result<bool> {
    let revision = revision.cast_signed();
    let (mut put, mut deleted) = (0, 0);
    for Write { key, edit, .. } in writes {
        let (kind, name) = (key.kind.as_str(), &key.name);
        match edit {
            Edit::Put(value) => {
                put += transaction
                    .prepare_cached(
                        "insert into document (kind, name, version, value) values (?, ?, ?, ?)
                         on conflict do update set version = excluded.version, value = excluded.value",
                    )?
                    .execute(params![kind, name, revision, value])?;
            }
            Edit::Delete => {
                deleted += transaction
                    .prepare_cached(
                        "update document set version = ?, value = null
                         where kind = ? and name = ? and value is not null",
                    )?
                    .execute(params![revision, kind, name])?;
            }
            Edit::Keep => {}
        }
    }
    if deleted > 0 {
        forget(transaction)?;
    }
    Ok(put + deleted > 0)
}

/// Keeps the last deletions only.
fn forget(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let last: Option<i64> = transaction
        .prepare_cached(
            "select version from document where value is null order by version desc limit 1 offset ?",
        )?
        .query_row([TOMBSTONES.cast_signed() as i64], |row| row.get(0))
        .optional()?;
    if let Some(last) = last {
        transaction.execute("delete from document where value is null and version <= ?", [last])?;
        transaction.execute("update store set forgotten = ?", [last])?;
    }
    Ok(())
}

/// Of an error before the commit: nothing is stored.
fn refused(error: rusqlite::Error) -> CommitError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => CommitError::Full(error.into()),
        _ => CommitError::Unavailable(error.into()),
    }
}

/// Of an error of the commit itself.
fn undecided(error: rusqlite::Error) -> CommitError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => refused(error),
        // Where syncing failed, a process that opens the file next may find it there.
        _ => CommitError::Failed(error.into()),
    }
}
