use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ErrorDetail;
use super::time::Time;

/// Configurations of agents, without their texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configurations {
    pub configurations: Vec<ConfigurationEntry>,
}

/// A configuration that agents have or had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationEntry {
    /// Grows with every configuration of the instance.
    pub revision: u64,
    /// Of which agents it is; none at all means all agents.
    pub labels: BTreeMap<String, String>,
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// Bytes of its text.
    pub bytes: u64,
    pub made: Time,
    pub made_by: String,
    pub note: String,
    /// The revision that it brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
}

/// A configuration with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    #[serde(flatten)]
    pub entry: ConfigurationEntry,
    pub text: String,
}

/// Of which agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationParameters {
    /// The labels that it is of, as `role=web,zone=eu`; `*` for all agents.
    pub labels: String,
}

/// What agents with all of these labels are to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConfiguration {
    /// `agent` and `app` may be among them; none at all means all agents.
    pub labels: BTreeMap<String, String>,
    /// YAML, as in `docs/agent.md`; at most 1 MiB.
    pub text: String,
    /// For people; at most 500 bytes of it are kept.
    #[serde(default)]
    pub note: String,
    /// Whether to say only what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was decided, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationAnswer {
    /// What these agents have now; absent if nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationEntry>,
    /// Whether these agents are told anything new: another text, or one that did not work, to be tried again.
    pub changed: bool,
    /// How many agents run by it, those that are away included.
    pub agents: u64,
    /// From the text of before to this one, in the unified format.
    pub diff: String,
}

/// The answer where agents would not take a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationRefusal {
    pub error: ErrorDetail,
    /// Everything that is wrong with the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ConfigurationProblem>,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationProblem {
    /// Of the text, from 1; absent if it is not about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Of the field, as `inputs[0].app`; empty if it is not about one.
    pub path: String,
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// To what to go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    pub labels: BTreeMap<String, String>,
    /// One that these agents had; if absent the one before the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// Which configuration is not to be any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    pub labels: BTreeMap<String, String>,
}

/// What a withdrawal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WithdrawalAnswer {
    /// Agents that ran by it and are told something else now, or nothing.
    pub agents: u64,
}

/// How far agents are with what they should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationStatus {
    pub configurations: Vec<ConfigurationProgress>,
    /// Agents for which there is no configuration.
    pub without: u64,
}

/// How far agents are with one configuration. Each agent counts once: revoked ones nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationProgress {
    #[serde(flatten)]
    pub configuration: ConfigurationEntry,
    /// All that should run it.
    pub agents: u64,
    pub running: u64,
    /// Connected, and neither running it nor failed.
    pub trying: u64,
    pub failed: u64,
    /// Not connected, whatever they ran before.
    pub away: u64,
    /// Why it failed, the most frequent reason first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<ConfigurationFailure>,
}

/// A reason why a configuration does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationFailure {
    pub reason: String,
    pub agents: u64,
    /// The first of them, by name.
    pub example: String,
}
