//! Finding records without the index: they have the ids 1, 2, 3, … and each says where it belongs.

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension};

use crate::sqlite::file;

/// Consecutive ids without a record after which the file is taken to have no more.
const PATIENCE: u64 = 100_000;

/// Which record (by id) has which place.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    records: HashMap<(u32, u64), i64>,
}

impl Salvage {
    pub(super) fn of(connection: &Connection) -> Self {
        let mut records = HashMap::default();
        let last = file::last_record(connection).ok().filter(|last| *last > 0);
        let mut misses = 0;
        let mut id: i64 = 0;
        loop {
            id += 1;
            // The last id may be damaged itself.
            if misses >= PATIENCE || last.is_some_and(|last| id.cast_unsigned() > last) {
                return Self { records };
            }
            match place(connection, id) {
                Ok(Some(place)) => {
                    records.insert(place, id);
                    misses = 0;
                }
                Ok(None) | Err(_) => misses += 1,
            }
        }
    }

    pub(super) fn id(&self, partition: u32, offset: u64) -> Option<i64> {
        self.records.get(&(partition, offset)).copied()
    }
}

fn place(connection: &Connection, id: i64) -> rusqlite::Result<Option<(u32, u64)>> {
    connection
        .prepare_cached("select partition, offset from record not indexed where id = ?")?
        .query_row([id], |row| Ok((row.get(0)?, file::unsigned(row, 1)?)))
        .optional()
}
