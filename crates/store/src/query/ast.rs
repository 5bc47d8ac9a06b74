use std::ops::Bound;

use weir_model::Timestamp;

use super::number::Number;
use super::text::{is_word, lower};
use super::time::parse_rfc_3339;

/// What a query asks of a content.
///
/// [`Expr::and`], [`Expr::or`] and [`Expr::negated`] keep it canonical, which is how the parser makes it: no
/// `And` directly in an `And`, no `Or` directly in an `Or`, no `Not` of a `Not`, lists of two or more, and
/// `All` only as the whole or directly below a `Not`.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// True of everything.
    All,
    /// True if all are; so of an empty list.
    And(Vec<Expr>),
    /// True if one is; so never of an empty list.
    Or(Vec<Expr>),
    /// True if the inner one is not, of the content as a whole.
    Not(Box<Expr>),
    /// True if a value in reach passes the test.
    Leaf(Leaf),
}

/// A test of values.
///
/// With a field, in reach are the values under its path. Without, every string, number and bool at any depth
/// is, but no `null`, no key, no array or object as such. The elements of an array, at any depth of arrays,
/// stand for the array.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Where to look.
    pub field: Option<FieldPath>,
    /// What to look for.
    pub test: Test,
}

/// Keys joined by dots, case-sensitive.
///
/// A path leads to a value if the keys on the way to it, joined by dots, are the path; whether a dot comes
/// from nesting or stands in a key makes no difference. Arrays on the way add nothing to the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath(String);

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Anything: also `null`, an object or an empty array.
    Exists,
    /// A string with this text in it, or the number, bool or `null` that [`Pattern::scalar`] names.
    Term(Pattern),
    /// This very string, or the number, bool or `null` that [`Scalar::of`] names.
    Exact(String),
    /// Within these bounds.
    Range(Range),
}

/// Bounds that one value must keep both of. Which values can be compared with a bound is up to its
/// [`Operand`]; a value that can not be compared is outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// From here.
    pub lower: Bound<Operand>,
    /// To here.
    pub upper: Bound<Operand>,
}

/// What values are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Compared with numbers, and with strings that are the text of a JSON number.
    Number(Number),
    /// Compared with strings: with those that are RFC 3339 as times, with others as texts.
    Time {
        /// The point in time.
        at: Timestamp,
        /// As it was written.
        text: String,
    },
    /// Compared with strings, by code points.
    Text(String),
}

/// A text to find in strings, already in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A single word, found among the words of the string.
    Word(String),
    /// A text with separators in it or around it, found literally where no word is cut at its ends. Never
    /// empty, never a single word.
    Phrase(String),
    /// A text with gaps.
    Wildcard(Wildcard),
}

/// Texts with gaps between them, found where no word is cut at its ends, unless an end is a
/// [`WildcardPart::AnyRun`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    parts: Vec<WildcardPart>,
}

/// A part of a [`Wildcard`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WildcardPart {
    /// This text, in lower case and not empty.
    Text(String),
    /// `?`: exactly one character.
    AnyCharacter,
    /// `*`: any number of characters, separators too.
    AnyRun,
}

/// A value that is not a string, as a term names it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// Any number equal to this one.
    Number(Number),
    /// `true` or `false`.
    Bool(bool),
    /// `null`; only a leaf with a field finds it.
    Null,
}

impl Expr {
    /// True if all of the list are.
    #[must_use]
    pub fn and(list: Vec<Self>) -> Self {
        let mut parts = Vec::with_capacity(list.len());
        for part in list {
            match part {
                Self::All => {}
                Self::And(inner) => parts.extend(inner),
                other => parts.push(other),
            }
        }
        match parts.len() {
            0 => Self::All,
            1 => parts.swap_remove(0),
            _ => Self::And(parts),
        }
    }

    /// True if one of the list is.
    #[must_use]
    pub fn or(list: Vec<Self>) -> Self {
        let mut branches = Vec::with_capacity(list.len());
        for branch in list {
            match branch {
                Self::All => return Self::All,
                Self::Or(inner) => branches.extend(inner),
                other => branches.push(other),
            }
        }
        match branches.len() {
            0 => Self::All.negated(),
            1 => branches.swap_remove(0),
            _ => Self::Or(branches),
        }
    }

    /// True if `self` is not.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}

impl FieldPath {
    /// Any text is a path.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Operand {
    /// A number if the text is that of a finite JSON number, a time if it is RFC 3339 or a date (its first
    /// instant in UTC), else a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if let Some(number) = Number::parse(text).filter(|number| number.is_finite()) {
            return Self::Number(number);
        }
        let is_date = text.len() == "2026-11-21".len();
        let time = if is_date { parse_rfc_3339(&format!("{text}T00:00:00Z")) } else { parse_rfc_3339(text) };
        match time {
            Some(at) => Self::Time { at, text: text.to_owned() },
            None => Self::Text(text.to_owned()),
        }
    }
}

impl Pattern {
    /// The word or phrase of a text that is not empty, in any case.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let lowered = lower(text);
        if lowered.chars().all(is_word) { Self::Word(lowered) } else { Self::Phrase(lowered) }
    }

    /// What is found beside strings.
    #[must_use]
    pub fn scalar(&self) -> Option<Scalar> {
        match self {
            Self::Word(text) | Self::Phrase(text) => Scalar::of(text),
            Self::Wildcard(_) => None,
        }
    }
}

impl Wildcard {
    /// Puts texts that touch together, and of several [`WildcardPart::AnyRun`] that touch keeps one.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = WildcardPart>) -> Self {
        let mut kept: Vec<WildcardPart> = Vec::new();
        for part in parts {
            match (kept.last_mut(), part) {
                (Some(WildcardPart::Text(before)), WildcardPart::Text(text)) => {
                    before.push_str(&lower(&text))
                }
                (_, WildcardPart::Text(text)) if text.is_empty() => {}
                (_, WildcardPart::Text(text)) => kept.push(WildcardPart::Text(lower(&text))),
                (Some(WildcardPart::AnyRun), WildcardPart::AnyRun) => {}
                (_, gap) => kept.push(gap),
            }
        }
        Self { parts: kept }
    }

    /// The parts, from left to right.
    #[must_use]
    pub fn parts(&self) -> &[WildcardPart] {
        &self.parts
    }
}

impl Scalar {
    /// `true`, `false`, `null`, or a finite JSON number.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "true" => Some(Self::Bool(true)),
            "false" => Some(Self::Bool(false)),
            "null" => Some(Self::Null),
            _ => Number::parse(text).filter(|number| number.is_finite()).map(Self::Number),
        }
    }
}
