//! The reference: a query asked about one content at a time.

use weir_model::{Content, Object, Value};

use super::ast::{Expr, Leaf};
use super::number::Number;
use super::text::LowerBuffer;
use super::value::ValueMatcher;

/// An [`Expr`] with its tests compiled.
#[derive(Debug)]
pub(super) enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Leaf { path: Option<String>, matcher: Box<ValueMatcher> },
}

impl Node {
    pub(super) fn compile(expr: &Expr) -> Self {
        match expr {
            Expr::All => Self::All,
            Expr::And(parts) => Self::And(parts.iter().map(Self::compile).collect()),
            Expr::Or(branches) => Self::Or(branches.iter().map(Self::compile).collect()),
            Expr::Not(inner) => Self::Not(Box::new(Self::compile(inner))),
            Expr::Leaf(Leaf { field, test }) => Self::Leaf {
                path: field.as_ref().map(|path| path.as_str().to_owned()),
                matcher: Box::new(ValueMatcher::new(test)),
            },
        }
    }

    pub(super) fn matches(&self, content: Content<'_>, buffer: &mut LowerBuffer) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.matches(content, buffer)),
            Self::Or(branches) => branches.iter().any(|branch| branch.matches(content, buffer)),
            Self::Not(inner) => !inner.matches(content, buffer),
            Self::Leaf { path: None, matcher } => anywhere(Value::Object(content), matcher, buffer),
            Self::Leaf { path: Some(path), matcher } => under(content, path, matcher, buffer),
        }
    }
}

/// Whether a string, number or bool at any depth passes.
fn anywhere(value: Value<'_>, matcher: &ValueMatcher, buffer: &mut LowerBuffer) -> bool {
    match value {
        Value::Null => false,
        Value::Array(array) => array.elements().any(|element| anywhere(element, matcher, buffer)),
        Value::Object(object) => object.entries().any(|(_, member)| anywhere(member, matcher, buffer)),
        scalar => passes(scalar, matcher, buffer),
    }
}

/// Whether a value to which the path leads passes.
fn under(object: Object<'_>, path: &str, matcher: &ValueMatcher, buffer: &mut LowerBuffer) -> bool {
    object.entries().any(|(key, value)| match path.strip_prefix(key) {
        None => false,
        Some("") => passes(value, matcher, buffer),
        Some(rest) => rest.strip_prefix('.').is_some_and(|rest| beyond(value, rest, matcher, buffer)),
    })
}

/// Whether a value to which the rest of a path leads from here passes.
fn beyond(value: Value<'_>, path: &str, matcher: &ValueMatcher, buffer: &mut LowerBuffer) -> bool {
    match value {
        Value::Object(object) => under(object, path, matcher, buffer),
        Value::Array(array) => array.elements().any(|element| beyond(element, path, matcher, buffer)),
        _ => false,
    }
}

/// Whether the value, or of an array an element, passes.
fn passes(value: Value<'_>, matcher: &ValueMatcher, buffer: &mut LowerBuffer) -> bool {
    match value {
        Value::Null => matcher.matches_null(),
        Value::Bool(value) => matcher.matches_bool(value),
        Value::Int(value) => matcher.matches_number(Number::from_int(value)),
        Value::Float(value) => matcher.matches_float(value),
        Value::Number(text) => matcher.matches_number_text(text),
        Value::Str(text) => matcher.matches_text(text, buffer),
        Value::Object(_) => matcher.matches_container(),
        Value::Array(array) => {
            matcher.matches_container() || array.elements().any(|element| passes(element, matcher, buffer))
        }
    }
}
