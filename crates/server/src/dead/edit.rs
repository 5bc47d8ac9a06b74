//! What is changed of events before the door gets them again.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use weir_model::MAX_DEPTH;
use weir_store::DeadLetter;

use super::event::{self, WriteError};
use crate::failure::Failure;

/// A change of events, the same for all letters of a replay.
#[derive(Debug, Clone, Default)]
pub(super) struct Edit {
    /// Stands in the place of the event.
    content: Option<Box<RawValue>>,
    /// Values by their paths, set after that.
    set: BTreeMap<String, Box<RawValue>>,
}

/// Why an event can not be changed so.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    #[error("it stands for a whole record, of which single events can not be changed")]
    WholeRecord,
    #[error("its bytes can not be read as an event: give a `content` to stand in its place")]
    Unreadable,
    #[error("`{0}` is no object, so that nothing can be set in it")]
    NoObject(String),
    #[error("what it would be can not be stored: {0}")]
    Unfit(WriteError),
}

impl Edit {
    pub(super) fn new(
        content: Option<Box<RawValue>>,
        set: BTreeMap<String, Box<RawValue>>,
    ) -> Result<Self, Failure> {
        let illegal =
            |path: &&String| path.split('.').count() > MAX_DEPTH || path.split('.').any(str::is_empty);
        match set.keys().find(illegal) {
            Some(path) => Err(Failure::bad_parameter(format!("`set`: `{path}` is no path of keys"))),
            None => Ok(Self { content, set }),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.content.is_none() && self.set.is_empty()
    }

    /// Whether it is of one event, so that it would make others the same.
    pub(super) fn is_of_one(&self) -> bool {
        self.content.is_some()
    }

    /// The letter as it would be if its event had been so.
    pub(super) fn apply(&self, letter: DeadLetter) -> Result<DeadLetter, EditError> {
        if self.is_nothing() {
            return Ok(letter);
        }
        let said = event::read(&letter).ok_or(EditError::WholeRecord)?;
        let before = match &self.content {
            Some(content) => Some(content.clone()),
            None => said.content.and_then(|content| RawValue::from_string(content).ok()),
        };
        let mut content = before.ok_or(EditError::Unreadable)?;
        for (path, value) in &self.set {
            let path: Vec<&str> = path.split('.').collect();
            content = set(&content, &path, value).map_err(|at| EditError::NoObject(at.join(".")))?;
        }
        let original = event::write(letter.format, said.time, content.get()).map_err(EditError::Unfit)?;
        Ok(DeadLetter { original, ..letter })
    }
}

/// The object with the value at the path, which has one key at least. Whether a dot in it is one between keys or of a
/// key makes no difference, as in queries. The error is where there is no object.
fn set<'a>(object: &RawValue, path: &[&'a str], value: &RawValue) -> Result<Box<RawValue>, Vec<&'a str>> {
    let members: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_str(object.get());
    let mut members = members.map_err(|_no_object| Vec::new())?;
    let splits = (1..=path.len()).rev().map(|keys| path.split_at(keys));
    let known = splits.map(|(key, rest)| (key.join("."), key, rest));
    let found = known.into_iter().find(|(name, ..)| members.contains_key(name));
    let (name, key, rest) = found.unwrap_or_else(|| {
        let (key, rest) = path.split_at(1);
        (key.join("."), key, rest)
    });
    let value = match rest {
        [] => value.to_owned(),
        rest => {
            let inner = members.remove(&name).unwrap_or_else(empty);
            set(&inner, rest, value).map_err(|at| [key, &at].concat())?
        }
    };
    members.insert(name, value);
    Ok(to_raw_value(&members).expect("texts and JSON have a JSON form"))
}

fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("is JSON")
    }

    #[test]
    fn a_value_is_set_where_the_path_leads() {
        let check = |object: &str, path: &str, value: &str, expected: &str| {
            let path: Vec<&str> = path.split('.').collect();
            let found = set(&raw(object), &path, &raw(value));
            let found = found
                .as_ref()
                .map_or_else(|at| format!("no object: {}", at.join(".")), |set| set.get().to_owned());
            assert_eq!(found, expected, "{object} {path:?}");
        };
        check(r#"{"a":1,"b":2}"#, "a", "3", r#"{"a":3,"b":2}"#);
        check(r#"{"a":1}"#, "b", r#""x""#, r#"{"a":1,"b":"x"}"#);
        check(
            r#"{"a":{"b":1,"c":9007199254740993.5}}"#,
            "a.b",
            "null",
            r#"{"a":{"b":null,"c":9007199254740993.5}}"#,
        );
        check(r#"{"a.b":1}"#, "a.b", "2", r#"{"a.b":2}"#);
        check(r#"{"a.b":{"c":1},"a":{"x":1}}"#, "a.b.c", "2", r#"{"a":{"x":1},"a.b":{"c":2}}"#);
        check("{}", "a.b.c", "true", r#"{"a":{"b":{"c":true}}}"#);
        check(r#"{"a":{"b":1}}"#, "a.b.c", "2", "no object: a.b");
        check(r#"{"a":[{"b":1}]}"#, "a.b", "2", "no object: a");
        check("[]", "a", "1", "no object: ");
    }
}
