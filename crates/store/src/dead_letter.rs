//! Events that a store refused, or that nobody could decode.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use weir_model::{EventId, IndexPrefix, Position, RecordFormat, StreamName, StreamPartition, Timestamp};

use crate::error::DeadLetterError;

/// Keeps dead letters. A letter is durable when [`put`](DeadLetterStore::put) returns; putting one that is
/// there changes nothing, also after it was purged.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + fmt::Debug {
    /// Keeps the letters, durably.
    async fn put(&self, letters: Vec<DeadLetter>) -> Result<(), DeadLetterError>;

    /// The letters that the filter lets through, oldest first, after `after`, at most `limit`.
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<(DeadLetterKey, DeadLetter)>, DeadLetterError>;

    /// One letter.
    async fn get(&self, id: &EventId) -> Result<Option<DeadLetter>, DeadLetterError>;

    /// Removes the letters; they stay counted. Answers how many there were.
    async fn purge(&self, ids: &[EventId]) -> Result<u64, DeadLetterError>;

    /// How many events of each partition of the stream ever died, those of purged letters included.
    async fn counts(&self, stream: &StreamName) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError>;
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
