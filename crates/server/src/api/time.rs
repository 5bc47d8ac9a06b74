use std::fmt;

use serde::{Deserialize, Serialize};
use weir_model::Timestamp;

/// A point in time as RFC 3339, in UTC, in microseconds at the finest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Time(pub Timestamp);

/// The text is no RFC 3339 time with an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no RFC 3339 time")]
pub struct IllegalTime(String);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = IllegalTime;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        weir_wire::parse_rfc3339(text.as_bytes()).map(Self).ok_or(IllegalTime(text))
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl schemars::JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_back_as_it_was_written() {
        for micros in [0, -62_167_219_200_000_000, 253_402_300_799_000_000, 1_700_000_000_123_456] {
            let time = Time(Timestamp::from_micros(micros));
            assert_eq!(Time::try_from(String::from(time)), Ok(time));
        }
        assert_eq!(Time::try_from("now".to_owned()), Err(IllegalTime("now".to_owned())));
    }
}
