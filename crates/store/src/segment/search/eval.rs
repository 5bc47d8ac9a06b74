//! Which rows of a span match.

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int64Array, StringArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use weir_model::{IndexPrefix, Value};

use super::super::field::Kind;
use super::super::json;
use super::super::open::ReadSegmentError;
use super::bind::{Bound, BoundColumn, BoundLeaf, Use};
use super::rebuild::{Rebuilder, scalar, text};
use super::span::{Lowered, Span};
use crate::query::{LowerBuffer, Query, TextMatcher, ValueMatcher};

/// One bit for each row of the span.
pub(super) fn matching(
    query: &Query,
    bound: &Bound,
    span: &Span,
    prefix: &IndexPrefix,
) -> Result<BooleanBuffer, ReadSegmentError> {
    let rows = eval(bound, span, None)?;
    if !span.unit.has_leftovers() {
        return Ok(rows);
    }
    let leftovers = [span.unit.load_raw(&span.rows())?, span.unit.load_rest(&span.rows())?];
    if leftovers.iter().flatten().all(|array| array.null_count() == array.len()) {
        return Ok(rows);
    }
    let rebuilder = Rebuilder::new(&span.unit, &span.rows(), span.columns())?;
    Ok(BooleanBuffer::collect_bool(rows.len(), |row| {
        if rebuilder.has_leftover(row) {
            is_match(query, prefix, &[], &rebuilder.content(row))
        } else {
            rows.value(row)
        }
    }))
}

/// `among` are the rows whose answer matters, if not all do; of the others the answer may be either.
fn eval(
    bound: &Bound,
    span: &Span,
    among: Option<&BooleanBuffer>,
) -> Result<BooleanBuffer, ReadSegmentError> {
    let count = span.rows.len();
    match bound {
        Bound::All => Ok(BooleanBuffer::new_set(count)),
        Bound::Not(inner) => Ok(!&eval(inner, span, among)?),
        Bound::And(list) => {
            let mut rows = among.cloned().unwrap_or_else(|| BooleanBuffer::new_set(count));
            for part in list {
                rows = &rows & &eval(part, span, Some(&rows))?;
                if rows.count_set_bits() == 0 {
                    break;
                }
            }
            Ok(rows)
        }
        Bound::Or(list) => {
            let mut rows = BooleanBuffer::new_unset(count);
            for part in list {
                rows = &rows | &eval(part, span, among)?;
            }
            Ok(rows)
        }
        Bound::Leaf(leaf) => eval_leaf(leaf, span, among),
    }
}

fn eval_leaf(
    leaf: &BoundLeaf,
    span: &Span,
    among: Option<&BooleanBuffer>,
) -> Result<BooleanBuffer, ReadSegmentError> {
    let count = span.rows.len();
    let few = among.filter(|among| among.count_set_bits() < count / FEW);
    let mut rows = BooleanBuffer::new_unset(count);
    for column in &leaf.columns {
        if !span.pages.clone().any(|page| leaf.is_possible(column, &span.unit, page)) {
            continue;
        }
        let array = span.column(column.field)?;
        rows = &rows | &eval_column(leaf, column, &array, span, few);
    }
    Ok(rows)
}

/// Rows are looked at one by one if fewer than one in this many matter.
const FEW: usize = 4;

fn eval_column(
    leaf: &BoundLeaf,
    column: &BoundColumn,
    array: &ArrayRef,
    span: &Span,
    few: Option<&BooleanBuffer>,
) -> BooleanBuffer {
    if column.use_for == Use::Presence {
        return array
            .nulls()
            .map_or_else(|| BooleanBuffer::new_set(array.len()), |nulls| nulls.inner().clone());
    }
    if let Some(dictionary) = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>() {
        return eval_dictionary(leaf, column, dictionary);
    }
    if let (Kind::Text, Some(matcher), Some(texts)) =
        (column.kind, leaf.matcher.text(), array.as_any().downcast_ref::<StringArray>())
    {
        match (few, span.lowered_before(column.field)) {
            (None, _) => return find(matcher, texts, &span.lowered(column.field, texts)),
            (Some(few), Some(lowered)) => {
                let is_match = |row| texts.is_valid(row) && matcher.matches_lowered(lowered.text(row));
                return passing(few, is_match);
            }
            (Some(_), None) => {}
        }
    }
    if let Some(few) = few {
        return eval_few(leaf, column, array, few);
    }
    if let Some(ints) = array.as_any().downcast_ref::<Int64Array>() {
        return eval_ints(&leaf.matcher, ints);
    }
    let mut buffer = LowerBuffer::default();
    BooleanBuffer::collect_bool(array.len(), |row| leaf.is_match(column, array, row, &mut buffer))
}

