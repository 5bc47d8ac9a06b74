use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Time;

/// The agents of the instance, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agents {
    pub agents: Vec<AgentEntry>,
}

/// How an agent is, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentEntry {
    pub agent: String,
    pub state: AgentState,
    /// Why it is in this state, or what is odd although it is well; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// In whose names it sends: without further ado in that of the first.
    pub apps: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Of weir, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What its machine is called, by its last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Absent if it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<Time>,
    /// When something was heard of it last; absent if it never was since it joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Time>,
    /// Bytes that are there and not stored, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// How long the oldest of them has been there; known while it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_millis: Option<u64>,
    /// The configuration that it runs, if that is one of the server's that is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When its newest certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Time>,
}

/// How an agent is; of several that fit the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// It is out for good.
    Revoked,
    /// It is not connected.
    Away,
    /// Nothing is taken of an app that it sends for.
    Refused,
    /// It could not run what it should, and runs what it ran before.
    FailedConfiguration,
    /// What it reads is stored late, or not at all.
    Late,
    Ok,
}

/// How an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    #[serde(flatten)]
    pub entry: AgentEntry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    pub joined: Time,
    /// Id of the access key that it joined with.
    pub access_key: String,
    /// Whether it seals what it sends.
    pub seal: bool,
    /// Counts its certificates.
    pub generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<AgentCertificate>,
    /// By how many milliseconds its clock is ahead of the server's; known while it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_millis: Option<i64>,
    pub configuration: AgentConfiguration,
    /// What it reads; known while it is connected.
    pub inputs: Vec<AgentInput>,
    /// What went wrong last, as it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Time>,
}

/// The newest certificate of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentCertificate {
    pub serial: String,
    pub issued: Time,
    pub expires: Time,
}

/// What an agent should run and what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentConfiguration {
    /// What it should run; absent if nobody decided that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<WantedConfiguration>,
    /// Hash of what it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<String>,
    /// Hash of what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// What it could not run since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedConfiguration>,
}

/// What is decided for an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WantedConfiguration {
    pub revision: u64,
    /// Of which agents it is; none at all means all agents.
    pub labels: BTreeMap<String, String>,
    pub hash: String,
}

/// What an agent could not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedConfiguration {
    pub hash: String,
    pub reason: String,
}

/// How an input of an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentInput {
    pub kind: String,
    /// What tells it from others: its patterns.
    pub input: String,
    pub app: String,
    pub files: u64,
    /// Bytes that are there and not stored.
    pub lag_bytes: u64,
    /// How long the oldest of them has been there.
    pub lag_millis: u64,
    pub stored_bytes: u64,
    pub lines: u64,
    pub errors: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How much of an agent's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentLogParameters {
    /// How many of the last lines: 1 to 1000, 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
}

/// The last lines that an agent has logged, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentLog {
    pub lines: Vec<String>,
}

/// Why an agent is sent away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeAgent {
    /// For people; at most 500 bytes of it are kept.
    #[serde(default)]
    pub note: String,
}
