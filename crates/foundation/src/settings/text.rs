//! Values with a unit, as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};

use super::shape::{DURATION_FORMAT, SIZE_FORMAT};

/// A duration with its unit: `250ms`, `30s`, `15m`, `24h`, `7d`. A bare number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(Duration);

/// A number of bytes with its unit: `500B`, `64KiB`, `64MiB`, `1GiB`, `2TiB`, or decimal `KB`, `MB`, `GB`, `TB`.
/// A bare number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeText(u64);

/// A text that is not a value of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("`{0}` is not a whole number followed by a unit")]
    Malformed(String),
    #[error("`{0}` has no unit")]
    NoUnit(String),
    #[error("`{unit}` is not a unit")]
    UnknownUnit { unit: String },
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Largest first, as needed for printing.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const DURATION_EXPECTED: &str = "a duration with its unit, such as `250ms`, `30s`, `15m`, `24h` or `7d`";
const SIZE_EXPECTED: &str = "a size with its unit, such as `500B`, `64KiB`, `64MiB` or `1GiB`";

impl DurationText {
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl SizeText {
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for DurationText {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        parse(text, &DURATION_UNITS).map(|micros| Self(Duration::from_micros(micros)))
    }
}

impl FromStr for SizeText {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        parse(text, &SIZE_UNITS).map(Self)
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, TextError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(TextError::Malformed(text.to_owned()));
    }
    if unit.is_empty() {
        return Err(TextError::NoUnit(text.to_owned()));
    }
    let found = units.iter().find(|(name, _)| *name == unit);
    let Some((_, factor)) = found else {
        return Err(match unit.trim().chars().all(char::is_alphabetic) {
            true => TextError::UnknownUnit { unit: unit.to_owned() },
            false => TextError::Malformed(text.to_owned()),
        });
    };
    let number: Option<u64> = number.parse().ok();
    number.and_then(|number| number.checked_mul(*factor)).ok_or_else(|| TextError::TooLarge(text.to_owned()))
}

/// The largest unit of which the value is a whole multiple.
fn print(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let unit = units.iter().find(|(_, factor)| value.is_multiple_of(*factor) && value >= *factor);
    let (name, factor) = unit.copied().unwrap_or(units[units.len() - 1]);
    write!(f, "{}{name}", value / factor)
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX) {
            0 => f.write_str("0s"),
            micros => print(micros, &DURATION_UNITS, f),
        }
    }
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &SIZE_UNITS, f)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SizeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor { expected: DURATION_EXPECTED, parse: Self::from_str })
    }
}

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor { expected: SIZE_EXPECTED, parse: Self::from_str })
    }
}

struct TextVisitor<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, TextError>,
}

impl<T> TextVisitor<T> {
    fn bare<E: serde::de::Error>(&self, number: impl fmt::Display) -> E {
        E::custom(format_args!("`{number}` has no unit, expected {}", self.expected))
    }
}

impl<T> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(|error| E::custom(format_args!("{error}, expected {}", self.expected)))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Unit, &self))
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": DURATION_FORMAT, "pattern": "^[0-9]+(us|ms|s|m|h|d)$" })
    }
}

impl JsonSchema for SizeText {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": SIZE_FORMAT, "pattern": "^[0-9]+(B|[KMGT]i?B)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expected: Result<Duration, &str>| {
            let outcome = text.parse::<DurationText>();
            let outcome = outcome.map(DurationText::duration).map_err(|error| error.to_string());
            assert_eq!(outcome, expected.map_err(str::to_owned), "{text}");
        };
        check("250ms", Ok(Duration::from_millis(250)));
        check("0s", Ok(Duration::ZERO));
        check("30s", Ok(Duration::from_secs(30)));
        check("15m", Ok(Duration::from_secs(900)));
        check("24h", Ok(Duration::from_secs(86_400)));
        check("7d", Ok(Duration::from_secs(604_800)));
        check("30", Err("`30` has no unit"));
        check("s", Err("`s` is not a whole number followed by a unit"));
        check("-5s", Err("`-5s` is not a whole number followed by a unit"));
        check("1.5s", Err("`1.5s` is not a whole number followed by a unit"));
        check("", Err("`` is not a whole number followed by a unit"));
        check("5 s", Err("` s` is not a unit"));
        check("5min", Err("`min` is not a unit"));
        check("99999999999999999999d", Err("`99999999999999999999d` is too large"));
        check("18446744073709551615d", Err("`18446744073709551615d` is too large"));
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Result<u64, &str>| {
            let outcome = text.parse::<SizeText>();
            let outcome = outcome.map(SizeText::bytes).map_err(|error| error.to_string());
            assert_eq!(outcome, expected.map_err(str::to_owned), "{text}");
        };
        check("500B", Ok(500));
        check("64MiB", Ok(64 << 20));
        check("1GiB", Ok(1 << 30));
        check("5MB", Ok(5_000_000));
        check("64", Err("`64` has no unit"));
        check("64M", Err("`M` is not a unit"));
        check("64mib", Err("`mib` is not a unit"));
        check("16777216TiB", Err("`16777216TiB` is too large"));
    }

    #[test]
    fn print_what_they_read() {
        for text in ["0s", "250ms", "90s", "15m", "1h", "7d", "3us"] {
            assert_eq!(text.parse::<DurationText>().expect("is valid").to_string(), text);
        }
        for text in ["0B", "1B", "1023B", "64KiB", "1GiB", "20MB", "3TiB"] {
            assert_eq!(text.parse::<SizeText>().expect("is valid").to_string(), text);
        }
    }

    #[test]
    fn bare_numbers_are_refused_with_an_example() {
        let error = serde_json::from_str::<DurationText>("30").expect_err("has no unit");
        insta::assert_snapshot!(error, @"`30` has no unit, expected a duration with its unit, such as `250ms`, `30s`, `15m`, `24h` or `7d` at line 1 column 2");
        let error = serde_json::from_str::<SizeText>("true").expect_err("is no size");
        insta::assert_snapshot!(error, @"invalid type: boolean `true`, expected a size with its unit, such as `500B`, `64KiB`, `64MiB` or `1GiB` at line 1 column 4");
    }

    proptest::proptest! {
        #[test]
        fn every_value_comes_back(number: u64, text in "[0-9]{0,22}[ a-zA-Z]{0,4}") {
            let duration = DurationText(Duration::from_micros(number));
            assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = SizeText(number);
            assert_eq!(size.to_string().parse(), Ok(size));
            // Whatever is read can be printed; whatever is not read is refused without a panic.
            if let Ok(size) = text.parse::<SizeText>() {
                assert_eq!(size.to_string().parse(), Ok(size));
            }
        }
    }
}
