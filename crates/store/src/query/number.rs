use std::cmp::Ordering;
use std::fmt;

/// A number to compare with, from JSON.
///
/// Integers that fit 64 bits with a sign are exact, whatever they were written as (`500`, `500.0`, `5e2`);
/// every other number is the 64-bit float nearest to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(Repr);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Repr {
    Int(i64),
    /// Not NaN, and no integer that `Int` could hold.
    Float(f64),
}

/// 2^63: the first float beyond `i64`.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

impl Number {
    /// A number of that value.
    #[must_use]
    pub const fn from_int(value: i64) -> Self {
        Self(Repr::Int(value))
    }

    /// A number of that value; absent for NaN.
    #[must_use]
    pub fn from_float(value: f64) -> Option<Self> {
        if value.is_nan() {
            return None;
        }
        let is_int = value.trunc() == value && (-I64_END..I64_END).contains(&value);
        Some(Self(if is_int { Repr::Int(value as i64) } else { Repr::Float(value) }))
    }

    /// Reads a JSON number (RFC 8259 section 6) that is the whole text. One beyond the range of floats is
    /// infinite.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !is_json_number(text.as_bytes()) {
            return None;
        }
        match text.parse::<i64>() {
            Ok(value) => Some(Self::from_int(value)),
            Err(_) => Self::from_float(text.parse().ok()?),
        }
    }

    /// Which of the two is greater.
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        match (self.0, other.0) {
            (Repr::Int(a), Repr::Int(b)) => a.cmp(&b),
            (Repr::Int(a), Repr::Float(b)) => compare_int_with_float(a, b),
            (Repr::Float(a), Repr::Int(b)) => compare_int_with_float(b, a).reverse(),
            (Repr::Float(a), Repr::Float(b)) => a.total_cmp(&b),
        }
    }

    /// Whether it lies within the range of floats.
    #[must_use]
    pub fn is_finite(self) -> bool {
        match self.0 {
            Repr::Int(_) => true,
            Repr::Float(value) => value.is_finite(),
        }
    }
}

/// Exact, which it would not be if the integer became a float. `b` is never equal to an `i64`.
fn compare_int_with_float(a: i64, b: f64) -> Ordering {
    if b >= I64_END {
        return Ordering::Less;
    }
    if b < -I64_END {
        return Ordering::Greater;
    }
    let below = b.floor() as i64;
    if a <= below { Ordering::Less } else { Ordering::Greater }
}

fn is_json_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match (unsigned.first(), digits(unsigned)) {
        (_, 0) => return false,
        (Some(b'0'), n) if n > 1 => return false,
        (_, n) => &unsigned[n..],
    };
    if let Some(fraction) = rest.strip_prefix(b".") {
        match digits(fraction) {
            0 => return false,
            n => rest = &fraction[n..],
        }
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// JSON text, where the number is finite.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Int(value) => write!(f, "{value}"),
            Repr::Float(value) => write!(f, "{value:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_numbers_and_nothing_else_are_read() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Number::parse(text).map(|number| number.to_string()).as_deref(), expected, "{text}");
        };
        check("0", Some("0"));
        check("-0", Some("0"));
        check("-0.0", Some("0"));
        check("500.0", Some("500"));
        check("5e2", Some("500"));
        check("5E+2", Some("500"));
        check("1.5e-3", Some("0.0015"));
        check("9223372036854775807", Some("9223372036854775807"));
        check("9223372036854775808", Some("9.223372036854776e18"));
        check("-9223372036854775808", Some("-9223372036854775808"));
        for text in
            ["", "-", "+1", "007", "1.", ".5", "1e", "1e+", "0x1", "1 ", " 1", "inf", "NaN", "1_0", "١"]
        {
            check(text, None);
        }
        assert_eq!(Number::parse("1e400").map(Number::is_finite), Some(false));
    }

    #[test]
    fn numbers_are_ordered_exactly() {
        let ascending = [
            "-1e400",
            "-1e300",
            "-9223372036854775808",
            "-2.5",
            "-2",
            "-0.5",
            "0",
            "0.1",
            "2",
            "2.5",
            "3",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "1e300",
            "1e400",
        ];
        let numbers = ascending.map(|text| Number::parse(text).expect("a number"));
        for (i, a) in numbers.iter().enumerate() {
            for (j, b) in numbers.iter().enumerate() {
                assert_eq!(a.compare(*b), i.cmp(&j), "{a} and {b}");
            }
        }
    }
}
