//! Rows of several chunks, put in order of time, as Arrow columns of one shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, StringArray, new_null_array};
use arrow_schema::{ArrowError, DataType};
use arrow_select::interleave::interleave;
use arrow_select::take::take;

use super::chunk::{Chunk, Heads};
use super::column::SPREAD_LIMIT;
use super::field::Field;

/// A row: the chunk and the row in it.
pub(super) type RowRef = (usize, usize);

/// All rows of the chunks in order of time; rows of one time stay in the order they came in.
pub(super) fn in_time_order<C: AsRef<Chunk>>(chunks: &[C]) -> Vec<RowRef> {
    let mut rows: Vec<RowRef> = chunks
        .iter()
        .enumerate()
        .flat_map(|(chunk, rows)| (0..rows.as_ref().rows()).map(move |row| (chunk, row)))
        .collect();
    let time = |&(chunk, row): &RowRef| chunks[chunk].as_ref().heads.times[row];
    if !rows.is_sorted_by_key(time) {
        rows.sort_by_key(time);
    }
    rows
}

/// Columns of the given rows.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) heads: Heads,
    /// In order of path and kind.
    pub(super) fields: Vec<(Field, ArrayRef)>,
    pub(super) raw: Option<ArrayRef>,
    pub(super) rest: Option<ArrayRef>,
}

pub(super) fn gather<C: AsRef<Chunk>>(chunks: &[C], rows: &[RowRef]) -> Result<Gathered, ArrowError> {
    let mut by_field: BTreeMap<&Field, Vec<Option<&ArrayRef>>> = BTreeMap::new();
    for (index, chunk) in chunks.iter().enumerate() {
        for (field, array) in &chunk.as_ref().fields {
            by_field.entry(field).or_insert_with(|| vec![None; chunks.len()])[index] = Some(array);
        }
    }
    let mut fields = Vec::with_capacity(by_field.len());
    for (field, parts) in by_field {
        let column = column(&parts, rows)?;
        if column.null_count() < column.len() {
            fields.push((field.clone(), column));
        }
    }
    let sparse = |part: fn(&Chunk) -> Option<&ArrayRef>| -> Result<Option<ArrayRef>, ArrowError> {
        let parts: Vec<_> = chunks.iter().map(|chunk| part(chunk.as_ref())).collect();
        if parts.iter().all(Option::is_none) {
            return Ok(None);
        }
        Ok(Some(column(&parts, rows)?).filter(|column| column.null_count() < column.len()))
    };
    Ok(Gathered {
        heads: heads(chunks, rows),
        fields,
        raw: sparse(|chunk| chunk.raw.as_ref())?,
        rest: sparse(|chunk| chunk.rest.as_ref())?,
    })
}

fn heads<C: AsRef<Chunk>>(chunks: &[C], rows: &[RowRef]) -> Heads {
    fn pick<C: AsRef<Chunk>, T: Copy>(chunks: &[C], rows: &[RowRef], part: fn(&Heads) -> &Vec<T>) -> Vec<T> {
        rows.iter().map(|&(chunk, row)| part(&chunks[chunk].as_ref().heads)[row]).collect()
    }
    Heads {
        times: pick(chunks, rows, |heads| &heads.times),
        received: pick(chunks, rows, |heads| &heads.received),
        sources: pick(chunks, rows, |heads| &heads.sources),
        offsets: pick(chunks, rows, |heads| &heads.offsets),
        indexes: pick(chunks, rows, |heads| &heads.indexes),
    }
}

