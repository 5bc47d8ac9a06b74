//! Columns under construction. A column may be shorter than its chunk: what is missing at the end is null.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::field::Kind;

/// A dictionary with more entries than this must earn them.
const DICTIONARY_FREE_ENTRIES: usize = 64;
/// Rows per dictionary entry below which texts are kept one by one.
const DICTIONARY_MIN_REPEATS: usize = 8;
/// Bytes beyond which texts that repeat are never kept one by one.
pub(super) const SPREAD_LIMIT: usize = 16 << 20;

#[derive(Debug, Clone)]
pub(super) enum ColumnBuilder {
    Text(TextBuilder),
    Int(ScalarBuilder<i64>),
    Float(ScalarBuilder<f64>),
    Bool(ScalarBuilder<bool>),
}

#[derive(Debug, Clone)]
pub(super) struct ScalarBuilder<T> {
    values: Vec<T>,
    validity: Validity,
}

#[derive(Debug, Clone)]
pub(super) struct TextBuilder {
    validity: Validity,
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    dictionary: Option<Dictionary>,
}

/// While present, `offsets` and `bytes` hold distinct texts and `keys` says which of them each row has.
#[derive(Debug, Clone)]
struct Dictionary {
    keys: Vec<i32>,
    lookup: HashTable<i32>,
    /// Of all rows' texts, one by one.
    spread_bytes: usize,
}

/// Which rows have a value; keeps nothing but a length until the first row that has none.
#[derive(Debug, Clone, Default)]
struct Validity {
    len: usize,
    rows: Option<Vec<bool>>,
}

/// Bytes of a dictionary's entry beside its text: where it ends, and its place in the lookup.
const ENTRY: usize = 12;

impl Validity {
    fn append_value(&mut self) {
        self.len += 1;
        if let Some(rows) = &mut self.rows {
            rows.push(true);
        }
    }

    fn append_nulls(&mut self, count: usize) {
        if count > 0 {
            let rows = self.rows.get_or_insert_with(|| vec![true; self.len]);
            self.len += count;
            rows.resize(self.len, false);
        }
    }

    fn finish(self) -> Option<NullBuffer> {
        self.rows.map(NullBuffer::from)
    }
}

impl ColumnBuilder {
    pub(super) fn new(kind: Kind, many_values: bool) -> Self {
        match kind {
            Kind::Text | Kind::Json => Self::Text(TextBuilder::new(many_values)),
            Kind::Int => Self::Int(ScalarBuilder::new()),
            Kind::Float => Self::Float(ScalarBuilder::new()),
            Kind::Bool | Kind::Null => Self::Bool(ScalarBuilder::new()),
        }
    }

    pub(super) fn has_many_values(&self) -> bool {
        matches!(self, Self::Text(TextBuilder { dictionary: None, .. }))
    }

