use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::DurationText;

use super::secret::SecretText;
use super::time::Time;

/// The operators of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operators {
    pub operators: Vec<Operator>,
}

/// Who may change anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operator {
    pub operator: String,
    pub made: Time,
    /// Absent of the first, and of those who were made at the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
}

/// An operator to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOperator {
    pub operator: String,
    /// How long the token is good, as `30d`; it does not expire if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
}

/// An operator who was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedOperator {
    pub operator: String,
    /// Shown this once.
    pub token: SecretText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
}
