//! What cases are made of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_model::{
    EventBatch, EventBatchBuilder, EventFault, EventId, Incarnation, IndexPrefix, Offset, PartitionIndex,
    Position, StreamName, StreamPartition, Timestamp,
};

use super::Subject;
use super::json::Json;
use crate::query::{Query, TimeRange};
use crate::seam::{IndexStore, WriteBatch, WriteRecord};
use crate::search::{Count, Hit, SearchLimits, SearchRequest, SearchResponse};

/// 2026-11-21T12:00:00Z: when the records of the suite were received, if nothing else is said.
pub const RECEIVED: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

/// A partition of `shop_logs`.
#[must_use]
pub fn partition(index: u32) -> StreamPartition {
    partition_of("shop_logs", 1, index)
}

/// A partition of any life of any stream.
#[must_use]
pub fn partition_of(stream: &str, incarnation: u64, index: u32) -> StreamPartition {
    StreamPartition {
        stream: StreamName::new(stream).expect("is legal"),
        incarnation: Incarnation(incarnation),
        partition: PartitionIndex(index),
    }
}

/// An index prefix.
#[must_use]
pub fn prefix(name: &str) -> IndexPrefix {
    IndexPrefix::new(name).expect("is legal")
}

/// `RECEIVED` and so many seconds.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(RECEIVED.micros() + seconds * 1_000_000)
}

/// The id of an event.
#[must_use]
pub fn id(partition: &StreamPartition, offset: u64, index: u32) -> EventId {
    EventId(Position { partition: partition.clone(), offset: Offset(offset), index })
}

/// Makes a record of JSON texts with their times.
#[derive(Debug)]
pub struct Recording {
    builder: EventBatchBuilder,
    prefix: IndexPrefix,
}

impl Recording {
    /// An empty record for an index.
    #[must_use]
    pub fn new(of: &str) -> Self {
        Self { builder: EventBatchBuilder::with_capacity(4, 256), prefix: prefix(of) }
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, time: Timestamp, content: &str) -> Self {
        self.builder.begin_event();
        Json::parse(content).build(&mut self.builder).expect("is within the limits of the model");
        self.builder.finish_event(time, 0..0);
        self
    }

    /// Adds an event that nobody can store.
    #[must_use]
    pub fn fault(mut self) -> Self {
        self.builder.begin_event();
        self.builder.reject_event(RECEIVED, 0..0, EventFault::EmptyContent);
        self
    }

    /// The record's events.
    #[must_use]
    pub fn batch(self) -> EventBatch {
        self.builder.build(self.prefix, Bytes::new())
    }

    /// The record.
    #[must_use]
    pub fn at_offset(self, offset: u64) -> WriteRecord {
        WriteRecord { offset: Offset(offset), received: RECEIVED, events: self.batch() }
    }
}

/// A record of one event with the number `n`, `n` seconds after `RECEIVED`.
#[must_use]
pub fn numbered(of: &str, n: u64) -> WriteRecord {
    let seconds = i64::try_from(n).expect("is a small number");
    Recording::new(of).event(at(seconds), &format!(r#"{{"n":{n}}}"#)).at_offset(n)
}

/// Consecutive records, from the first one's offset to behind the last one's.
#[must_use]
pub fn write_of(partition: &StreamPartition, records: Vec<WriteRecord>) -> WriteBatch {
    let from = records.first().map_or(Offset::ZERO, |record| record.offset);
    let next = records.last().map_or(Offset::ZERO, |record| record.offset.next());
    WriteBatch { partition: partition.clone(), from, records, next, more: false }
}

/// Writes consecutive records, which must all be taken.
pub async fn write(store: &dyn IndexStore, partition: &StreamPartition, records: Vec<WriteRecord>) {
    let verdicts = store.write(write_of(partition, records)).await.expect("takes the records");
    assert_eq!(verdicts.rejected, [], "nothing is rejected for its shape");
}

/// Writes the contents to `shop`, one event a record, `RECEIVED` plus one second each.
pub async fn write_contents(store: &dyn IndexStore, contents: &[&str]) {
    let records = (0_u64..).zip(contents).map(|(offset, content)| {
        let seconds = i64::try_from(offset).expect("is a small number");
        Recording::new("shop").event(at(seconds), content).at_offset(offset)
    });
    write(store, &partition(0), records.collect()).await;
}

/// Asks for everything that matches, up to ten thousand hits, and the exact count.
#[must_use]
pub fn request(of: &str, query: &str) -> SearchRequest {
    SearchRequest {
        prefix: prefix(of),
        query: Query::parse(query).unwrap_or_else(|error| panic!("`{query}` is no query: {error}")),
        range: TimeRange::ALL,
        limit: 10_000,
        after: None,
        count: Count::Exact,
        histogram: None,
        top: None,
        limits: SearchLimits { timeout: Duration::from_secs(60), memory: 1 << 30 },
    }
}

/// A search that must have an answer.
pub async fn search(store: &dyn IndexStore, request: SearchRequest) -> SearchResponse {
    store.search(request).await.expect("has an answer")
}

/// All hits of a query in `shop`.
pub async fn hits(store: &dyn IndexStore, query: &str) -> Vec<Hit> {
    search(store, request("shop", query)).await.hits
}

/// The numbers of all [`numbered`] events of a query, newest first.
pub async fn numbers(store: &dyn IndexStore, of: &str, query: &str) -> Vec<u64> {
    numbers_in(&search(store, request(of, query)).await.hits)
}

/// The numbers of [`numbered`] events.
#[must_use]
pub fn numbers_in(hits: &[Hit]) -> Vec<u64> {
    let number = |hit: &Hit| match Json::parse(&hit.content) {
        Json::Object(members) => match members.as_slice() {
            [(_, Json::Number(number))] => number.parse().expect("is a number"),
            other => panic!("{other:?} is not numbered"),
        },
        other => panic!("{other:?} is no object"),
    };
    hits.iter().map(number).collect()
}

/// Writes contents, and expects each to come back: from memory, when durable, and after a restart.
pub async fn check_round_trip(subject: &mut dyn Subject, contents: &[&str]) {
    let check = async |store: Arc<dyn IndexStore>, when: &str| {
        let found = hits(&*store, "*").await;
        assert_eq!(found.len(), contents.len(), "{when}: all events are there");
        for (hit, content) in found.iter().rev().zip(contents) {
            let (found, expected) = (Json::parse(&hit.content), Json::parse(content));
            assert!(found == expected, "{when}: {} came back as {}", shorten(content), shorten(&hit.content));
        }
    };
    write_contents(&*subject.index(), contents).await;
    check(subject.index(), "at once").await;
    subject.index().flush().await.expect("flushes");
    check(subject.index(), "when durable").await;
    subject.reopen().await;
    check(subject.index(), "after a restart").await;
}

fn shorten(text: &str) -> String {
    text.chars().take(500).collect()
}
