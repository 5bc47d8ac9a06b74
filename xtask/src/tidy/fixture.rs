//! Small trees for the tests of the checks.

use std::fs;

use tempfile::TempDir;

use super::{Check, Tree};

#[derive(Debug)]
pub(crate) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A tree of `(path, text)` in a temporary folder that goes away with the value.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::open(self.folder.path()).unwrap()
    }
}

/// Asserts that `check` finds exactly `expected` in the tree, in any order, as displayed.
#[track_caller]
pub(crate) fn assert_findings(check: Check, files: &[(&str, &str)], expected: &[&str]) {
    let fixture = Fixture::new(files);
    let mut found: Vec<String> = check(&fixture.tree()).unwrap().iter().map(ToString::to_string).collect();
    found.sort();
    let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(found, expected);
}
