use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::time::Time;

/// One search, as the query string of GET or the JSON body of POST.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchParameters {
    /// Which indices: their name before the day. Through weir's own doors it is the app's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Which events, in the query language; absent or empty means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// The earliest time, inclusive: RFC 3339, a date, or an age like `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The time up to which, exclusive: RFC 3339, a date, an age like `5m`, or `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The zone of times that name none, as in the IANA database; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How many hits at most, newest first: 0 to 10000, 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether to count all events that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<bool>,
    /// Count matching events per interval of this width, like `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
    /// Count the values of this field over all events that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<String>,
    /// How many values of `top` at most: 1 to 1000, 10 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_limit: Option<u32>,
    /// How the hits are written; `ndjson` and `csv` hold hits only; they give `next` as header
    /// `weir-next` and the number of unreadable parts as header `weir-unreadable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
}

/// How hits are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object with everything that was asked for.
    #[default]
    Json,
    /// One hit a line.
    Ndjson,
    /// One hit a line, with a line of names first.
    Csv,
}

/// The answer to a search.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SearchAnswer {
    /// Newest first; of one time, the greater id first.
    pub hits: Vec<Hit>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many events match, if `count` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// If asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// If asked for: the most frequent value first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<Vec<TopValue>>,
    /// Damaged parts of the index, which the answer is without; absent if it is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
    pub stats: SearchStats,
}

/// An event that matches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// Its identity in every store: `<stream>-<incarnation>-<partition>-<offset>.<index>`.
    pub id: String,
    /// The full name of its stream.
    pub stream: String,
    /// Its own time.
    pub time: Time,
    /// When weir took it.
    pub received: Time,
    /// What it says: a JSON object.
    #[schemars(schema_with = "object_schema")]
    pub content: Box<RawValue>,
}

/// Matching events per interval of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// The width of a bucket in microseconds.
    pub interval_micros: i64,
    /// In order of time; empty ones are left out.
    pub buckets: Vec<Bucket>,
}

/// One interval of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Its start, inclusive.
    pub start: Time,
    pub count: u64,
}

/// A value of a field and how many matching events have it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TopValue {
    /// As it was sent: a string, a number, true, false or null.
    #[schemars(schema_with = "any_schema")]
    pub value: Box<RawValue>,
    pub count: u64,
}

/// A part of the index with events that could not be looked at, some or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unreadable {
    /// The time of its earliest event.
    pub from: Time,
    /// The time of its latest event.
    pub to: Time,
    /// Which part, and what is wrong with it.
    pub reason: String,
}

/// What a search looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchStats {
    /// Rows whose values were looked at.
    pub rows_scanned: u64,
    /// Segments asked.
    pub segments: u64,
    /// Time that the search took in microseconds, its wait in the queue included.
    pub took_micros: u64,
}

pub(super) fn object_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object" })
}

fn any_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!(true)
}
