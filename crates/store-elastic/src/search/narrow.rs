//! What of a query the store can rule out by itself.
//!
//! Of every part there is a condition that all matching events keep, or none that is known. Words are looked for
//! inside of the store's terms, since those may be longer than words (`foo_bar`, `10.0.0.1`); numbers are looked for
//! in a range that is a little wider, since the store may have rounded them; where a field is of a type that says
//! nothing about the text it was made of, it must only be there. What the store left out as malformed is a candidate.
//!
//! This relies on texts being analysed without stemming or stop words, as they are unless somebody asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::{Value, json};
use weir_store::query::{Expr, Leaf, Operand, Pattern, Range, Scalar, Test, TextMatcher, tokens};

use crate::client::{FieldType, FieldTypes};
use crate::document::WEIR;

/// Conditions for the store.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Narrowed {
    /// Kept by every event that matches; absent if there is none.
    pub(super) certain: Option<Value>,
    /// The closest that the store comes to the query, on either side.
    pub(super) likely: Option<Value>,
}

/// Fields that every index has, which are not of the content.
const OF_THE_STORE: [&str; 16] = [
    "_data_stream_timestamp",
    "_doc_count",
    "_feature",
    "_field_names",
    "_id",
    "_ignored",
    "_ignored_source",
    "_index",
    "_index_mode",
    "_nested_path",
    "_routing",
    "_seq_no",
    "_source",
    "_tier",
    "_type",
    "_version",
];
/// A condition with so many parts costs more than it saves.
const MOST_CLAUSES: usize = 400;

/// A node reads no longer line of a request than 4096 bytes.
const LONGEST_LIST: usize = 1_000;

/// Which fields the narrowing needs to know the types of, as the store is asked for them.
pub(super) fn fields(expr: &Expr) -> String {
    let mut fields = BTreeSet::from(["weir.order".to_owned()]);
    let mut needs_all = false;
    collect(expr, &mut fields, &mut needs_all);
    let list = fields.into_iter().collect::<Vec<_>>().join(",");
    if needs_all || list.len() > LONGEST_LIST { "*".to_owned() } else { list }
}

fn collect(expr: &Expr, fields: &mut BTreeSet<String>, needs_all: &mut bool) {
    match expr {
        Expr::All => {}
        Expr::And(list) | Expr::Or(list) => list.iter().for_each(|part| collect(part, fields, needs_all)),
        Expr::Not(inner) => collect(inner, fields, needs_all),
        Expr::Leaf(Leaf { field: None, .. }) => *needs_all = true,
        Expr::Leaf(Leaf { field: Some(path), .. }) if is_nameable(path.as_str()) => {
            let path = path.as_str();
            let parents = path.match_indices('.').map(|(at, _)| path[..at].to_owned());
            fields.extend(parents.filter(|parent| is_nameable(parent)).chain([path.to_owned()]));
        }
        Expr::Leaf(_) => {}
    }
}

/// Whether the store understands the path as one field.
fn is_nameable(path: &str) -> bool {
    !path.is_empty() && !path.contains(['*', '?', ',']) && !path.split('.').any(str::is_empty)
}

pub(super) fn narrow(expr: &Expr, types: &FieldTypes) -> Narrowed {
    let mut narrowing = Narrowing { types, clauses: 0 };
    let certain = narrowing.certain(expr);
    narrowing.clauses = 0;
    let likely = narrowing.likely(expr);
    Narrowed { certain, likely }
}

struct Narrowing<'a> {
    types: &'a FieldTypes,
    clauses: usize,
}