    /// The column as an array of `rows` values.
    pub(super) fn finish(self, rows: usize) -> ArrayRef {
        match self {
            Self::Text(text) => text.finish(rows),
            Self::Int(ints) => {
                let (values, nulls) = ints.finish(rows);
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Self::Float(floats) => {
                let (values, nulls) = floats.finish(rows);
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Self::Bool(bools) => {
                let (values, nulls) = bools.finish(rows);
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
        }
    }
}

impl<T: Copy + Default> ScalarBuilder<T> {
    fn new() -> Self {
        Self { values: Vec::new(), validity: Validity::default() }
    }

    /// Sets the value of `row`, which is beyond all rows set before.
    pub(super) fn set(&mut self, row: usize, value: T) {
        let missing = row - self.values.len();
        if missing > 0 {
            self.values.resize(row, T::default());
            self.validity.append_nulls(missing);
        }
        self.values.push(value);
        self.validity.append_value();
    }

    fn finish(mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        let missing = rows - self.values.len();
        self.values.resize(rows, T::default());
        self.validity.append_nulls(missing);
        (self.values, self.validity.finish())
    }
}

impl TextBuilder {
    pub(super) fn new(many_values: bool) -> Self {
        let dictionary = (!many_values).then(|| Dictionary {
            keys: Vec::new(),
            lookup: HashTable::new(),
            spread_bytes: 0,
        });
        Self { validity: Validity::default(), offsets: vec![0], bytes: Vec::new(), dictionary }
    }

    /// Sets the text of `row`, which is beyond all rows set before. Answers how many bytes it took beside its
    /// slot.
    pub(super) fn set(&mut self, row: usize, text: &str) -> usize {
        let missing = row - self.validity.len;
        self.append_nulls(missing);
        self.validity.append_value();
        match &mut self.dictionary {
            None => {
                self.push_text(text);
                text.len()
            }
            Some(_) => self.set_in_dictionary(text),
        }
    }

    fn set_in_dictionary(&mut self, text: &str) -> usize {
        let Some(dictionary) = &mut self.dictionary else { return 0 };
        let (offsets, bytes) = (&self.offsets, &self.bytes);
        let hash = hash(text.as_bytes());
        dictionary.spread_bytes += text.len();
        if let Some(key) = dictionary.lookup.find(hash, |key| entry(offsets, bytes, *key) == text.as_bytes())
        {
            dictionary.keys.push(*key);
            return 0;
        }
        let entries = self.offsets.len() - 1;
        if entries >= DICTIONARY_FREE_ENTRIES
            && dictionary.keys.len() < entries * DICTIONARY_MIN_REPEATS
            && dictionary.spread_bytes <= SPREAD_LIMIT
        {
            let before = self.bytes.len();
            self.spread();
            self.push_text(text);
            return self.bytes.len() - before;
        }
        let key = i32::try_from(entries).expect("a chunk has fewer rows than i32::MAX");
        dictionary.keys.push(key);
        dictionary.lookup.insert_unique(hash, key, |key| self::hash(entry(offsets, bytes, *key)));
        self.push_text(text);
        text.len() + ENTRY
    }

    /// Gives up the dictionary: every row gets its own copy of its text.
    fn spread(&mut self) {
        let Some(dictionary) = self.dictionary.take() else { return };
        let (offsets, bytes) =
            (std::mem::replace(&mut self.offsets, vec![0]), std::mem::take(&mut self.bytes));
        for key in dictionary.keys {
            // Rows without a text have key -1.
            self.bytes.extend_from_slice(if key < 0 { &[] } else { entry(&offsets, &bytes, key) });
            self.close_text();
        }
    }

    fn append_nulls(&mut self, count: usize) {
        self.validity.append_nulls(count);
        match &mut self.dictionary {
            Some(dictionary) => dictionary.keys.resize(dictionary.keys.len() + count, -1),
            None => {
                let end = self.offsets.last().copied().unwrap_or(0);
                self.offsets.resize(self.offsets.len() + count, end);
            }
        }
    }

    fn push_text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.close_text();
    }

    fn close_text(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).expect("a chunk is bounded far below 2 GiB"));
    }

    pub(super) fn finish(mut self, rows: usize) -> ArrayRef {
        self.append_nulls(rows - self.validity.len);
        let nulls = self.validity.finish();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        match self.dictionary {
            None => Arc::new(StringArray::new(offsets, Buffer::from(self.bytes), nulls)),
            Some(dictionary) => {
                let values = StringArray::new(offsets, Buffer::from(self.bytes), None);
                let keys = dictionary.keys.into_iter().map(|key| key.max(0)).collect::<Vec<_>>();
                let keys = Int32Array::new(keys.into(), nulls);
                Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
            }
        }
    }
}

fn entry<'a>(offsets: &[i32], bytes: &'a [u8], key: i32) -> &'a [u8] {
    let key = usize::try_from(key).expect("keys of entries are not negative");
    let at = |index: usize| usize::try_from(offsets[index]).expect("offsets are not negative");
    &bytes[at(key)..at(key + 1)]
}

fn hash(text: &[u8]) -> u64 {
    FixedState::with_seed(0).hash_one(text)
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;

    use super::*;

    #[test]
    fn a_large_text_that_repeats_is_there_once() {
        let mut column = TextBuilder::new(false);
        let large = "x".repeat(1 << 20);
        let mut bytes: usize = (0..400).map(|row| column.set(row, &large)).sum();
        bytes += (400..500).map(|row| column.set(row, &row.to_string())).sum::<usize>();
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes} bytes");
        let column = column.finish(500);
        let column = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>().expect("a dictionary");
        assert_eq!(column.values().len(), 101);
    }

    #[test]
    fn small_texts_that_do_not_repeat_are_kept_one_by_one() {
        let mut column = TextBuilder::new(false);
        let bytes: usize = (0..500).map(|row| column.set(row, &format!("text {row}"))).sum();
        assert!(bytes >= 8 * 490, "{bytes} bytes");
        assert!(column.finish(500).as_any().is::<StringArray>());
    }
}
