use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All groups that read the journal, with how far they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Groups {
    pub groups: Vec<Group>,
}

/// A group of readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    pub group: String,
    /// Whether somebody reads for it now. One that is gone holds back the journal's retention.
    pub live: bool,
    /// Records that it has still to deal with, of the partitions that it knows.
    pub waiting_records: u64,
    pub positions: Vec<GroupPosition>,
}

/// How far a group is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupPosition {
    pub stream: String,
    pub partition: u32,
    /// Everything below is dealt with.
    pub committed: u64,
    /// The offset that the next record gets.
    pub end: u64,
}
