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
        match double(text) {
            Some(value) if digits.count() <= DIGITS_OF_A_DOUBLE && (value != 0.0 || is_zero) => {
                Self::Float(value)
            }
            _ => Self::Other,
        }
    }
}

/// The nearest double, or `None` if the number is beyond them.
pub(crate) fn double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// How many bytes at the start of `bytes` are a JSON number, or `None` if it is none.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    at += match bytes.get(at) {
        // No digit may follow: numbers do not start with a zero.
        Some(b'0') if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => return None,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at += 1 + digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at += digits(bytes, at)?;
    }
    Some(at)
}

/// How many digits come at `from`; at least one.
fn digits(bytes: &[u8], from: usize) -> Option<usize> {
    let count = bytes.get(from..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(count)
}
