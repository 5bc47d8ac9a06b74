//! What the compiler and clippy cannot see: the shape of the tree.
//!
//! Every check is a function from a [`Tree`] to findings, so that its tests are small trees in a temporary
//! folder. `xtask/tidy.toml` lists the exceptions, each with a reason; one that is no longer needed is a
//! finding itself.

mod crates;
mod documents;
mod error_pages;
mod exceptions;
mod layers;
mod leftovers;
mod modules;
mod size;
mod tree;

#[cfg(test)]
mod fixture;

use std::fmt;
use std::path::{Path, PathBuf};

use exceptions::Exceptions;
use tree::Tree;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root of the tree.
    pub(crate) path: PathBuf,
    /// Counted from 1; 0 means the file as a whole.
    pub(crate) line: usize,
    /// The name under which `xtask/tidy.toml` can except it.
    pub(crate) check: &'static str,
    /// The function, package or code it is about, where a file has several.
    pub(crate) item: Option<String>,
    pub(crate) message: String,
}

impl Finding {
    fn of_file(check: &'static str, path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, check, item: None, message: message.into() }
    }

    fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }

    fn about(mut self, item: impl Into<String>) -> Self {
        self.item = Some(item.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {} [{}]", self.message, self.check)
    }
}

type Check = fn(&Tree) -> anyhow::Result<Vec<Finding>>;

const CHECKS: &[Check] = &[
    layers::check,
    crates::check,
    size::check,
    modules::check,
    leftovers::check,
    documents::check,
    error_pages::check,
];

/// All findings in the tree at `root` that `xtask/tidy.toml` does not except, in order of path and line.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::open(root)?;
    let mut findings = Vec::new();
    for check in CHECKS {
        findings.extend(check(&tree)?);
    }
    let mut findings = Exceptions::read(&tree)?.apply(findings);
    findings.sort();
    Ok(findings)
}