fn eval_few(leaf: &BoundLeaf, column: &BoundColumn, array: &ArrayRef, few: &BooleanBuffer) -> BooleanBuffer {
    let mut buffer = LowerBuffer::default();
    passing(few, |row| leaf.is_match(column, array, row, &mut buffer))
}

/// Those of the rows that pass the test.
fn passing(rows: &BooleanBuffer, mut test: impl FnMut(usize) -> bool) -> BooleanBuffer {
    let mut passed = BooleanBufferBuilder::new(rows.len());
    passed.append_n(rows.len(), false);
    for row in rows.set_indices() {
        passed.set_bit(row, test(row));
    }
    passed.finish()
}

/// Tests a value once as long as no other takes its place: most columns of integers repeat a few values.
fn eval_ints(matcher: &ValueMatcher, ints: &Int64Array) -> BooleanBuffer {
    const SLOTS: usize = 256;
    let mut verdicts: Vec<Option<(i64, bool)>> = vec![None; SLOTS];
    let mut verdict = |value: i64| {
        let slot = &mut verdicts[spread(value) % SLOTS];
        match *slot {
            Some((known, verdict)) if known == value => verdict,
            _ => slot.insert((value, matcher.matches_int(value))).1,
        }
    };
    let values = ints.values();
    match ints.nulls() {
        None => BooleanBuffer::collect_bool(ints.len(), |row| verdict(values[row])),
        Some(nulls) => {
            BooleanBuffer::collect_bool(ints.len(), |row| nulls.is_valid(row) && verdict(values[row]))
        }
    }
}

/// A number that differs for neighbouring values, by Fibonacci hashing.
pub(super) fn spread(value: i64) -> usize {
    let hash = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 40).expect("24 bits fit")
}

/// The rows in whose text the pattern is.
fn find(matcher: &TextMatcher, texts: &StringArray, lowered: &Lowered) -> BooleanBuffer {
    let mut rows = BooleanBufferBuilder::new(texts.len());
    rows.append_n(texts.len(), false);
    matcher.matches_in_buffer(&lowered.bytes, &lowered.ends, |row| {
        rows.set_bit(row, texts.is_valid(row));
    });
    rows.finish()
}

fn passes(matcher: &ValueMatcher, value: Value<'_>, buffer: &mut LowerBuffer) -> bool {
    match value {
        Value::Null => matcher.matches_null(),
        Value::Bool(value) => matcher.matches_bool(value),
        Value::Int(value) => matcher.matches_int(value),
        Value::Float(value) => matcher.matches_float(value),
        Value::Number(text) => matcher.matches_number_text(text),
        Value::Str(text) => matcher.matches_text(text, buffer),
        Value::Array(_) | Value::Object(_) => matcher.matches_container(),
    }
}

/// Tests every distinct text once.
fn eval_dictionary(
    leaf: &BoundLeaf,
    column: &BoundColumn,
    dictionary: &DictionaryArray<Int32Type>,
) -> BooleanBuffer {
    let count = dictionary.len();
    let Some(texts) = dictionary.values().as_any().downcast_ref::<StringArray>() else {
        return BooleanBuffer::new_unset(count);
    };
    let mut buffer = LowerBuffer::default();
    let verdicts: Vec<bool> = (0..texts.len())
        .map(|entry| match column.kind {
            Kind::Json => leaf.matches_json(column, texts.value(entry)),
            _ => leaf.matcher.matches_text(texts.value(entry), &mut buffer),
        })
        .collect();
    let keys = dictionary.keys();
    let verdict = |row: usize| usize::try_from(keys.value(row)).is_ok_and(|key| verdicts[key]);
    match verdicts.iter().any(|matches| *matches) {
        false => BooleanBuffer::new_unset(count),
        true if keys.null_count() == 0 => BooleanBuffer::collect_bool(count, verdict),
        true => BooleanBuffer::collect_bool(count, |row| keys.is_valid(row) && verdict(row)),
    }
}

impl BoundLeaf {
    fn is_match(&self, column: &BoundColumn, array: &ArrayRef, row: usize, buffer: &mut LowerBuffer) -> bool {
        match column.kind {
            Kind::Json => text(array, row).is_some_and(|json| self.matches_json(column, json)),
            kind => scalar(kind, array, row).is_some_and(|value| passes(&self.matcher, value, buffer)),
        }
    }

    fn matches_json(&self, column: &BoundColumn, json: &str) -> bool {
        is_match(&self.alone, &self.prefix, &column.keys, json)
    }
}

/// Whether the query matches a content that is `json` under `keys`.
pub(super) fn is_match(query: &Query, prefix: &IndexPrefix, keys: &[String], json: &str) -> bool {
    let batch = json::content(prefix, keys, json);
    batch
        .as_ref()
        .and_then(|batch| batch.get(0))
        .and_then(|event| event.content.ok())
        .is_some_and(|content| query.matches(content))
}
