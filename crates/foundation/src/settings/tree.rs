use serde_json::{Map, Value};

use super::origin::Origin;

/// Settings before they have a type, each value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// Null, boolean, number or text.
    Scalar(Value),
    /// Text whose type only the shape tells: from the environment, a flag or an interpolation.
    Untyped(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands, which may be lines before its value.
    pub(super) origin: Origin,
    pub(super) tree: Tree,
}

impl Tree {
    pub(super) fn empty() -> Self {
        Self { origin: Origin::Default, content: Content::Map(Vec::new()) }
    }

    pub(super) fn get(&self, path: &[&str]) -> Option<&Self> {
        let Some((key, rest)) = path.split_first() else {
            return Some(self);
        };
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == *key)?.tree.get(rest),
            Content::List(items) => items.get(index(key)?)?.get(rest),
            Content::Scalar(_) | Content::Untyped(_) => None,
        }
    }

    /// Puts `value` at `path`, in place of what is there.
    pub(super) fn set(&mut self, path: &[&str], value: Self) {
        let Some((key, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.content, Content::Map(_)) {
            self.content = Content::Map(Vec::new());
        }
        let Content::Map(entries) = &mut self.content else {
            return;
        };
        let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
            let tree = Self { origin: value.origin.clone(), content: Content::Map(Vec::new()) };
            entries.push(Entry { key: (*key).to_owned(), origin: value.origin.clone(), tree });
            entries.len() - 1
        });
        entries[at].tree.set(rest, value);
    }

    /// Takes out what is at `path`. What is in a list leaves an empty section, so that the others stay where they are.
    pub(super) fn remove(&mut self, path: &[&str]) {
        let Some((key, rest)) = path.split_first() else { return };
        match &mut self.content {
            Content::Map(entries) if rest.is_empty() => entries.retain(|entry| entry.key != *key),
            Content::Map(entries) => {
                if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
                    entry.tree.remove(rest);
                }
            }
            Content::List(items) => match index(key).and_then(|index| items.get_mut(index)) {
                Some(item) if rest.is_empty() => item.content = Content::Map(Vec::new()),
                Some(item) => item.remove(rest),
                None => {}
            },
            Content::Scalar(_) | Content::Untyped(_) => {}
        }
    }

    /// The origin of the value at `path`, or of the nearest thing around it that is there.
    pub(super) fn nearest_origin(&self, path: &[&str]) -> Option<Origin> {
        let found = (0..=path.len()).rev().find_map(|length| self.get(&path[..length]));
        found.map(|tree| tree.origin.clone()).filter(|origin| *origin != Origin::Default)
    }

    /// The value without origins. Keys without a value (`key:`) are left out: they count as not set.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Untyped(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(entries) => {
                let set = entries.iter().map(|entry| (entry.key.clone(), entry.tree.to_value()));
                Value::Object(set.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
            }
        }
    }
}

/// Of a key in a list, `2]` or `[2]`.
fn index(key: &str) -> Option<usize> {
    key.trim_start_matches('[').strip_suffix(']')?.parse().ok()
}

/// `a.b[2]` as its keys `a`, `b`, `2]`; the empty path has none.
pub(super) fn keys(path: &str) -> Vec<&str> {
    path.split(['.', '[']).filter(|key| !key.is_empty()).collect()
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flag(text: &str) -> Tree {
        Tree {
            origin: Origin::Flag { flag: "--x".to_owned() },
            content: Content::Scalar(Value::String(text.to_owned())),
        }
    }

    #[test]
    fn sets_replace_and_create() {
        let mut tree = Tree::empty();
        tree.set(&["a", "b"], flag("1"));
        tree.set(&["a", "c"], flag("2"));
        tree.set(&["a", "b"], flag("3"));
        assert_eq!(tree.to_value(), json!({ "a": { "b": "3", "c": "2" } }));
        tree.remove(&["a", "b"]);
        assert_eq!(tree.to_value(), json!({ "a": { "c": "2" } }));
        tree.set(&["a"], flag("flat"));
        tree.set(&["a", "deep"], flag("4"));
        assert_eq!(tree.to_value(), json!({ "a": { "deep": "4" } }));
    }

    #[test]
    fn an_absent_value_has_the_origin_of_what_is_around_it() {
        let mut tree = Tree::empty();
        tree.set(&["a", "b"], flag("1"));
        assert_eq!(tree.nearest_origin(&["a", "absent"]), Some(Origin::Flag { flag: "--x".to_owned() }));
        assert_eq!(tree.nearest_origin(&["absent"]), None);
    }
}
