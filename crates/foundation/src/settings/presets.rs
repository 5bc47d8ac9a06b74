//! Defaults that other settings bring with them: the weakest layer.

use super::origin::Origin;
use super::shape::Shape;
use super::tree::{Content, Tree, keys};

/// The defaults that go with one value of a setting.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Such as `compat`.
    pub path: &'static str,
    /// As it is written in the file.
    pub value: &'static str,
    /// Paths, and values in the form that they would have in the file.
    pub defaults: &'static [(&'static str, &'static str)],
}

/// A default that something outside of the settings brings with it. It must be one of their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implied {
    pub path: &'static str,
    /// In the form that it would have in the file.
    pub value: &'static str,
    /// What implies it, for messages, such as `BARITO_*`.
    pub by: &'static str,
}

/// Sets what nothing else has set. Whether anything was.
pub(super) fn fill(tree: &mut Tree, shape: &Shape, implied: &[Implied], presets: &[Preset]) -> bool {
    let mut filled = false;
    for Implied { path, value, by } in implied {
        filled |= fill_one(tree, shape, path, value, by);
    }
    for Preset { path, value, defaults } in presets {
        let found = tree.get(&keys(path)).map(Tree::to_value);
        if found.is_some_and(|found| found.as_str() == Some(*value)) {
            let by = format!("{path}: {value}");
            for (path, value) in *defaults {
                filled |= fill_one(tree, shape, path, value, &by);
            }
        }
    }
    filled
}

fn fill_one(tree: &mut Tree, shape: &Shape, path: &str, value: &str, by: &str) -> bool {
    let keys = keys(path);
    debug_assert!(shape.get(&keys).is_some(), "`{path}` is a setting");
    let is_set = tree.get(&keys).is_some_and(|set| !set.to_value().is_null());
    if !is_set {
        let origin = Origin::Implied { by: by.to_owned() };
        tree.set(&keys, Tree { origin, content: Content::Untyped(value.to_owned()) });
    }
    !is_set
}
