//! Events that a store refused, or that nobody could decode.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use weir_model::{
    EventId, IndexPrefix, Offset, Position, RecordFormat, StreamName, StreamPartition, Timestamp,
};

use crate::error::DeadLetterError;

/// Keeps dead letters. A letter is durable when [`put`](DeadLetterStore::put) returns; putting one that is
/// there changes nothing, also after it was purged.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + fmt::Debug {
    /// Keeps the letters, durably.
    async fn put(&self, letters: Vec<DeadLetter>) -> Result<(), DeadLetterError>;

    /// The letters that the filter lets through, oldest first, after `after`, at most `limit`; without their
    /// bytes, which may be 20 MB each.
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<(DeadLetterKey, DeadLetterEntry)>, DeadLetterError>;

    /// The key of the letter that was put last, which may be purged by now. Every later one is greater.
    async fn newest(&self) -> Result<Option<DeadLetterKey>, DeadLetterError>;

    /// One letter with its bytes.
    async fn get(&self, id: &EventId) -> Result<Option<DeadLetter>, DeadLetterError>;

    /// Removes the letters; they stay counted. Answers how many there were.
    async fn purge(&self, ids: &[EventId]) -> Result<u64, DeadLetterError>;

    /// How many events of each partition of the stream ever died, those of purged letters included.
    async fn counts(&self, stream: &StreamName) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError>;

    /// How many events of each partition the letters that the filter lets through stand for, purged ones left
    /// out.
    async fn kept(&self, filter: &DeadLetterFilter) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError>;

    /// How many events the letters of these offsets of the partition stand for, purged ones left out.
    async fn kept_at(
        &self,
        partition: &StreamPartition,
        offsets: Range<Offset>,
    ) -> Result<u64, DeadLetterError>;
}

/// An event that no store took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the event is in the journal; for a record that could not be decoded at all, index 0.
    pub position: Position,
    /// How many events this stands for: more than one only if a whole record could not be decoded.
    pub events: u32,
    /// When the door took it.
    pub received: Timestamp,
    /// When it died.
    pub died: Timestamp,
    /// The index it was for, if that is known.
    pub prefix: Option<IndexPrefix>,
    /// How to read `original`.
    pub format: RecordFormat,
    /// Why it is here.
    pub reason: DeadReason,
    /// The bytes of the event as they came.
    pub original: Bytes,
}

/// A [`DeadLetter`] in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterEntry {
    /// Where the event is in the journal.
    pub position: Position,
    /// How many events this stands for.
    pub events: u32,
    /// When the door took it.
    pub received: Timestamp,
    /// When it died.
    pub died: Timestamp,
    /// The index it was for, if that is known.
    pub prefix: Option<IndexPrefix>,
    /// How to read the original.
    pub format: RecordFormat,
    /// Why it is here.
    pub reason: DeadReason,
    /// How long the original is.
    pub bytes: u64,
}

impl DeadLetter {
    /// How it is listed.
    #[must_use]
    pub fn entry(&self) -> DeadLetterEntry {
        DeadLetterEntry {
            position: self.position.clone(),
            events: self.events,
            received: self.received,
            died: self.died,
            prefix: self.prefix.clone(),
            format: self.format,
            reason: self.reason.clone(),
            bytes: self.original.len() as u64,
        }
    }
}

/// Why an event is dead: a stable code and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadReason {
    /// Stable, `kebab-case`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Where a listing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterKey(pub i64);

/// Which letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Of this stream only.
    pub stream: Option<StreamName>,
    /// With this reason's code only.
    pub code: Option<String>,
}
