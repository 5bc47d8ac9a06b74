//! What the commands about the fleet have in common.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use weir_fleet::{Labels, Selector};
use weir_foundation::settings::{DurationText, TextError};
use weir_server::api::{SecretText, Time};

use crate::output::{Zone, local_text};

/// How long something is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ttl {
    For(DurationText),
    Never,
}

/// More than any secret has.
const LONGEST_SECRET: u64 = 4 << 10;

/// What to do about a refusal.
pub(crate) fn hint(code: &str) -> Option<&'static str> {
    let hint = match code {
        "agent-away" => "on its node, `weir agent check` says what it lacks",
        "app-in-use" => {
            "`weir app set NAME --disable` stops it at once; it can be removed when its agents and access keys are revoked"
        }
        "app-secrets-full" => "`weir app secret end NAME` leaves the newest one alone",
        "last-operator" => "make another one with `weir operator create` before",
        "rotation-not-ready" => "`weir pki status` says who is missing; `--force` cuts them off",
        "rotation-step" => "`weir pki status` says which step is next",
        "unknown-agent" => "`weir agent list` lists all agents",
        "unknown-app" => "`weir app list` lists all apps; `weir app create` makes one",
        "unknown-configuration" => "`weir config history --labels LABELS` lists those that are kept",
        "unknown-key" => "`weir agent key list` lists all access keys by their ids",
        "unknown-operator" => "`weir operator list` lists all operators",
        _ => return None,
    };
    Some(hint)
}

impl Ttl {
    pub(super) fn text(self) -> Option<DurationText> {
        match self {
            Self::For(text) => Some(text),
            Self::Never => None,
        }
    }
}

impl FromStr for Ttl {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::For) }
    }
}

/// Labels as the API has them.
pub(super) fn selected(selector: &Selector) -> BTreeMap<String, String> {
    selector.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Labels as the API has them.
pub(super) fn labelled(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Labels as people write them.
pub(super) fn labels_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The same of those that choose agents, where none choose all.
pub(super) fn selector_text(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() { "*".to_owned() } else { labels_text(labels) }
}

/// A time, or what its absence means.
pub(super) fn time_or(time: Option<Time>, absent: &str, zone: &Zone) -> String {
    time.map_or_else(|| absent.to_owned(), |time| local_text(time.0, zone))
}

/// A number, or what its absence means.
pub(super) fn number_or(number: Option<impl ToString>, absent: &str) -> String {
    number.map_or_else(|| absent.to_owned(), |number| number.to_string())
}

/// The secret in a file; `-` is standard input.
pub(super) fn read_secret(file: &Path) -> Result<SecretText> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(LONGEST_SECRET).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text))
    };
    read.with_context(|| format!("read the secret from `{}`", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_a_unit_or_no_end() {
        let check = |text: &str, expected: Result<Option<u64>, &str>| {
            let found = text.parse::<Ttl>().map(|ttl| ttl.text().map(|text| text.duration().as_secs()));
            assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{text}");
        };
        check("24h", Ok(Some(86_400)));
        check("30d", Ok(Some(2_592_000)));
        check("never", Ok(None));
        check("24", Err("`24` has no unit"));
        check("", Err("`` is not a whole number followed by a unit"));
        check("1y", Err("`y` is not a unit"));
        check("-1h", Err("`-1h` is not a whole number followed by a unit"));
    }

    #[test]
    fn labels_are_written_as_they_are_read() {
        let check = |text: &str| {
            let selector: Selector = text.parse().expect("is one");
            assert_eq!(selector_text(&selected(&selector)), text);
        };
        check("*");
        check("role=web");
        check("app=shop,role=web");
        let labels: Labels = "zone=eu,role=web".parse().expect("are some");
        assert_eq!(labels_text(&labelled(&labels)), "role=web,zone=eu");
    }

    #[test]
    fn a_secret_is_the_line_of_a_file() {
        let directory = tempfile::tempdir().expect("there is space");
        let file = directory.path().join("secret");
        std::fs::write(&file, " a secret with spaces \r\n").expect("there is space");
        assert_eq!(read_secret(&file).expect("it is there").reveal(), " a secret with spaces ");
        let gone = directory.path().join("gone");
        let error = format!("{:#}", read_secret(&gone).expect_err("it is not there"));
        assert!(
            error.starts_with(&format!("read the secret from `{}`: No such file", gone.display())),
            "{error}"
        );
    }

    #[test]
    fn every_hint_is_of_a_code() {
        let codes = weir_fleet::CODES.iter().chain(weir_server::CODES).map(|(code, _)| *code);
        let hinted = codes.filter(|code| hint(code).is_some()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(hinted.len(), 11);
    }
}
