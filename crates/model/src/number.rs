//! Numbers as JSON writes them.

/// What the text of a JSON number stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    /// Finite, and the text says no more than the double does.
    Float(f64),
    /// Neither holds it; only the text does.
    Other,
}

/// Every number of this many digits is told apart by doubles from its neighbours that are.
const DIGITS_OF_A_DOUBLE: usize = 17;

impl Number {
    /// `text` must follow the grammar of JSON.
    pub(crate) fn of(text: &str) -> Self {
        let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match text.parse() {
            // `-0` is a number of its own, as a double.
            Ok(0) if text.starts_with('-') => Self::Float(-0.0),
            Ok(value) => Self::Int(value),
            Err(_) if is_integer => Self::Other,
            Err(_) => Self::float(text),
        }
    }

    fn float(text: &str) -> Self {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
        let is_zero = digits.clone().next().is_none();
        match text.parse::<f64>() {
            Ok(value)
                if value.is_finite() && digits.count() <= DIGITS_OF_A_DOUBLE && (value != 0.0 || is_zero) =>
            {
                Self::Float(value)
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_they_say() {
        let check = |text: &str, expected: Number| assert_eq!(Number::of(text), expected, "{text}");
        check("0", Number::Int(0));
        check("-1", Number::Int(-1));
        check("9223372036854775807", Number::Int(i64::MAX));
        check("-9223372036854775808", Number::Int(i64::MIN));
        check("9223372036854775808", Number::Other);
        check("18446744073709551615", Number::Other);
        check("1.0", Number::Float(1.0));
        check("1e3", Number::Float(1000.0));
        check("0.1", Number::Float(0.1));
        check("123456789.12345678", Number::Float(123_456_789.123_456_78));
        check("0.00000000000000000000000000012345", Number::Float(1.2345e-28));
        check("0.1000000000000000055511151231257827", Number::Other);
        check("1e308", Number::Float(1e308));
        check("1e309", Number::Other);
        check("1e-400", Number::Other);
        check("0e-400", Number::Float(0.0));
        check("0.0", Number::Float(0.0));
        assert!(matches!(Number::of("-0"), Number::Float(zero) if zero.is_sign_negative()));
    }
}
