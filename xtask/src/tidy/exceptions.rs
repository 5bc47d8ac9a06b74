//! `xtask/tidy.toml`: what may stay as it is, and why.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::{Finding, Tree};

const FILE: &str = "xtask/tidy.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exceptions {
    #[serde(default)]
    allow: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    check: String,
    path: PathBuf,
    item: Option<String>,
    reason: String,
}

impl Exceptions {
    /// Reads the list; a tree without one has no exceptions.
    pub(crate) fn read(tree: &Tree) -> anyhow::Result<Self> {
        if !tree.contains(Path::new(FILE)) {
            return Ok(Self { allow: Vec::new() });
        }
        toml::from_str(&tree.read(Path::new(FILE))?).with_context(|| format!("parsing `{FILE}`"))
    }

    /// What remains of `findings`, and a finding for every entry without reason or without use.
    pub(crate) fn apply(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let mut used = vec![false; self.allow.len()];
        let mut rest = Vec::new();
        for finding in findings {
            match self.allow.iter().position(|exception| exception.covers(&finding)) {
                Some(index) => used[index] = true,
                None => rest.push(finding),
            }
        }
        for (exception, used) in self.allow.iter().zip(used) {
            if !used {
                rest.push(exception.complaint("excepts nothing any more: remove it"));
            }
            if exception.reason.trim().is_empty() {
                rest.push(exception.complaint("has no reason"));
            }
        }
        rest
    }
}

impl Exception {
    fn covers(&self, finding: &Finding) -> bool {
        self.check == finding.check && self.path == finding.path && self.item == finding.item
    }

    fn complaint(&self, what: &str) -> Finding {
        let item = self.item.as_deref().map(|item| format!(" `{item}`")).unwrap_or_default();
        let message = format!("the entry `{}` for `{}`{item} {what}", self.check, self.path.display());
        Finding::of_file("exceptions", FILE, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::Fixture;

    fn finding() -> Finding {
        Finding::of_file("function-lines", "src/a.rs", "too long").about("long")
    }

    fn apply(list: &str, findings: Vec<Finding>) -> Vec<String> {
        let fixture = Fixture::new(&[(FILE, list)]);
        let exceptions = Exceptions::read(&fixture.tree()).unwrap();
        exceptions.apply(findings).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_entry_covers_its_check_path_and_item_only() {
        let entry =
            "[[allow]]\ncheck = 'function-lines'\npath = 'src/a.rs'\nitem = 'long'\nreason = 'a table'";
        assert!(apply(entry, vec![finding()]).is_empty());
        let other = finding().about("other");
        assert_eq!(apply(entry, vec![finding(), other.clone()]), [other.to_string()]);
    }

    #[test]
    fn an_entry_without_use_or_reason_is_a_finding() {
        let entry = "[[allow]]\ncheck = 'file-lines'\npath = 'src/a.rs'\nreason = ' '";
        let messages = apply(entry, Vec::new());
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].contains("excepts nothing"), "{messages:?}");
        assert!(messages[1].contains("no reason"), "{messages:?}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let fixture = Fixture::new(&[(FILE, "[[allow]]\ncheck = 'x'\npath = 'y'\nreson = 'z'")]);
        assert!(Exceptions::read(&fixture.tree()).is_err());
    }
}
