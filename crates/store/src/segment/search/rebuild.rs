//! A row's content, put together again from its columns.

use std::collections::HashMap;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, StringArray};
use weir_model::Value;

use super::super::field::{Field, Kind, split_path};
use super::super::open::ReadSegmentError;
use super::super::rows::Rows;
use super::unit::Unit;
use crate::json::Members;

/// The columns of some rows, in order of paths, and what the rows keep beside them.
#[derive(Debug)]
pub(super) struct Rebuilder {
    columns: Vec<(Field, Vec<String>, ArrayRef)>,
    raw: Option<ArrayRef>,
    rest: Option<ArrayRef>,
}

impl Rebuilder {
    /// Reads the columns that are not at hand.
    pub(super) fn new(
        unit: &Unit,
        rows: &Rows,
        mut at_hand: HashMap<usize, ArrayRef>,
    ) -> Result<Self, ReadSegmentError> {
        let fields = unit.fields();
        let missing: Vec<usize> = (0..fields.len()).filter(|field| !at_hand.contains_key(field)).collect();
        let read = unit.load_together(&missing, rows)?;
        at_hand.extend(missing.into_iter().zip(read));
        let mut columns: Vec<_> = at_hand
            .into_iter()
            .map(|(index, array)| (fields[index].clone(), fields[index].keys(), array))
            .collect();
        columns.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(Self { columns, raw: unit.load_raw(rows)?, rest: unit.load_rest(rows)? })
    }

    /// Whether the row keeps something beside its columns.
    pub(super) fn has_leftover(&self, row: usize) -> bool {
        [&self.raw, &self.rest].into_iter().flatten().any(|array| !array.is_null(row))
    }

    /// The content of a row as JSON text; rows count from the first of those asked for.
    pub(super) fn content(&self, row: usize) -> String {
        if let Some(raw) = self.raw.as_ref().and_then(|raw| text(raw, row)) {
            return raw.to_owned();
        }
        let mut leaves: Vec<(Vec<String>, String)> = Vec::new();
        if let Some(rest) = self.rest.as_ref().and_then(|rest| text(rest, row)) {
            leaves = rest_leaves(rest);
            leaves.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut leaves = leaves.into_iter().peekable();
        let mut object = ObjectWriter::default();
        for (field, keys, column) in &self.columns {
            if column.is_null(row) {
                continue;
            }
            while let Some((keys, json)) = leaves.next_if(|(leaf, _)| leaf < keys) {
                object.leaf(&keys, |out| out.push_str(&json));
            }
            object.leaf(keys, |out| write_value(out, field.kind, column, row));
        }
        for (keys, json) in leaves {
            object.leaf(&keys, |out| out.push_str(&json));
        }
        object.finish()
    }
}

/// The members of a rest column's value: paths with their values as JSON text.
fn rest_leaves(rest: &str) -> Vec<(Vec<String>, String)> {
    let Ok(Members(members)) = serde_json::from_str(rest) else { return Vec::new() };
    members.into_iter().map(|(path, value)| (split_path(&path), value.get().to_owned())).collect()
}

/// The text of a row of a text column, dictionary or not.
pub(super) fn text(array: &ArrayRef, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    if let Some(texts) = array.as_any().downcast_ref::<StringArray>() {
        return Some(texts.value(row));
    }
    let dictionary = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>()?;
    let texts = dictionary.values().as_any().downcast_ref::<StringArray>()?;
    Some(texts.value(usize::try_from(dictionary.keys().value(row)).ok()?))
}

/// The scalar of a row; JSON columns are not scalars.
pub(super) fn scalar<'a>(kind: Kind, array: &'a ArrayRef, row: usize) -> Option<Value<'a>> {
    if array.is_null(row) {
        return None;
    }
    match kind {
        Kind::Text => text(array, row).map(Value::Str),
        Kind::Int => array.as_any().downcast_ref::<Int64Array>().map(|array| Value::Int(array.value(row))),
        Kind::Float => {
            array.as_any().downcast_ref::<Float64Array>().map(|array| Value::Float(array.value(row)))
        }
        Kind::Bool => {
            array.as_any().downcast_ref::<BooleanArray>().map(|array| Value::Bool(array.value(row)))
        }
        Kind::Null => Some(Value::Null),
        Kind::Json => None,
    }
}

fn write_value(out: &mut String, kind: Kind, array: &ArrayRef, row: usize) {
    use std::fmt::Write as _;
    match kind {
        Kind::Json => out.push_str(text(array, row).unwrap_or("null")),
        _ => {
            let value = scalar(kind, array, row).unwrap_or(Value::Null);
            write!(out, "{value}").expect("a String takes everything");
        }
    }
}

/// Writes an object from leaves in order of their keys.
#[derive(Debug, Default)]
struct ObjectWriter {
    out: String,
    open: Vec<String>,
}

impl ObjectWriter {
    fn leaf(&mut self, keys: &[String], value: impl FnOnce(&mut String)) {
        let Some((last, parents)) = keys.split_last() else { return };
        let common = self.open.iter().zip(parents).take_while(|(open, key)| open == key).count();
        while self.open.len() > common {
            self.open.pop();
            self.out.push('}');
        }
        for key in &parents[common..] {
            self.key(key);
            self.out.push('{');
            self.open.push(key.clone());
        }
        self.key(last);
        value(&mut self.out);
    }

    fn key(&mut self, key: &str) {
        use std::fmt::Write as _;
        if self.out.is_empty() {
            self.out.push('{');
        } else if !self.out.ends_with('{') {
            self.out.push(',');
        }
        write!(self.out, "{}:", Value::Str(key)).expect("a String takes everything");
    }

    fn finish(mut self) -> String {
        if self.out.is_empty() {
            self.out.push('{');
        }
        self.out.extend(self.open.iter().map(|_| '}'));
        self.out.push('}');
        self.out
    }
}
