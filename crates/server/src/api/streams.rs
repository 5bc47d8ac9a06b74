use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Time;

/// All streams, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Streams {
    pub streams: Vec<Stream>,
}

/// A stream and what the journal holds of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// The full name.
    pub stream: String,
    pub created: Time,
    /// Events that it took in all.
    pub events: u64,
    /// Events that the journal still holds.
    pub retained_events: u64,
    /// Bytes on disk of the retained records.
    pub bytes: u64,
    pub partitions: Vec<Partition>,
}

/// A partition of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partition {
    pub partition: u32,
    /// Which life of the stream, 16 hexadecimal digits.
    pub incarnation: String,
    /// The first offset that may still be readable.
    pub start: u64,
    /// The offset that the next record gets.
    pub end: u64,
    /// Events before `start`.
    pub start_event: u64,
    /// Events in all.
    pub end_event: u64,
    pub bytes: u64,
}
