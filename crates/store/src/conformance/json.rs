//! JSON values to compare: the order of keys is free, numbers are exact, duplicate keys stay.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use weir_model::{ContentError, EventBatchBuilder};

/// A JSON value with its numbers as they were written.
#[derive(Debug, Clone)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The text of a number. `1` and `1.0` are two numbers, `1.0`, `1.00` and `10e-1` are one.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, with the keys in their order and as often as they occur.
    Object(Vec<(String, Json)>),
}

/// The value of a number without rounding: `0.digits × 10^exponent`.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    integral: bool,
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Json {
    /// Reads a JSON text.
    ///
    /// # Panics
    ///
    /// If it is none: for tests.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let raw: &RawValue = serde_json::from_str(text).expect("is JSON");
        Self::of(raw)
    }

    fn of(raw: &RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => Self::Object(members(text)),
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).expect("is an array");
                Self::Array(elements.into_iter().map(Self::of).collect())
            }
            Some(b'"') => Self::Text(serde_json::from_str(text).expect("is a string")),
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            _ => Self::Number(text.to_owned()),
        }
    }

    /// Adds the value to a batch, each number in the shape that holds it exactly.
    pub fn build(&self, builder: &mut EventBatchBuilder) -> Result<(), ContentError> {
        match self {
            Self::Null => builder.null(),
            Self::Bool(value) => builder.bool(*value),
            Self::Number(text) => return build_number(text, builder),
            Self::Text(text) => return builder.str(text),
            Self::Array(elements) => {
                builder.start_array()?;
                elements.iter().try_for_each(|element| element.build(builder))?;
                return builder.end();
            }
            Self::Object(members) => {
                builder.start_object()?;
                for (key, value) in members {
                    builder.key(key)?;
                    value.build(builder)?;
                }
                return builder.end();
            }
        }
        Ok(())
    }
}

fn build_number(text: &str, builder: &mut EventBatchBuilder) -> Result<(), ContentError> {
    let decimal = Decimal::of(text);
    if decimal.integral {
        match text.parse::<i64>() {
            Ok(value) if text != "-0" => builder.int(value),
            _ => return builder.number(text),
        }
        return Ok(());
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && Decimal::of(&format!("{value:?}")) == decimal => {
            builder.float(value);
            Ok(())
        }
        _ => builder.number(text),
    }
}

fn members(text: &str) -> Vec<(String, Json)> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Json)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                members.push((key, Json::of(value)));
            }
            Ok(members)
        }
    }

    serde_json::Deserializer::from_str(text).deserialize_map(Members).expect("is an object")
}

impl Decimal {
    fn of(text: &str) -> Self {
        let integral = !text.contains(['.', 'e', 'E']);
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().expect("is an exponent of a sane size");
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let leading = (all.len() - significant.len()) as i64;
        let digits = significant.trim_end_matches('0').to_owned();
        let exponent = if digits.is_empty() { 0 } else { whole.len() as i64 - leading + exponent };
        Self { integral, negative, digits, exponent }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => Decimal::of(a) == Decimal::of(b),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => in_key_order(a) == in_key_order(b),
            _ => false,
        }
    }
}

/// Members of one key stay in their order.
fn in_key_order(members: &[(String, Json)]) -> Vec<&(String, Json)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_exactly() {
        let check =
            |a: &str, b: &str, equal: bool| assert_eq!(Json::parse(a) == Json::parse(b), equal, "{a} {b}");
        check("1", "1", true);
        check("1", "1.0", false);
        check("1.0", "10e-1", true);
        check("100.0", "1e2", true);
        check("0.001", "1e-3", true);
        check("0.0", "-0.0", false);
        check("12345678901234567890", "12345678901234567891", false);
        check("0.1", "0.10000000000000001", false);
    }

    #[test]
    fn keys_are_free_in_order_but_not_in_number() {
        let check =
            |a: &str, b: &str, equal: bool| assert_eq!(Json::parse(a) == Json::parse(b), equal, "{a} {b}");
        check(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, true);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#, false);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, false);
        check(r#"{"a":{"x":[1,{}]}}"#, r#"{"a":{"x":[1,{}]}}"#, true);
        check("[1,2]", "[2,1]", false);
    }
}
