//! What is read and written in the tables.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use weir_state::{Change, Changes, CommitError, Edit, Entry, Key, Kind, MAX_VALUE, TOMBSTONES, Write};

use crate::client::{Connection, Parameter};
use crate::error::Trouble;
use crate::pool::{NoAnswer, Pool, Taken};
use crate::schema::FORMAT;
use crate::section::Schema;

/// Bytes of values in one statement, but for a single value that is larger: each statement is answered in time.
const PIECE: usize = MAX_VALUE;

/// The statements over the tables of a schema.
#[derive(Debug)]
pub(crate) struct Statements {
    revision: String,
    get: String,
    all: String,
    since: String,
    lock: String,
    versions: String,
    put: String,
    delete: String,
    set: String,
    forget: String,
}

/// What a commit makes of documents.
#[derive(Debug, Default)]
struct Edits<'a> {
    put: Vec<(&'a Key, &'a [u8])>,
    deleted: Vec<&'a Key>,
}

/// Where a commit stands after its expectations were looked at.
enum Stand<'a> {
    Conflict(&'a Key),
    /// Nothing is to be done.
    Settled(u64),
    Changes {
        revision: u64,
        edits: Edits<'a>,
    },
}

impl Statements {
    pub(crate) fn new(schema: &Schema) -> Self {
        let (document, store) = (format!("\"{schema}\".document"), format!("\"{schema}\".store"));
        let whole = "($2 = 0 or $2 < s.forgotten or $2 > s.revision)";
        Self {
            revision: format!("select format, revision from {store}"),
            get: format!(
                "select version, value from {document} where kind = $1 and name = $2 and value is not null"
            ),
            all: format!(
                "select s.format, s.revision, true, d.kind, d.name, d.version, d.value
                 from {store} s left join {document} d on d.kind = any ($1) and d.value is not null"
            ),
            since: format!(
                "select s.format, s.revision, {whole}, d.kind, d.name, d.version, d.value
                 from {store} s left join {document} d on d.kind = any ($1) and d.version > $2 and not {whole}"
            ),
            lock: format!("select format, revision from {store} for update"),
            versions: format!(
                "select w.place, d.version
                 from unnest($1, $2) with ordinality as w (kind, name, place)
                 join {document} d on d.kind = w.kind and d.name = w.name and d.value is not null"
            ),
            put: format!(
                "insert into {document} (kind, name, version, value)
                 select kind, name, $4, value from unnest($1, $2, $3) as w (kind, name, value)
                 on conflict (kind, name) do update set version = excluded.version, value = excluded.value"
            ),
            delete: format!(
                "update {document} d set version = $3, value = null
                 from unnest($1, $2) as w (kind, name)
                 where d.kind = w.kind and d.name = w.name and d.value is not null"
            ),
            set: format!("update {store} set revision = $1"),
            // Commits are forgotten as a whole.
            forget: format!(
                "with edge as (
                     select version from {document} where value is null order by version desc offset $2 limit 1
                 ), last as (
                     select max(d.version) as version from {document} d, edge
                     where d.value is null and d.version < edge.version
                 ), gone as (
                     delete from {document} d using last where d.value is null and d.version <= last.version
                 )
                 update {store} set revision = $1, forgotten = coalesce((select version from last), forgotten)"
            ),
        }
    }
}

/// A value of a row of tables that weir made.
fn column<'a, T: FromSql<'a>>(row: &'a Row, place: usize) -> Result<T, Trouble> {
    row.try_get(place).map_err(|_mismatch| Trouble::Damaged("a column has another type"))
}

fn number(row: &Row, place: usize) -> Result<u64, Trouble> {
    let number: i64 = column(row, place)?;
    u64::try_from(number).map_err(|_negative| Trouble::Damaged("a revision is below zero"))
}

/// As Postgres has it; none is larger.
fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn only<T>(rows: Vec<T>) -> Result<T, Trouble> {
    rows.into_iter().next().ok_or(Trouble::Damaged("the row of `store` is missing"))
}

/// The revision of the store, in a row that begins with format and revision; an error if a newer weir has been there.
fn store_revision(row: &Row) -> Result<u64, Trouble> {
    match column(row, 0)? {
        ..=FORMAT => number(row, 1),
        found => Err(Trouble::NewerFormat { found, known: FORMAT }),
    }
}

pub(crate) async fn revision(pool: &Pool, statements: &Statements) -> Result<u64, NoAnswer> {
    let stores = pool.read(&statements.revision, &[], store_revision).await?;
    Ok(only(stores)?)
}

