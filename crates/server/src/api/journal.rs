use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::search::object_schema;
use super::time::Time;

/// Which records to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalDumpParameters {
    /// The first offset; the start of the partition if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// How many records at most: 1 to 1000, 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Consecutive records of one partition.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JournalDump {
    pub stream: String,
    pub partition: u32,
    pub incarnation: String,
    pub records: Vec<JournalRecord>,
    /// Offsets between them that can not be read.
    pub losses: Vec<JournalLoss>,
    /// Where the next page starts; absent at the end of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A record of the journal, decoded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JournalRecord {
    pub offset: u64,
    /// Events that the partition took before this record; absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event: Option<u64>,
    pub received: Time,
    /// `Timber`, `TimberCollection` or `Events`.
    pub format: String,
    /// How many events it holds; absent if nobody counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u32>,
    /// Bytes of its value, uncompressed.
    pub bytes: u64,
    /// The client's batch id as it is kept: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// What its events say, in order; null for one that has no storable content.
    #[schemars(schema_with = "contents_schema")]
    pub contents: Vec<Option<Box<RawValue>>>,
    /// Why `contents` is empty, if the record can not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<String>,
}

/// Offsets from `from` up to but not including `to` that can not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalLoss {
    pub from: u64,
    pub to: u64,
    /// How many events; absent if nothing knows any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// `expired`, `damaged` or `cut`.
    pub reason: String,
}

/// What reading a whole journal found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalCheck {
    pub partitions: Vec<JournalPartitionCheck>,
    /// Names of files that could not be read at all, and were put aside: what was in them is in no partition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<String>,
}

/// What reading a whole partition found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalPartitionCheck {
    pub stream: String,
    pub partition: u32,
    pub incarnation: String,
    pub start: u64,
    pub end: u64,
    /// Records that were read whole.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Records whose value does not decode.
    pub undecodable: u64,
    /// What could not be read; what retention removed is not listed.
    pub losses: Vec<JournalLoss>,
}

fn contents_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let object = object_schema(generator);
    schemars::json_schema!({ "type": "array", "items": { "anyOf": [object, { "type": "null" }] } })
}