/// One column out of its parts; a chunk without the column has nulls. Where only some parts are dictionaries,
/// all texts are kept one by one, unless that would be too much of them.
fn column(parts: &[Option<&ArrayRef>], rows: &[RowRef]) -> Result<ArrayRef, ArrowError> {
    let present = || parts.iter().flatten().copied();
    let dictionaries = || present().filter_map(|array| array.as_any().downcast_ref());
    let mixed = dictionaries().next().is_some() && dictionaries().count() < present().count();
    let spreads = mixed && dictionaries().map(spread_bytes).sum::<usize>() <= SPREAD_LIMIT;
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(parts.len() + 1);
    let mut place = Vec::with_capacity(parts.len());
    for part in parts {
        place.push(part.map(|_| arrays.len()));
        match part {
            Some(array) if spreads => arrays.push(spread(array)?),
            Some(array) if mixed => arrays.push(as_dictionary(array)),
            Some(array) => arrays.push(Arc::clone(array)),
            None => {}
        }
    }
    let absent = arrays.len();
    if place.contains(&None) {
        let data_type = arrays.first().map_or(&DataType::Null, Array::data_type);
        arrays.push(new_null_array(data_type, 1));
    }
    let indexes: Vec<RowRef> =
        rows.iter().map(|&(chunk, row)| place[chunk].map_or((absent, 0), |at| (at, row))).collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    interleave(&arrays, &indexes)
}

fn spread_bytes(dictionary: &DictionaryArray<Int32Type>) -> usize {
    let Some(texts) = dictionary.values().as_any().downcast_ref::<StringArray>() else { return 0 };
    let length = |key: i32| usize::try_from(key).map_or(0, |key| texts.value(key).len());
    dictionary.keys().iter().flatten().map(length).sum()
}

/// A text column as a dictionary in which every row has its own entry.
fn as_dictionary(array: &ArrayRef) -> ArrayRef {
    let Some(texts) = array.as_any().downcast_ref::<StringArray>() else { return Arc::clone(array) };
    let rows = i32::try_from(texts.len()).expect("a chunk has fewer rows than i32::MAX");
    let keys = Int32Array::new((0..rows).collect(), texts.nulls().cloned());
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::clone(array)))
}

/// A dictionary column with every row's own text.
pub(super) fn spread(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.as_any().downcast_ref::<DictionaryArray<Int32Type>>() {
        Some(dictionary) => take(dictionary.values().as_ref(), dictionary.keys(), None),
        None => Ok(Arc::clone(array)),
    }
}

/// Calls `each` with every text of a text column, once per distinct text where that is known.
pub(super) fn distinct_texts(array: &dyn Array, mut each: impl FnMut(&str)) {
    if let Some(dictionary) = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>() {
        let Some(values) = dictionary.values().as_any().downcast_ref::<StringArray>() else { return };
        let mut used = vec![false; values.len()];
        for key in dictionary.keys().iter().flatten() {
            let slot = &mut used[usize::try_from(key).expect("keys are not negative")];
            if !std::mem::replace(slot, true) {
                each(values.value(usize::try_from(key).expect("keys are not negative")));
            }
        }
    } else if let Some(texts) = array.as_any().downcast_ref::<StringArray>() {
        texts.iter().flatten().for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 8192;

    fn repeated(text: &str) -> ArrayRef {
        let values: ArrayRef = Arc::new(StringArray::from(vec![text]));
        Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; ROWS]), values))
    }

    fn check(repeated: &ArrayRef, is_dictionary: bool) {
        let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
        let rows: Vec<RowRef> = (0..ROWS).map(|row| (0, row)).chain((0..3).map(|row| (2, row))).collect();
        let column = column(&[Some(repeated), None, Some(&plain)], &rows).expect("put together");
        assert_eq!(matches!(column.data_type(), DataType::Dictionary(..)), is_dictionary);
        let texts = spread(&column.slice(ROWS, 3)).expect("a few texts");
        assert_eq!(texts.as_ref(), plain.as_ref());
        assert!(column.get_array_memory_size() < 4 << 20);
    }

    #[test]
    fn a_large_text_that_repeats_stays_there_once_beside_texts_that_do_not() {
        check(&repeated(&"x".repeat(300_000)), true);
        check(&repeated("info"), false);
    }
}
