//! Settings of a spool: as written by people, and validated.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_model::{ByteSize, StreamName};

/// How much is kept on this node of what can not be read again.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSection {
    /// How much of the disk it takes, and an eighth more for a moment; at least `8MiB`. Default: `256MiB`.
    pub max_size: Option<SizeText>,
    /// Events that wait for longer are dropped, and counted. Default: none, they wait for as long as it takes.
    pub max_age: Option<DurationText>,
    /// What happens once there is no room: `block` takes nothing more until the server has taken something, `drop_oldest`
    /// drops what is oldest, and counts it. Default: `block`.
    pub when_full: Option<WhenFull>,
}

/// What a spool does that has no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Whoever has something to keep waits.
    #[default]
    Block,
    /// What is oldest goes, an eighth of everything at a time, but for what is under way to the server.
    DropOldest,
}

/// The validated [`SpoolSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Of the input, and of the folder: the same for as long as what is kept shall be found.
    pub name: String,
    pub max_size: ByteSize,
    pub max_age: Option<Duration>,
    pub when_full: WhenFull,
}

const MAX_SIZE: ByteSize = ByteSize::mib(256);
/// The journal's files have a mebibyte at least, and its log of writes takes half of it.
const LEAST_SIZE: ByteSize = ByteSize::mib(8);

impl SpoolSettings {
    /// Of the input with this name.
    pub fn validate(raw: &SpoolSection, name: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if let Err(illegal) = StreamName::new(name) {
            problems.push(Problem::at("", format!("`{name}` can not be the name of a folder: {illegal}")));
        }
        let max_size = raw.max_size.map_or(MAX_SIZE, |size| ByteSize(size.bytes()));
        if max_size < LEAST_SIZE {
            problems.push(Problem::at("max_size", "must be at least `8MiB`"));
        }
        let max_age = raw.max_age.map(DurationText::duration);
        if max_age.is_some_and(|age| age.is_zero()) {
            problems.push(Problem::at("max_age", "must be longer than zero"));
        }
        problems.or(Self {
            name: name.to_owned(),
            max_size,
            max_age,
            when_full: raw.when_full.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, name: &str, expected: Result<(u64, Option<u64>, WhenFull), &[&str]>) {
        let raw: SpoolSection = serde_json::from_str(json).expect("the test writes JSON");
        let found = SpoolSettings::validate(&raw, name)
            .map(|found| (found.max_size.0, found.max_age.map(|age| age.as_secs()), found.when_full))
            .map_err(|problems| problems.iter().map(|problem| problem.path.clone()).collect::<Vec<_>>());
        let expected = expected.map_err(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn values_are_refused_and_never_adjusted() {
        check("{}", "syslog", Ok((256 << 20, None, WhenFull::Block)));
        check(
            r#"{"max_size": "8MiB", "max_age": "1h", "when_full": "drop_oldest"}"#,
            "a.b-c_1",
            Ok((8 << 20, Some(3600), WhenFull::DropOldest)),
        );
        check(r#"{"max_size": "8388607B", "max_age": "0s"}"#, "x", Err(&["max_size", "max_age"]));
        for name in ["", ".", "..", "a/b", "ä", "a b"] {
            check("{}", name, Err(&[""]));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for json in [r#"{"when_full": "drop"}"#, r#"{"size": "1GiB"}"#, r#"{"max_size": 5}"#] {
            assert!(serde_json::from_str::<SpoolSection>(json).is_err(), "{json}");
        }
    }
}