impl Narrowing<'_> {
    fn certain(&mut self, expr: &Expr) -> Option<Value> {
        match expr {
            Expr::All => None,
            Expr::And(list) => all(list.iter().filter_map(|part| self.certain(part)).collect()),
            Expr::Or(list) => any(list.iter().map(|part| self.certain(part)).collect::<Option<Vec<_>>>()?),
            Expr::Not(inner) if **inner == Expr::All => Some(json!({ "match_none": {} })),
            // What rules events out would have to be exact.
            Expr::Not(_) => None,
            Expr::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn likely(&mut self, expr: &Expr) -> Option<Value> {
        match expr {
            Expr::All => None,
            Expr::And(list) => all(list.iter().filter_map(|part| self.likely(part)).collect()),
            Expr::Or(list) => any(list.iter().map(|part| self.likely(part)).collect::<Option<Vec<_>>>()?),
            Expr::Not(inner) => Some(match self.likely(inner) {
                Some(condition) => json!({ "bool": { "must_not": [condition] } }),
                None => json!({ "match_none": {} }),
            }),
            Expr::Leaf(Leaf { field: Some(path), test: Test::Exists }) if is_nameable(path.as_str()) => {
                Some(exists(path.as_str()))
            }
            Expr::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Option<Value> {
        let clauses = match &leaf.field {
            Some(path) => self.in_field(path.as_str(), &leaf.test)?,
            None => self.anywhere(&leaf.test)?,
        };
        self.clauses += clauses.len();
        if self.clauses > MOST_CLAUSES { None } else { any(clauses) }
    }

    /// Conditions of which every matching event keeps one.
    fn in_field(&self, path: &str, test: &Test) -> Option<Vec<Value>> {
        if !is_nameable(path) {
            return None;
        }
        let parents = path.match_indices('.').map(|(at, _)| &path[..at]);
        if parents.chain([path]).any(|path| self.has_type(path, "nested")) {
            return None;
        }
        // The store knows nothing of fields that have only been `null` or empty, nor of those it does not index.
        let types = self.types.fields.get(path)?;
        // OpenSearch keeps a text that is in a field of bools, and says nowhere that it did.
        if matches!(test, Test::Exists) || names_null(test) || types.contains_key("boolean") {
            return None;
        }
        let mut clauses: Vec<Value> =
            types.values().filter_map(|FieldType { name }| in_type(path, name, test, Reach::Field)).collect();
        clauses.push(json!({ "term": { "_ignored": path } }));
        Some(clauses)
    }

    fn anywhere(&self, test: &Test) -> Option<Vec<Value>> {
        let fields = &self.types.fields;
        if fields.values().any(|types| types.contains_key("nested")) {
            return None;
        }
        let is_content =
            |path: &str| path != WEIR && !path.starts_with("weir.") && !OF_THE_STORE.contains(&path);
        let is_below_text = |path: &str| {
            let parent = path.rsplit_once('.').and_then(|(parent, _)| fields.get(parent));
            parent.is_some_and(|types| types.contains_key("text"))
        };
        let mut clauses = Vec::new();
        let mut ignorable = Vec::new();
        for (path, types) in fields.iter().filter(|(path, _)| is_content(path) && !is_below_text(path)) {
            let own =
                types.values().map(|FieldType { name }| name.as_str()).filter(|name| !name.starts_with('_'));
            for name in own {
                clauses.extend(in_type(path, name, test, Reach::Anywhere));
                if !is_text(name) && name != "object" {
                    ignorable.push(path);
                }
            }
        }
        if !ignorable.is_empty() {
            clauses.push(json!({ "terms": { "_ignored": ignorable } }));
        }
        Some(clauses)
    }

    fn has_type(&self, path: &str, name: &str) -> bool {
        self.types
            .fields
            .get(path)
            .is_some_and(|types: &BTreeMap<String, FieldType>| types.contains_key(name))
    }
}

/// How much a field is named by the query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Field,
    Anywhere,
}

/// The condition on a field of one type; absent if no value of it matches.
fn in_type(path: &str, name: &str, test: &Test, reach: Reach) -> Option<Value> {
    match name {
        "object" => None,
        _ if is_text(name) || matches!(name, "keyword" | "constant_keyword" | "wildcard") => {
            in_text(path, test)
        }
        _ if is_number(name) => in_number(path, test),
        // Bare words would make every event with a time a candidate. What times and addresses are made of is known.
        "date" | "date_nanos" if reach == Reach::Anywhere => {
            has_only(test, |c| c.is_ascii_digit() || matches!(c, 't' | 'z')).then(|| exists(path))
        }
        "ip" if reach == Reach::Anywhere => has_only(test, |c| c.is_ascii_hexdigit()).then(|| exists(path)),
        "boolean" if reach == Reach::Anywhere => {
            has_only(test, |c| "truefals".contains(c)).then(|| exists(path))
        }
        _ => Some(exists(path)),
    }
}

fn is_text(name: &str) -> bool {
    matches!(name, "text" | "match_only_text" | "annotated_text")
}

fn is_number(name: &str) -> bool {
    matches!(
        name,
        "long"
            | "integer"
            | "short"
            | "byte"
            | "double"
            | "float"
            | "half_float"
            | "scaled_float"
            | "unsigned_long"
    )
}

fn in_text(path: &str, test: &Test) -> Option<Value> {
    let parts: Vec<Value> = certain_parts(test)
        .into_iter()
        .map(|part| json!({ "wildcard": { path: { "value": format!("*{part}*"), "case_insensitive": true } } }))
        .collect();
    all(parts).or_else(|| Some(exists(path)))
}

/// Runs of ASCII letters and digits that are in every text that passes, inside of one word each.
fn certain_parts(test: &Test) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    match test {
        Test::Exists | Test::Range(_) => {}
        Test::Exact(text) => tokens(text, |word| {
            parts.insert(word.to_owned());
        }),
        Test::Term(pattern) => {
            let matcher = TextMatcher::new(pattern);
            parts.extend(matcher.tokens().iter().cloned());
            if let (true, Pattern::Wildcard(_), Ok(needle)) =
                (parts.is_empty(), pattern, str::from_utf8(matcher.needle()))
            {
                let longest = needle.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|run| run.len());
                parts.extend(longest.filter(|run| !run.is_empty()).map(str::to_owned));
            }
        }
    }
    // Other scripts are cut into terms by rules of their own, and so are very long words.
    parts.retain(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric()) && part.len() <= LONGEST_PART);
    parts
}

