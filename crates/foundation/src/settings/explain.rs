use std::fmt;

use serde::Serialize;

use super::layers::for_each_value;
use super::origin::Origin;
use super::shape::{Kind, Shape, show};
use super::tree::{Content, Tree, join, keys};

/// Every setting with its value and where it came from. `Display` prints a table; serializes as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation(Vec<Line>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    path: String,
    /// None for what is neither set nor has a fixed default.
    value: Option<String>,
    origin: String,
}

impl Explanation {
    pub(super) fn new(tree: &Tree, shape: &Shape) -> Self {
        let mut lines = Vec::new();
        for_each_value(shape, "", &mut |path, shape| match tree.get(&keys(path)) {
            Some(set) => explain_set(set, shape, path, &mut lines),
            None => lines.push(Line::new(path, shape.default.clone(), &Origin::Default)),
        });
        Self(lines)
    }
}

fn explain_set(tree: &Tree, shape: &Shape, path: &str, lines: &mut Vec<Line>) {
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
                    return lines.push(Line::new(path, shape.default.clone(), &Origin::Default));
                }
                _ if shape.holds_secret() => "***".to_owned(),
                value => show(&value),
            };
            lines.push(Line::new(path, Some(value), &tree.origin));
        }
    }
}

impl Line {
    fn new(path: &str, value: Option<String>, origin: &Origin) -> Self {
        Self { path: path.to_owned(), value, origin: origin.to_string() }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |line: &Line| line.value.clone().unwrap_or_else(|| "-".to_owned());
        let paths = self.0.iter().map(|line| line.path.chars().count()).max().unwrap_or(0);
        let values = self.0.iter().map(|line| value(line).chars().count()).max().unwrap_or(0);
        for line in &self.0 {
            writeln!(f, "{:paths$}  {:values$}  {}", line.path, value(line), line.origin)?;
        }
        Ok(())
    }
}
