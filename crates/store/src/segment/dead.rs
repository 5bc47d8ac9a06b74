//! Dead letters, kept in the manifest.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use weir_model::{
    EventId, IndexPrefix, Offset, Position, RecordFormat, StreamName, StreamPartition, Timestamp,
};

use super::manifest::{is_full, optional, signed, unsigned};
use super::source::{SourceId, parse_source, source_text};
use super::store::{SegmentStore, Shared};
use crate::dead_letter::{
    DeadLetter, DeadLetterEntry, DeadLetterFilter, DeadLetterKey, DeadLetterStore, DeadReason,
};
use crate::error::DeadLetterError;

const COLUMNS: &str = "dead_letter.key, source.name, dead_letter.offset, dead_letter.event, \
     dead_letter.events, dead_letter.received, dead_letter.died, dead_letter.prefix, dead_letter.format, \
     dead_letter.code, dead_letter.message, length(dead_letter.original)";

impl SegmentStore {
    async fn with_manifest<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Connection) -> Result<T, DeadLetterError> + Send + 'static,
    ) -> Result<T, DeadLetterError> {
        let shared: Arc<Shared> = Arc::clone(self.shared());
        let spawner = shared.parts.spawner.clone();
        let work = move || work(shared.manifest().connection());
        spawner.blocking(name, work).await.map_err(|error| DeadLetterError::Failed(Box::new(error)))?
    }
}

#[async_trait]
impl DeadLetterStore for SegmentStore {
    async fn put(&self, letters: Vec<DeadLetter>) -> Result<(), DeadLetterError> {
        {
            // The manifest must know a partition before a letter refers to it.
            let mut state = self.shared().state();
            for letter in &letters {
                state.source(&letter.position.partition);
            }
        }
        let shared = Arc::clone(self.shared());
        self.with_manifest("index.dead.put", move |connection| {
            let (sources, new) = {
                let state = shared.state();
                (state.sources.clone(), state.new_sources())
            };
            let transaction = connection.transaction()?;
            // Also those that no letter names: their numbers are to stay without a gap.
            for (source, partition) in &new {
                transaction
                    .prepare_cached("insert or ignore into source (id, name) values (?1, ?2)")?
                    .execute(params![source.0, source_text(partition)])?;
            }
            for letter in &letters {
                let Some(source) = sources.find(&letter.position.partition) else { continue };
                insert(&transaction, source.0, letter)?;
            }
            transaction.commit()?;
            Ok(())
        })
        .await
    }

    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<(DeadLetterKey, DeadLetterEntry)>, DeadLetterError> {
        let filter = filter.clone();
        self.with_manifest("index.dead.list", move |connection| {
            let sql = format!(
                "select {COLUMNS} from dead_letter join source on source.id = dead_letter.source \
                 where dead_letter.original is not null and dead_letter.key > ?1 \
                 and (?2 is null or dead_letter.code = ?2) order by dead_letter.key"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![after.map_or(0, |key| key.0), filter.code])?;
            let mut letters = Vec::new();
            while letters.len() < limit {
                let Some(row) = rows.next()? else { break };
                let letter = entry(row)?;
                if filter.stream.as_ref().is_none_or(|stream| *stream == letter.position.partition.stream) {
                    letters.push((DeadLetterKey(row.get(0)?), letter));
                }
            }
            Ok(letters)
        })
        .await
    }

    async fn newest(&self) -> Result<Option<DeadLetterKey>, DeadLetterError> {
        self.with_manifest("index.dead.newest", |connection| {
            let mut statement = connection.prepare_cached("select max(key) from dead_letter")?;
            let newest: Option<i64> = statement.query_row([], |row| row.get(0))?;
            Ok(newest.map(DeadLetterKey))
        })
        .await
    }

    async fn get(&self, id: &EventId) -> Result<Option<DeadLetter>, DeadLetterError> {
        let position = id.0.clone();
        self.with_manifest("index.dead.get", move |connection| {
            let sql = format!(
                "select {COLUMNS}, dead_letter.original \
                 from dead_letter join source on source.id = dead_letter.source \
                 where dead_letter.original is not null and source.name = ?1 \
                 and dead_letter.offset = ?2 and dead_letter.event = ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(place(&position))?;
            rows.next()?.map(letter).transpose()
        })
        .await
    }

    async fn purge(&self, ids: &[EventId]) -> Result<u64, DeadLetterError> {
        let positions: Vec<Position> = ids.iter().map(|id| id.0.clone()).collect();
        self.with_manifest("index.dead.purge", move |connection| {
            let transaction = connection.transaction()?;
            let mut purged = 0;
            for position in &positions {
                let count = transaction
                    .prepare_cached(
                        "update dead_letter set original = null where original is not null \
                         and source = (select id from source where name = ?1) \
                         and offset = ?2 and event = ?3",
                    )?
                    .execute(place(position))?;
                purged += count as u64;
            }
            transaction.commit()?;
            Ok(purged)
        })
        .await
    }

    async fn counts(&self, stream: &StreamName) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        let mut partitions: Vec<(SourceId, StreamPartition)> = {
            let state = self.shared().state();
            let of_stream = state.sources.iter().filter(|(_, partition)| partition.stream == *stream);
            of_stream.map(|(source, partition)| (source, partition.as_ref().clone())).collect()
        };
        partitions.sort_by(|(_, a), (_, b)| a.cmp(b));
        self.with_manifest("index.dead.counts", move |connection| {
            let mut statement = connection
                .prepare_cached("select coalesce(sum(events), 0) from dead_letter where source = ?1")?;
            let mut counts = Vec::new();
            for (source, partition) in partitions {
                let events = unsigned(statement.query_row([source.0], |row| row.get(0))?);
                if events > 0 {
                    counts.push((partition, events));
                }
            }
            Ok(counts)
        })
        .await
    }

