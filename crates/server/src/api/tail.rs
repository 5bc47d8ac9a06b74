use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a tail shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailParameters {
    /// Which events, in the query language; absent or empty means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Start with what was received at this time or later: RFC 3339, a date, or an age like `5m`.
    /// Absent means what comes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The zone of a time that names none, as in the IANA database; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// End after this many events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Events that a tail did not show; the data of an event named `gap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TailGap {
    pub partition: u32,
    /// How many, whether they match or not; absent if nothing knows any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// `slow-reader`, `expired`, `damaged`, `cut` or `undecodable`.
    pub reason: String,
}
