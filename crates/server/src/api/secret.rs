use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use weir_foundation::settings::Secret;

/// A secret on its way between server and operator. `Debug` shows nothing of it, nor does the error where something else
/// stands in its place.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text itself, for whoever has to send, keep or show it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&Secret> for SecretText {
    fn from(secret: &Secret) -> Self {
        Self(secret.reveal().to_owned())
    }
}

impl From<SecretText> for Secret {
    fn from(text: SecretText) -> Self {
        Self::new(text.0)
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            _ => Err(D::Error::custom("a secret is a text")),
        }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_text_itself_shows_it() {
        let secret: SecretText = serde_json::from_str("\"hunter2\"").expect("is a text");
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "***"));
        assert_eq!(serde_json::to_string(&secret).expect("is JSON"), "\"hunter2\"");
        for other in ["1234567890", "[\"1234567890\"]", "{\"1234567890\":1}", "null"] {
            let error = serde_json::from_str::<SecretText>(other).expect_err("is no text").to_string();
            assert!(error.starts_with("a secret is a text") && !error.contains("123"), "{error}");
        }
    }
}