pub(crate) async fn get(pool: &Pool, statements: &Statements, key: &Key) -> Result<Option<Entry>, NoAnswer> {
    let kind = key.kind.as_str();
    let parameters: [Parameter<'_>; 2] = [(&kind, Type::TEXT), (&key.name, Type::TEXT)];
    let entry =
        |row: &Row| Ok(Entry { name: key.name.clone(), version: number(row, 0)?, value: column(row, 1)? });
    Ok(pool.read(&statements.get, &parameters, entry).await?.into_iter().next())
}

pub(crate) async fn changes(
    pool: &Pool,
    statements: &Statements,
    kinds: &[Kind],
    since: u64,
) -> Result<Changes, NoAnswer> {
    if since > 0 {
        let news = read_changes(pool, &statements.since, kinds, Some(since)).await?;
        if !news.whole {
            return Ok(news);
        }
    }
    read_changes(pool, &statements.all, kinds, None).await
}

async fn read_changes(
    pool: &Pool,
    statement: &str,
    kinds: &[Kind],
    since: Option<u64>,
) -> Result<Changes, NoAnswer> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let since = since.map(signed);
    let mut parameters: Vec<Parameter<'_>> = vec![(&names, Type::TEXT_ARRAY)];
    if let Some(since) = &since {
        parameters.push((since, Type::INT8));
    }
    let change = |row: &Row| {
        let (revision, whole) = (store_revision(row)?, column::<bool>(row, 2)?);
        let found: Option<&str> = column(row, 3)?;
        let kind = found.and_then(|found| kinds.iter().find(|kind| kind.as_str() == found));
        let change = |kind: &Kind| {
            let (name, version, value) = (column(row, 4)?, number(row, 5)?, column(row, 6)?);
            Ok::<_, Trouble>(Change { kind: *kind, name, version, value })
        };
        Ok((revision, whole, kind.map(change).transpose()?))
    };
    let rows = pool.read(statement, &parameters, change).await?;
    let (revision, whole) =
        rows.first().map(|row| (row.0, row.1)).ok_or(Trouble::Damaged("the row of `store` is missing"))?;
    let mut changes: Vec<Change> = rows.into_iter().filter_map(|(_, _, change)| change).collect();
    // Here and not there, where more than fits into the memory for sorting would be written into files.
    changes.sort_unstable_by(|a, b| {
        let key = |change: &Change| (change.version, change.kind);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(Changes { revision, whole, changes })
}

/// Carries out all of it or nothing, durably.
pub(crate) async fn commit(
    pool: &Pool,
    statements: &Statements,
    writes: &[Write],
) -> Result<u64, CommitError> {
    let kinds: Vec<&str> = writes.iter().map(|write| write.key.kind.as_str()).collect();
    let names: Vec<&str> = writes.iter().map(|write| write.key.name.as_str()).collect();
    let parameters: [Parameter<'_>; 2] = [(&kinds, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
    let begun = pool.begin((&statements.lock, &statements.versions), &parameters);
    let (taken, (stores, found)) = begun.await.map_err(|no_answer| match no_answer {
        NoAnswer::Closing => CommitError::Closing,
        NoAnswer::Trouble(trouble) => trouble.unstored(),
    })?;
    let stand = stand(writes, &stores, &found).map_err(Trouble::unstored)?;
    match stand {
        Stand::Conflict(key) => {
            undo(taken).await;
            Err(CommitError::Conflict { key: key.clone() })
        }
        Stand::Settled(revision) => {
            undo(taken).await;
            Ok(revision)
        }
        Stand::Changes { revision, edits } => {
            let connection = taken.connection();
            apply(connection, statements, &edits, revision).await.map_err(Trouble::unstored)?;
            connection.run("commit").await.map_err(Trouble::undecided)?;
            taken.give_back();
            Ok(revision)
        }
    }
}

/// Ends a transaction that changed nothing.
async fn undo(taken: Taken<'_>) {
    // One that can not be told is closed, which comes to the same.
    if taken.connection().run("rollback").await.is_ok() {
        taken.give_back();
    }
}

/// Decides by what the documents are, which nobody changes meanwhile.
fn stand<'a>(writes: &'a [Write], stores: &[Row], found: &[Row]) -> Result<Stand<'a>, Trouble> {
    let before = only(stores.iter().map(store_revision).collect::<Result<Vec<_>, _>>()?)?;
    let mut versions = vec![None; writes.len()];
    for row in found {
        // From 1.
        let place = usize::try_from(number(row, 0)?).unwrap_or(usize::MAX);
        if let Some(version) = versions.get_mut(place.wrapping_sub(1)) {
            *version = Some(number(row, 1)?);
        }
    }
    let mut edits = Edits::default();
    for (write, version) in writes.iter().zip(versions) {
        if !write.expect.fits(version) {
            return Ok(Stand::Conflict(&write.key));
        }
        match &write.edit {
            Edit::Put(value) => edits.put.push((&write.key, value)),
            Edit::Delete if version.is_some() => edits.deleted.push(&write.key),
            Edit::Delete | Edit::Keep => {}
        }
    }
    if edits.put.is_empty() && edits.deleted.is_empty() {
        return Ok(Stand::Settled(before));
    }
    Ok(Stand::Changes { revision: before + 1, edits })
}

async fn apply(
    connection: &Connection,
    statements: &Statements,
    edits: &Edits<'_>,
    revision: u64,
) -> Result<(), Trouble> {
    let revision = signed(revision);
    // The last one goes with what sets the revision: most commits have one only.
    let mut pieces = pieces(&edits.put);
    let last = pieces.pop();
    for piece in pieces {
        put(connection, statements, piece, revision, None).await?;
    }
    let offset = i64::try_from(TOMBSTONES).unwrap_or(i64::MAX) - 1;
    let set: [Parameter<'_>; 1] = [(&revision, Type::INT8)];
    let forget: [Parameter<'_>; 2] = [(&revision, Type::INT8), (&offset, Type::INT8)];
    if edits.deleted.is_empty() {
        let last = last.unwrap_or_default();
        return put(connection, statements, last, revision, Some((&statements.set, &set))).await;
    }
    if let Some(last) = last {
        put(connection, statements, last, revision, None).await?;
    }
    let (kinds, names) = of_keys(edits.deleted.iter().copied());
    let deleted: [Parameter<'_>; 3] =
        [(&kinds, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY), (&revision, Type::INT8)];
    connection.write_both((&statements.delete, &deleted), (&statements.forget, &forget)).await
}

/// Writes documents, and runs another statement behind that.
async fn put(
    connection: &Connection,
    statements: &Statements,
    documents: &[(&Key, &[u8])],
    revision: i64,
    then: Option<(&str, &[Parameter<'_>])>,
) -> Result<(), Trouble> {
    let (kinds, names) = of_keys(documents.iter().map(|(key, _)| *key));
    let values: Vec<&[u8]> = documents.iter().map(|(_, value)| *value).collect();
    let parameters: [Parameter<'_>; 4] = [
        (&kinds, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&values, Type::BYTEA_ARRAY),
        (&revision, Type::INT8),
    ];
    match then {
        None => connection.write(&statements.put, &parameters).await,
        Some(then) => connection.write_both((&statements.put, &parameters), then).await,
    }
}

fn of_keys<'a>(keys: impl Iterator<Item = &'a Key>) -> (Vec<&'static str>, Vec<&'a str>) {
    keys.map(|key| (key.kind.as_str(), key.name.as_str())).unzip()
}

/// In order, each of what one statement may carry.
fn pieces<'a, 'b>(mut documents: &'b [(&'a Key, &'a [u8])]) -> Vec<&'b [(&'a Key, &'a [u8])]> {
    let mut pieces = Vec::new();
    while !documents.is_empty() {
        let mut bytes = 0;
        let fits = documents.iter().take_while(|(_, value)| {
            let first = bytes == 0;
            bytes += value.len().max(1);
            first || bytes <= PIECE
        });
        let (piece, rest) = documents.split_at(fits.count().max(1));
        pieces.push(piece);
        documents = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_and_hold_everything_in_order() {
        let key = Kind::new("cup").key("a");
        let check = |sizes: &[usize], expected: &[usize]| {
            let values: Vec<Vec<u8>> = sizes.iter().map(|size| vec![0; *size]).collect();
            let documents: Vec<(&Key, &[u8])> = values.iter().map(|value| (&key, &value[..])).collect();
            let pieces = pieces(&documents);
            assert_eq!(pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(), expected, "{sizes:?}");
            let sent: Vec<usize> = pieces.concat().iter().map(|(_, value)| value.len()).collect();
            assert_eq!(sent, sizes);
        };
        check(&[], &[]);
        check(&[0, 0, 0], &[3]);
        check(&[PIECE, PIECE, 1], &[1, 1, 1]);
        check(&[PIECE / 2, PIECE / 2, 1, PIECE - 1], &[2, 2]);
        check(&[0, PIECE], &[1, 1]);
    }
}
