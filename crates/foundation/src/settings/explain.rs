use serde::Serialize;

use super::layers::for_each_value;
use super::origin::Origin;
use super::shape::{Kind, Shape, show};
use super::tree::{Content, Tree, join, keys};

/// A setting with its value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    pub path: String,
    /// None for what is neither set nor has a fixed default.
    pub value: Option<String>,
    pub origin: String,
}

/// Every setting there is.
pub(super) fn explain(tree: &Tree, shape: &Shape) -> Vec<Explained> {
    let mut lines = Vec::new();
    for_each_value(shape, "", &mut |path, shape| match tree.get(&keys(path)) {
        Some(set) => explain_set(set, shape, path, &mut lines),
        None => lines.push(Explained::new(path, shape.default.clone(), &Origin::Default)),
    });
    lines
}

fn explain_set(tree: &Tree, shape: &Shape, path: &str, lines: &mut Vec<Explained>) {
    match &tree.content {
        Content::Map(entries) if matches!(shape.kind, Kind::Table(_) | Kind::Section(_)) => {
            for entry in entries {
                if let Some(child) = shape.child(&entry.key) {
                    explain_set(&entry.tree, child, &join(path, &entry.key), lines);
                }
            }
        }
        _ => {
            let value = match tree.to_value() {
                value if value.is_null() => {
                    return lines.push(Explained::new(path, shape.default.clone(), &Origin::Default));
                }
                _ if shape.holds_secret() => "***".to_owned(),
                value => show(&value),
            };
            lines.push(Explained::new(path, Some(value), &tree.origin));
        }
    }
}

impl Explained {
    fn new(path: &str, value: Option<String>, origin: &Origin) -> Self {
        Self { path: path.to_owned(), value, origin: origin.to_string() }
    }
}
