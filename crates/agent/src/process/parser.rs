//! Texts that have fields in them.

use weir_model::Timestamp;
use weir_wire::members;

use super::expression::Expression;
use super::logfmt;
use super::record::Record;
use super::time::{self, TimeField};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parser {
    pub(crate) kind: Kind,
    pub(crate) time: TimeOf,
    pub(crate) original: Original,
}

/// Where the time of an event is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TimeOf {
    /// Where it is as a rule, if it is there.
    Usual,
    Field(TimeField),
}

/// An event does not have the time that it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoTime;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Json,
    Logfmt,
    /// With the names of its groups.
    Expression(Expression),
}

/// What becomes of a text whose fields are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Original {
    Left,
    /// It stays as the field `original`.
    Kept,
}

impl Parser {
    /// Adds the fields of a text; whether it has any. If not, nothing is added.
    pub(crate) fn read<'t>(&'t self, text: &'t str, record: &mut Record<'t>) -> bool {
        let before = record.fields.len();
        if self.kind.read(text, record).is_none() || record.fields.len() == before {
            record.fields.truncate(before);
            return false;
        }
        if self.original == Original::Kept {
            record.text("original", text);
        }
        true
    }
}

impl TimeOf {
    pub(crate) fn of(&self, record: &Record<'_>, now: Timestamp) -> Result<Option<Timestamp>, NoTime> {
        match self {
            Self::Usual => Ok(time::usual(record, now)),
            Self::Field(field) => field.of(record, now).map(Some).ok_or(NoTime),
        }
    }
}

impl Kind {
    fn read<'t>(&'t self, text: &'t str, record: &mut Record<'t>) -> Option<()> {
        match self {
            Self::Json => members(text, |key, value| record.json(key, value)).ok(),
            Self::Logfmt => logfmt::read(text, |key, value| record.text(key, value)),
            Self::Expression(expression) => {
                let regex = expression.regex();
                let captures = regex.captures(text)?;
                // What it does not match would be lost.
                captures.get(0).filter(|whole| whole.len() == text.len())?;
                for name in regex.capture_names().flatten() {
                    if let Some(found) = captures.name(name) {
                        record.text(name, found.as_str());
                    }
                }
                Some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, text: &str, expected: Option<&str>) {
        let parser = Parser { kind, time: TimeOf::Usual, original: Original::Left };
        let mut record = Record::default();
        record.text("before", "");
        let fits = parser.read(text, &mut record);
        let mut json = Vec::new();
        record.write(&mut json).expect("memory takes it");
        let found = String::from_utf8(json).expect("it is text");
        let expected_json = format!("{{\"before\":\"\"{}}}", expected.unwrap_or_default());
        assert_eq!((fits, found), (expected.is_some(), expected_json), "{text}");
    }

    #[test]
    fn texts_fit_or_add_nothing() {
        check(Kind::Json, r#"{"a":1,"b":"x","c":[1.0,{}]}"#, Some(r#","a":1,"b":"x","c":[1.0,{}]"#));
        for text in ["{}", "[1]", "text", "{\"a\":1", "{\"a\":1} {\"b\":2}", ""] {
            check(Kind::Json, text, None);
        }
        check(Kind::Logfmt, "a=1 b=\"x y\"", Some(r#","a":"1","b":"x y""#));
        check(Kind::Logfmt, "a=1 text", None);
        let kind = |pattern| Kind::Expression(Expression::compile(pattern).expect("it is one"));
        let pattern = r"^(?P<ip>\S+) (?P<user>-|\S+)(?: (?P<rest>.*))?$";
        check(kind(pattern), "::1 me", Some(r#","ip":"::1","user":"me""#));
        check(kind(pattern), "::1 me and more", Some(r#","ip":"::1","user":"me","rest":"and more""#));
        check(kind(pattern), "alone", None);
        check(kind(r"(?P<a>\d+)"), "12", Some(r#","a":"12""#));
        check(kind(r"(?P<a>\d+)"), "12 more", None);
        check(kind(r"(?:(?P<a>\d+))?.*"), "text", None);
    }

    #[test]
    fn the_original_stays_where_it_is_wanted() {
        let parser = Parser { kind: Kind::Logfmt, time: TimeOf::Usual, original: Original::Kept };
        let mut record = Record::default();
        assert!(parser.read("a=1", &mut record));
        assert_eq!(record.get("original").map(|value| value.as_text()), Some("a=1".into()));
    }
}
