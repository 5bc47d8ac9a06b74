use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::search::object_schema;
use super::time::Time;

/// Which dead letters to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadListParameters {
    /// Of this stream only: its name, with or without prefix and suffix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// With this reason's code only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// How many at most: 1 to 1000, 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One page of dead letters, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetters {
    pub letters: Vec<DeadLetterEntry>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// An event that no store took, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterEntry {
    /// The identity that the event would have in a store.
    pub id: String,
    /// The full name of its stream.
    pub stream: String,
    /// How many events this stands for: more than one only if a whole record could not be decoded.
    pub events: u32,
    /// When weir took it.
    pub received: Time,
    /// When it died.
    pub died: Time,
    /// The index it was for, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How to read the original: `Timber`, `TimberCollection` or `Events`.
    pub format: String,
    /// Why it is here: stable.
    pub code: String,
    /// Why it is here: for people.
    pub message: String,
    /// How many bytes the original has.
    pub bytes: u64,
}

/// An event that no store took.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    #[serde(flatten)]
    pub entry: DeadLetterEntry,
    /// What the event says; absent if its bytes can not be read as one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_schema")]
    pub content: Option<Box<RawValue>>,
    /// The bytes of the event as they came, in base64 (RFC 4648 section 4).
    pub original: String,
}

/// Which dead letters an operation is about: those of `ids`, or those that `stream` and `code` let through;
/// exactly one of the two ways. `all` selects every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadSelection {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// Which dead letters to replay, selected as by `DeadSelection`, and what to change of their events before.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// What the event is to be instead: of one letter, named by `ids`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_schema")]
    pub content: Option<Box<RawValue>>,
    /// Values to set in every event, by the path of keys, joined by dots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "object_schema")]
    pub set: BTreeMap<String, Box<RawValue>>,
}

/// What became of a replay. A letter that was accepted again is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayAnswer {
    pub accepted: u64,
    /// Letters that are still dead, with what the door said; at most the first 100.
    pub refused: Vec<ReplayRefusal>,
    pub refused_total: u64,
}

/// A letter that the door refused again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayRefusal {
    pub id: String,
    pub reason: String,
}

/// What became of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PurgeAnswer {
    pub purged: u64,
}
