use std::cmp::Ordering;
use std::ops::Bound;

use super::ast::{Operand, Range, Scalar, Test};
use super::matcher::TextMatcher;
use super::number::Number;
use super::text::{LowerBuffer, tokens};
use super::time::parse_rfc_3339;

/// A [`Test`], compiled: decides about one value. For an array, ask about its elements.
#[derive(Debug, Clone)]
pub struct ValueMatcher {
    check: Check,
    tokens: Vec<String>,
}

#[derive(Debug, Clone)]
enum Check {
    Exists,
    Term { text: Box<TextMatcher>, scalar: Option<Scalar> },
    Exact { text: String, scalar: Option<Scalar> },
    Range(Range),
}

impl ValueMatcher {
    /// Compiles a test.
    #[must_use]
    pub fn new(test: &Test) -> Self {
        let check = match test {
            Test::Exists => Check::Exists,
            Test::Term(pattern) => {
                Check::Term { text: Box::new(TextMatcher::new(pattern)), scalar: pattern.scalar() }
            }
            Test::Exact(text) => Check::Exact { text: text.clone(), scalar: Scalar::of(text) },
            Test::Range(range) => Check::Range(range.clone()),
        };
        let mut words = Vec::new();
        match &check {
            Check::Term { text, .. } => words.extend_from_slice(text.tokens()),
            Check::Exact { text, .. } => tokens(text, |word| words.push(word.to_owned())),
            Check::Exists | Check::Range(_) => {}
        }
        Self { check, tokens: words }
    }

    /// What strings are searched for, if the test is a term: to search many strings at once.
    #[must_use]
    pub fn text(&self) -> Option<&TextMatcher> {
        match &self.check {
            Check::Term { text, .. } => Some(text),
            Check::Exists | Check::Exact { .. } | Check::Range(_) => None,
        }
    }

    /// Words, as [`tokens`](super::tokens) gives them, that every string that passes has; empty if none is
    /// certain. Says nothing of values that are not strings.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Decides about a string.
    #[must_use]
    pub fn matches_text(&self, text: &str, buffer: &mut LowerBuffer) -> bool {
        match &self.check {
            Check::Exists => true,
            Check::Term { text: matcher, .. } => matcher.matches_lowered(buffer.lower(text)),
            Check::Exact { text: wanted, .. } => text == wanted,
            Check::Range(range) => is_within(range, |operand| compare_text(text, operand)),
        }
    }

    /// Decides about a number.
    #[must_use]
    pub fn matches_number(&self, value: Number) -> bool {
        match &self.check {
            Check::Exists => true,
            Check::Term { scalar, .. } | Check::Exact { scalar, .. } => {
                matches!(scalar, Some(Scalar::Number(number)) if number.compare(value).is_eq())
            }
            Check::Range(range) => is_within(range, |operand| match operand {
                Operand::Number(number) => Some(value.compare(*number)),
                Operand::Time { .. } | Operand::Text(_) => None,
            }),
        }
    }

    /// Decides about an integer.
    #[must_use]
    pub fn matches_int(&self, value: i64) -> bool {
        self.matches_number(Number::from_int(value))
    }

    /// Whether some integer from `min` to `max` passes.
    #[must_use]
    pub fn matches_int_within(&self, min: i64, max: i64) -> bool {
        let [min, max] = [min, max].map(Number::from_int);
        match &self.check {
            Check::Exists => true,
            Check::Term { scalar, .. } | Check::Exact { scalar, .. } => match scalar {
                Some(Scalar::Number(number)) => number.compare(min).is_ge() && number.compare(max).is_le(),
                Some(Scalar::Bool(_) | Scalar::Null) | None => false,
            },
            Check::Range(Range { lower, upper }) => {
                let reaches = |bound: &Bound<Operand>, best: Number, keeps: fn(Ordering) -> bool| match bound
                {
                    Bound::Included(Operand::Number(number)) => {
                        keeps(best.compare(*number)) || best == *number
                    }
                    Bound::Excluded(Operand::Number(number)) => keeps(best.compare(*number)),
                    Bound::Included(_) | Bound::Excluded(_) => false,
                    Bound::Unbounded => true,
                };
                reaches(lower, max, Ordering::is_gt) && reaches(upper, min, Ordering::is_lt)
            }
        }
    }

    /// Decides about a float.
    #[must_use]
    pub fn matches_float(&self, value: f64) -> bool {
        Number::from_float(value).is_some_and(|number| self.matches_number(number))
    }

    /// Decides about a number that is there as JSON text.
    #[must_use]
    pub fn matches_number_text(&self, text: &str) -> bool {
        Number::parse(text).is_some_and(|number| self.matches_number(number))
    }

    /// Decides about a bool.
    #[must_use]
    pub fn matches_bool(&self, value: bool) -> bool {
        self.names(Scalar::Bool(value))
    }

    /// Decides about a `null`, which only a leaf with a field looks at.
    #[must_use]
    pub fn matches_null(&self) -> bool {
        self.names(Scalar::Null)
    }

    /// Decides about an object or array as such, which only a leaf with a field looks at.
    #[must_use]
    pub fn matches_container(&self) -> bool {
        matches!(self.check, Check::Exists)
    }

    fn names(&self, value: Scalar) -> bool {
        match &self.check {
            Check::Exists => true,
            Check::Term { scalar, .. } | Check::Exact { scalar, .. } => *scalar == Some(value),
            Check::Range(_) => false,
        }
    }
}

fn is_within(range: &Range, compare: impl Fn(&Operand) -> Option<Ordering>) -> bool {
    let keeps_lower = match &range.lower {
        Bound::Included(operand) => compare(operand).is_some_and(Ordering::is_ge),
        Bound::Excluded(operand) => compare(operand).is_some_and(Ordering::is_gt),
        Bound::Unbounded => true,
    };
    keeps_lower
        && match &range.upper {
            Bound::Included(operand) => compare(operand).is_some_and(Ordering::is_le),
            Bound::Excluded(operand) => compare(operand).is_some_and(Ordering::is_lt),
            Bound::Unbounded => true,
        }
}

/// How the string stands to the operand; absent if the two can not be compared.
fn compare_text(text: &str, operand: &Operand) -> Option<Ordering> {
    match operand {
        Operand::Number(number) => Some(Number::parse(text)?.compare(*number)),
        Operand::Time { at, text: written } => {
            Some(parse_rfc_3339(text).map_or_else(|| text.cmp(written), |time| time.cmp(at)))
        }
        Operand::Text(written) => Some(text.cmp(written)),
    }
}