const LONGEST_PART: usize = 100;

fn in_number(path: &str, test: &Test) -> Option<Value> {
    let equal = |text: &str| number(text).map(|value| within(path, Some(value), Some(value)));
    match test {
        Test::Exists => Some(exists(path)),
        Test::Term(Pattern::Wildcard(_)) => Some(exists(path)),
        Test::Term(Pattern::Word(text) | Pattern::Phrase(text)) | Test::Exact(text) => equal(text),
        Test::Range(Range { lower, upper }) => {
            let bound = |bound: &Bound<Operand>| match bound {
                Bound::Unbounded => Some(None),
                Bound::Included(Operand::Number(value)) | Bound::Excluded(Operand::Number(value)) => {
                    Some(number(&value.to_string()))
                }
                Bound::Included(_) | Bound::Excluded(_) => None,
            };
            match (bound(lower), bound(upper)) {
                (Some(lower), Some(upper)) => Some(within(path, lower, upper)),
                _ => Some(exists(path)),
            }
        }
    }
}

/// The value, also of what only looks like a number to a store that reads texts as numbers.
fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|value| value.is_finite())
}

/// A little wider than the bounds; those beyond what every number field takes are left out.
fn within(path: &str, lower: Option<f64>, upper: Option<f64>) -> Value {
    const LARGEST: f64 = 9e18;
    let slack = |value: f64| value.abs() / 100.0 + 1.0;
    let mut bounds = serde_json::Map::new();
    if let Some(lower) = lower.map(|value| value - slack(value)).filter(|value| value.abs() < LARGEST) {
        bounds.insert("gte".to_owned(), json!(lower.floor()));
    }
    if let Some(upper) = upper.map(|value| value + slack(value)).filter(|value| value.abs() < LARGEST) {
        bounds.insert("lte".to_owned(), json!(upper.ceil()));
    }
    match bounds.is_empty() {
        true => exists(path),
        false => json!({ "range": { path: bounds } }),
    }
}

fn names_null(test: &Test) -> bool {
    match test {
        Test::Term(pattern) => pattern.scalar() == Some(Scalar::Null),
        Test::Exact(text) => Scalar::of(text) == Some(Scalar::Null),
        Test::Exists | Test::Range(_) => false,
    }
}

/// Whether a text of nothing but such characters and separators may pass. Wildcards may always.
fn has_only(test: &Test, legal: impl Fn(char) -> bool) -> bool {
    match test {
        Test::Term(Pattern::Word(text) | Pattern::Phrase(text)) | Test::Exact(text) => {
            text.chars().all(|c| !c.is_alphanumeric() || legal(c.to_ascii_lowercase()))
        }
        Test::Term(Pattern::Wildcard(_)) | Test::Range(_) | Test::Exists => true,
    }
}

fn exists(path: &str) -> Value {
    json!({ "exists": { "field": path } })
}

fn all(mut conditions: Vec<Value>) -> Option<Value> {
    match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => Some(json!({ "bool": { "filter": conditions } })),
    }
}

/// Of no condition none is ever kept.
fn any(mut conditions: Vec<Value>) -> Option<Value> {
    match conditions.len() {
        0 => Some(json!({ "match_none": {} })),
        1 => conditions.pop(),
        _ => Some(json!({ "bool": { "should": conditions, "minimum_should_match": 1 } })),
    }
}

#[cfg(test)]
mod tests;
