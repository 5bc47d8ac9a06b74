//! A query, tied to the columns of one unit.

use weir_model::IndexPrefix;

use super::super::field::{Field, Kind, plain_path};
use super::super::filter::{Salt, TokenKey};
use super::unit::Unit;
use crate::query::{Expr, Leaf, Query, Test, ValueMatcher};

/// The query as columns answer it.
#[derive(Debug)]
pub(super) enum Bound {
    All,
    And(Vec<Bound>),
    Or(Vec<Bound>),
    Not(Box<Bound>),
    Leaf(Box<BoundLeaf>),
}

#[derive(Debug)]
pub(super) struct BoundLeaf {
    pub(super) matcher: ValueMatcher,
    pub(super) columns: Vec<BoundColumn>,
    /// For columns whose values are JSON text: the leaf as a query of its own.
    pub(super) alone: Query,
    pub(super) prefix: IndexPrefix,
}

#[derive(Debug)]
pub(super) struct BoundColumn {
    pub(super) field: usize,
    pub(super) kind: Kind,
    pub(super) keys: Vec<String>,
    pub(super) use_for: Use,
    /// Words that a page must have in this column, if a value of it is to match.
    words: Vec<TokenKey>,
}

/// What a column tells about a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Its values are tested.
    Test,
    /// That there is a value is enough.
    Presence,
}

pub(super) fn bind(query: &Query, unit: &Unit, prefix: &IndexPrefix) -> Bound {
    bind_expr(query.expr(), &unit.fields(), prefix)
}

fn bind_expr(expr: &Expr, fields: &[&Field], prefix: &IndexPrefix) -> Bound {
    let all = |list: &[Expr]| list.iter().map(|expr| bind_expr(expr, fields, prefix)).collect();
    match expr {
        Expr::All => Bound::All,
        Expr::And(list) => Bound::And(sparse_first(all(list))),
        Expr::Or(list) => Bound::Or(all(list)),
        Expr::Not(inner) => Bound::Not(Box::new(bind_expr(inner, fields, prefix))),
        Expr::Leaf(leaf) => Bound::Leaf(Box::new(bind_leaf(leaf, fields, prefix))),
    }
}

/// What is likely to leave few rows goes first, so that the rest looks at few.
fn sparse_first(mut list: Vec<Bound>) -> Vec<Bound> {
    list.sort_by_key(|bound| match bound {
        // Long words are rarer than short ones.
        Bound::Leaf(leaf) => {
            let longest = leaf.matcher.tokens().iter().map(String::len).max();
            (0, std::cmp::Reverse(longest.unwrap_or(0)))
        }
        _ => (1, std::cmp::Reverse(0)),
    });
    list
}

fn bind_leaf(leaf: &Leaf, fields: &[&Field], prefix: &IndexPrefix) -> BoundLeaf {
    let matcher = ValueMatcher::new(&leaf.test);
    let columns = fields.iter().enumerate().filter_map(|(index, field)| {
        let use_for = reach(leaf, field)?;
        let salt = Salt::of(&field.path);
        let words = match (field.kind, use_for) {
            (Kind::Text, Use::Test) => {
                matcher.tokens().iter().map(|word| salt.key(word.as_bytes())).collect()
            }
            _ => Vec::new(),
        };
        Some(BoundColumn { field: index, kind: field.kind, keys: field.keys(), use_for, words })
    });
    BoundLeaf {
        columns: columns.collect(),
        matcher,
        alone: Query::new(Expr::Leaf(leaf.clone())),
        prefix: prefix.clone(),
    }
}

/// Whether a column can have values in reach of the leaf, and what they tell.
fn reach(leaf: &Leaf, field: &Field) -> Option<Use> {
    let can_match = match (&leaf.test, field.kind) {
        (_, Kind::Text | Kind::Json) | (Test::Exists, _) => true,
        (Test::Term(pattern), _) => pattern.scalar().is_some(),
        (Test::Exact(_), _) => true,
        (Test::Range(_), kind) => matches!(kind, Kind::Int | Kind::Float),
    };
    let Some(path) = &leaf.field else {
        return (can_match && field.kind != Kind::Null).then_some(Use::Test);
    };
    let plain = plain_path(&field.path);
    let below =
        |longer: &str, shorter: &str| longer.strip_prefix(shorter).is_some_and(|rest| rest.starts_with('.'));
    if plain == path.as_str() {
        return match leaf.test {
            Test::Exists if field.kind != Kind::Json => Some(Use::Presence),
            _ => can_match.then_some(Use::Test),
        };
    }
    // An object is there if something below it is; a dot inside a key makes no object.
    let keys = field.keys();
    if leaf.test == Test::Exists && (1..keys.len()).any(|length| keys[..length].join(".") == path.as_str()) {
        return Some(Use::Presence);
    }
    // What is looked for may be inside an array.
    (field.kind == Kind::Json && below(path.as_str(), &plain)).then_some(Use::Test)
}

impl Bound {
    /// Whether there are words that filters can tell of.
    pub(super) fn has_words(&self) -> bool {
        self.has_column(&|column| !column.words.is_empty())
    }

    /// Whether there are texts to look through one by one.
    pub(super) fn has_texts(&self, unit: &Unit) -> bool {
        self.has_column(&|column| column.use_for == Use::Test && unit.is_plain_text(column.field))
    }

    fn has_column(&self, test: &dyn Fn(&BoundColumn) -> bool) -> bool {
        match self {
            Self::All => false,
            Self::And(list) | Self::Or(list) => list.iter().any(|bound| bound.has_column(test)),
            Self::Not(inner) => inner.has_column(test),
            Self::Leaf(leaf) => leaf.columns.iter().any(test),
        }
    }

    /// Whether a row of the page may match; false only if none does. Rows that keep something beside
    /// their columns are not considered.
    pub(super) fn is_possible(&self, unit: &Unit, page: usize) -> bool {
        match self {
            Self::All | Self::Not(_) => true,
            Self::And(list) => list.iter().all(|bound| bound.is_possible(unit, page)),
            Self::Or(list) => list.iter().any(|bound| bound.is_possible(unit, page)),
            Self::Leaf(leaf) => leaf.columns.iter().any(|column| leaf.is_possible(column, unit, page)),
        }
    }
}

impl BoundLeaf {
    /// Whether a value of the column in the page may match; false only if none does.
    pub(super) fn is_possible(&self, column: &BoundColumn, unit: &Unit, page: usize) -> bool {
        if (column.kind, column.use_for) == (Kind::Int, Use::Test) {
            let ints = unit.ints(page, column.field);
            return ints.is_none_or(|(min, max)| self.matcher.matches_int_within(min, max));
        }
        column.words.iter().all(|word| unit.may_contain(page, *word))
    }
}
