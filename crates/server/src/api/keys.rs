use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::DurationText;

use super::secret::SecretText;
use super::time::Time;

/// The access keys of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keys {
    pub keys: Vec<Key>,
}

/// With what nodes become agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    pub id: String,
    pub title: String,
    /// In whose names its agents send: without further ado in that of the first.
    pub apps: Vec<String>,
    /// Of its agents.
    pub labels: BTreeMap<String, String>,
    pub state: KeyState,
    /// How many agents may join with it.
    pub uses: Uses,
    /// How many have.
    pub used: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// Whether its agents seal what they send.
    pub seal: bool,
    pub made: Time,
    pub made_by: String,
}

/// Whether anybody can join with an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    Usable,
    UsedUp,
    Expired,
    Revoked,
}

/// How many agents may join: a number, or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of at least one, or `unlimited`")]
pub enum Uses {
    Times(NonZeroU32),
    Word(AnyNumber),
}

/// As many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnyNumber {
    Unlimited,
}

/// An access key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// By what people know it.
    pub title: String,
    /// One at least.
    pub apps: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How long nodes can join with it, as `24h`; it does not expire if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
    /// One agent if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<Uses>,
    #[serde(default)]
    pub seal: bool,
}

/// An access key that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    pub id: String,
    /// The text for the node, shown this once.
    pub access_key: SecretText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// How many agents may join with it.
    pub uses: Uses,
}

/// How far a revocation goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// Whether those who joined with it are out as well.
    #[serde(default)]
    pub agents: bool,
}

/// An access key with which nobody joins any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokedKey {
    #[serde(flatten)]
    pub key: Key,
    /// Agents that were revoked with it.
    pub revoked_agents: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_a_number_or_a_word() {
        let check = |json: &str, expected: Option<Uses>| {
            assert_eq!(serde_json::from_str(json).ok(), expected, "{json}");
        };
        check("1", Some(Uses::Times(NonZeroU32::MIN)));
        check("\"unlimited\"", Some(Uses::Word(AnyNumber::Unlimited)));
        check("0", None);
        check("-1", None);
        check("\"1\"", None);
        check("\"many\"", None);
        check("null", None);
    }
}
