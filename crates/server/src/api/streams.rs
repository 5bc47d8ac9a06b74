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
    /// Absent if the journal does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Events that it took in all; absent if the journal does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Events that the journal still holds; absent if it does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained_events: Option<u64>,
    /// Bytes on disk of the retained records; absent if the journal does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
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
    /// Events before `start`; absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_event: Option<u64>,
    /// Events in all; absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_event: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}
