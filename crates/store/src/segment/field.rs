//! How the leaf fields of contents are named as columns.
//!
//! A column is a path and a kind, its name `<path>:<letter>`: `http.status:i` holds the integers under
//! `{"http":{"status":…}}`. Dots and backslashes inside a key are escaped by a backslash, so that
//! `{"a.b":1}` is `a\.b:i` and stays apart from nesting. Columns whose names have no colon are weir's own.

use std::sync::Arc;

/// What a column holds. A field whose values are of several kinds has several columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Text,
    Int,
    Float,
    Bool,
    /// True where the value is JSON `null`.
    Null,
    /// JSON text of what has no column of its own: arrays, empty objects, numbers beyond `i64` and `f64`.
    Json,
}

/// A column's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Field {
    /// Keys from the root, escaped, joined by dots.
    pub(super) path: Arc<str>,
    pub(super) kind: Kind,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Text, Self::Int, Self::Float, Self::Bool, Self::Null, Self::Json];

    /// Bytes that a row takes in memory, whether it has a value or not; what texts say comes on top.
    pub(super) const fn slot(self) -> usize {
        match self {
            Self::Text | Self::Json => 4,
            Self::Int | Self::Float => 8,
            Self::Bool | Self::Null => 1,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Text => 's',
            Self::Int => 'i',
            Self::Float => 'f',
            Self::Bool => 'b',
            Self::Null => 'n',
            Self::Json => 'j',
        }
    }
}

impl Field {
    pub(super) fn column(&self) -> String {
        format!("{}:{}", self.path, self.kind.letter())
    }

    /// Reads a column's name; absent for weir's own columns.
    pub(super) fn of_column(name: &str) -> Option<Self> {
        let (path, letter) = name.rsplit_once(':')?;
        let kind = Kind::ALL.into_iter().find(|kind| letter.chars().eq([kind.letter()]))?;
        Some(Self { path: path.into(), kind })
    }

    pub(super) fn keys(&self) -> Vec<String> {
        split_path(&self.path)
    }
}

/// Appends `key` to a path.
pub(super) fn join(parent: &str, key: &str, is_root: Root) -> String {
    let mut path = String::with_capacity(parent.len() + key.len() + 1);
    if is_root == Root::No {
        path.push_str(parent);
        path.push('.');
    }
    for c in key.chars() {
        if matches!(c, '.' | '\\') {
            path.push('\\');
        }
        path.push(c);
    }
    path
}

/// Whether a parent path is the content itself, which has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Yes,
    No,
}

/// The keys of a path, unescaped.
pub(super) fn split_path(path: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut key = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.extend(chars.next()),
            '.' => keys.push(std::mem::take(&mut key)),
            _ => key.push(c),
        }
    }
    keys.push(key);
    keys
}

/// The path as a query writes it: escapes taken away, so that a dotted key and nesting look the same.
pub(super) fn plain_path(path: &str) -> String {
    split_path(path).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_into_the_keys_it_was_made_of() {
        let check = |keys: &[&str], path: &str| {
            let joined = keys.iter().enumerate().fold(String::new(), |parent, (index, key)| {
                join(&parent, key, if index == 0 { Root::Yes } else { Root::No })
            });
            assert_eq!(joined, path);
            assert_eq!(split_path(path), keys);
        };
        check(&["a"], "a");
        check(&["a", "b"], "a.b");
        check(&["a.b"], r"a\.b");
        check(&["a", ""], "a.");
        check(&[""], "");
        check(&["", ""], ".");
        check(&[r"a\", "."], r"a\\.\.");
        assert_eq!(plain_path(r"a\.b.c"), "a.b.c");
    }

    #[test]
    fn a_column_name_tells_path_and_kind() {
        for kind in Kind::ALL {
            let field = Field { path: "a:b.c".into(), kind };
            assert_eq!(Field::of_column(&field.column()), Some(field));
        }
        assert_eq!(Field::of_column("_time"), None);
        assert_eq!(Field::of_column("a:x"), None);
    }
}
