use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How thorough an audit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditParameters {
    /// Whether to compare the positions of every event with the store's rows, not only the counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
}

/// Whether everything that was accepted is accounted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    pub verdict: AuditVerdict,
    /// Whether positions were compared as well.
    pub verified: bool,
    pub streams: Vec<AuditStream>,
    /// What is wrong beside the streams: files of the journal that could not be read at all, whose streams may not be
    /// known any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// The outcome of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditVerdict {
    /// All is accounted for.
    Agrees,
    /// Something is missing or was found twice; the findings say what.
    Differs,
    /// The journal does not count events, and positions were not compared.
    Unknown,
}

/// One stream: `accepted = delivered + dead + waiting + expired + lost`, where the books agree.
///
/// Over a journal and a store that others write to as well, nobody counts. There the counts are of what the journal
/// still holds, and known once positions were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditStream {
    /// The full name.
    pub stream: String,
    /// Events that the journal took; absent if it does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
    /// Rows of the store, those that its retention removed included; absent if it does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u64>,
    /// Events that became dead letters.
    pub dead: u64,
    /// Events that are in the journal and not yet in the store; absent if it does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Events that the journal's retention removed before they were delivered.
    pub expired: u64,
    /// Events that damage took from the journal before they were delivered; counted and reported.
    pub lost: u64,
    pub verdict: AuditVerdict,
    /// What does not agree, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}
