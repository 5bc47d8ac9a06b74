use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::secret::SecretText;
use super::time::Time;

/// The apps of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Apps {
    pub apps: Vec<App>,
}

/// In whose name events are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    pub app: String,
    /// Whether anybody may send in its name.
    pub enabled: bool,
    /// Events per second; absent where the settings decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tps: Option<NonZeroU32>,
    /// Absent where its name is the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_prefix: Option<String>,
    /// How many secrets it has: two while its clients change from one to the other; none if whoever reaches the door may
    /// send.
    pub secrets: u64,
    pub made: Time,
    pub made_by: String,
}

/// An app to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    pub app: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tps: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_prefix: Option<String>,
    /// One that its clients have already, of at least 16 bytes; if absent one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
}

/// What an app was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppSecret {
    pub app: String,
    /// Shown this once; absent if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
}

/// What to change of an app; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppChange {
    /// Null lets the settings decide.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub max_tps: Option<Option<NonZeroU32>>,
    /// Null makes its name the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub index_prefix: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A further secret for an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAppSecret {
    /// One that its clients have already, of at least 16 bytes; if absent one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
}

/// Which secrets of an app are to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndAppSecrets {
    /// How many of the newest stay: 1 if absent. With 0 whoever reaches the door may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u8>,
}

/// Null is a value here.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_something_else_than_null() {
        let check = |json: &str, max_tps: Option<Option<u32>>| {
            let change: AppChange = serde_json::from_str(json).expect("is a change");
            let max_tps = max_tps.map(|max_tps| max_tps.and_then(NonZeroU32::new));
            assert_eq!(change, AppChange { max_tps, ..AppChange::default() });
            assert_eq!(serde_json::to_string(&change).expect("is JSON"), json);
        };
        check("{}", None);
        check(r#"{"max_tps":null}"#, Some(None));
        check(r#"{"max_tps":5}"#, Some(Some(5)));
        assert!(serde_json::from_str::<AppChange>(r#"{"max_tps":0}"#).is_err());
    }
}
