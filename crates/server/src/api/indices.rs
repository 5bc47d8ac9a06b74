use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which indices to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndicesParameters {
    /// Of this prefix only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// What can be searched, in the order of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Indices {
    pub indices: Vec<Index>,
}

/// The events of one prefix whose time is on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// `<prefix>-YYYY.MM.DD`.
    pub index: String,
    pub prefix: String,
    /// `YYYY-MM-DD`, of UTC.
    pub day: String,
    /// Events, those still in memory included.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The Parquet files that make it up at this instant, absolute.
    pub files: Vec<String>,
}