    async fn kept(&self, filter: &DeadLetterFilter) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        let DeadLetterFilter { stream, code } = filter.clone();
        self.with_manifest("index.dead.kept", move |connection| {
            let mut statement = connection.prepare_cached(
                "select source.name, sum(dead_letter.events) \
                 from dead_letter join source on source.id = dead_letter.source \
                 where dead_letter.original is not null and (?1 is null or dead_letter.code = ?1) \
                 group by source.id",
            )?;
            let mut rows = statement.query(params![code])?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let partition = partition(&row.get::<_, String>(0)?)?;
                if stream.as_ref().is_none_or(|stream| *stream == partition.stream) {
                    kept.push((partition, unsigned(row.get(1)?)));
                }
            }
            Ok(kept)
        })
        .await
    }

    async fn kept_at(
        &self,
        partition: &StreamPartition,
        offsets: Range<Offset>,
    ) -> Result<u64, DeadLetterError> {
        let name = source_text(partition);
        self.with_manifest("index.dead.kept_at", move |connection| {
            let mut statement = connection.prepare_cached(
                "select coalesce(sum(events), 0) from dead_letter where original is not null \
                 and source = (select id from source where name = ?1) and offset >= ?2 and offset < ?3",
            )?;
            let range = params![name, signed(offsets.start.0), signed(offsets.end.0)];
            Ok(unsigned(statement.query_row(range, |row| row.get(0))?))
        })
        .await
    }
}

fn insert(connection: &Connection, source: u32, letter: &DeadLetter) -> rusqlite::Result<()> {
    let Position { offset, index, .. } = &letter.position;
    let known: Option<i64> = optional(
        connection,
        "select key from dead_letter where source = ?1 and offset = ?2 and event = ?3",
        params![source, signed(offset.0), index],
    )?;
    if known.is_some() {
        return Ok(());
    }
    connection
        .prepare_cached(
            "insert into dead_letter (source, offset, event, events, received, died, prefix, format, code, \
             message, original) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            source,
            signed(offset.0),
            index,
            letter.events,
            letter.received.micros(),
            letter.died.micros(),
            letter.prefix.as_ref().map(IndexPrefix::as_str),
            letter.format.as_str(),
            letter.reason.code,
            letter.reason.message,
            &letter.original[..],
        ])?;
    Ok(())
}

fn place(position: &Position) -> [Value; 3] {
    [
        source_text(&position.partition).into(),
        signed(position.offset.0).into(),
        i64::from(position.index).into(),
    ]
}

fn letter(row: &Row<'_>) -> Result<DeadLetter, DeadLetterError> {
    let DeadLetterEntry { position, events, received, died, prefix, format, reason, bytes: _ } = entry(row)?;
    let original = Bytes::from(row.get::<_, Vec<u8>>(12)?);
    Ok(DeadLetter { position, events, received, died, prefix, format, reason, original })
}

fn entry(row: &Row<'_>) -> Result<DeadLetterEntry, DeadLetterError> {
    let prefix: Option<String> = row.get(7)?;
    let format: String = row.get(8)?;
    Ok(DeadLetterEntry {
        position: Position {
            partition: partition(&row.get::<_, String>(1)?)?,
            offset: Offset(unsigned(row.get(2)?)),
            index: row.get(3)?,
        },
        events: row.get(4)?,
        received: Timestamp::from_micros(row.get(5)?),
        died: Timestamp::from_micros(row.get(6)?),
        prefix: prefix.as_deref().map(IndexPrefix::new).transpose().map_err(damaged)?,
        format: format.parse::<RecordFormat>().map_err(damaged)?,
        reason: DeadReason { code: row.get(9)?, message: row.get(10)? },
        bytes: unsigned(row.get(11)?),
    })
}

fn partition(name: &str) -> Result<StreamPartition, DeadLetterError> {
    parse_source(name).ok_or_else(|| DeadLetterError::Failed(format!("`{name}` is no partition").into()))
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> DeadLetterError {
    DeadLetterError::Failed(Box::new(error))
}

impl From<rusqlite::Error> for DeadLetterError {
    fn from(error: rusqlite::Error) -> Self {
        match is_full(&error) {
            true => Self::Full(Some(Box::new(error))),
            false => Self::Failed(Box::new(error)),
        }
    }
}
