//! One page of texts, as it is: in the encoding `DELTA_LENGTH_BYTE_ARRAY` the texts of a page stand one behind
//! the other, so that the page's own bytes become the array, and nothing is copied. Searches that must look at
//! texts spend a fifth less on it.
//!
//! What is not as [`super::file`] writes it is left to the reader of the Parquet library.
//! Formats: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>.

use arrow_array::StringArray;
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use super::pages::ColumnPages;

/// The texts of a column's page of `expected` rows, or nothing if the page is of another form or length.
pub(super) fn read(
    mut pages: ColumnPages<impl ChunkReader>,
    page: usize,
    expected: usize,
) -> Result<Option<StringArray>, ParquetError> {
    let descriptor = pages.descriptor();
    let plain = descriptor.max_def_level() == 1 && descriptor.max_rep_level() == 0;
    if !plain || pages.has_dictionary() {
        return Ok(None);
    }
    for _ in 0..page {
        pages.skip_next_page()?;
    }
    match pages.get_next_page()? {
        Some(Page::DataPage { buf, num_values, encoding, def_level_encoding, .. })
            // Before there is memory for it: a damaged head can claim four billion rows.
            if num_values as usize == expected
                && encoding == Encoding::DELTA_LENGTH_BYTE_ARRAY
                && def_level_encoding == Encoding::RLE =>
        {
            Ok(texts(&buf, expected))
        }
        _ => Ok(None),
    }
}

/// The texts of a page of `rows`; none if it is refused. For the fuzz target.
#[doc(hidden)]
#[must_use]
pub fn texts_of_page(page: &[u8], rows: usize) -> Option<Vec<Option<String>>> {
    let texts = texts(&Bytes::copy_from_slice(page), rows)?;
    Some(texts.iter().map(|text| text.map(str::to_owned)).collect())
}

/// A page of `rows` texts of which each may be missing: which are there, their lengths, themselves.
fn texts(page: &Bytes, rows: usize) -> Option<StringArray> {
    let (length, rest) = page.split_first_chunk::<4>()?;
    let (levels, values) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let nulls = presence(levels, rows)?;
    let mut input = Input(values);
    let mut lengths = lengths(&mut input, rows - nulls.null_count())?.into_iter();
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut end = 0_i32;
    offsets.push(0);
    for row in 0..rows {
        if nulls.is_valid(row) {
            end = end.checked_add(lengths.next().filter(|length| *length >= 0)?)?;
        }
        offsets.push(end);
    }
    let texts = input.0.get(..usize::try_from(end).ok()?)?;
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from(page.slice_ref(texts)), nulls).ok()
}

/// Levels of one bit: runs of one level, and levels packed eight to a byte.
fn presence(levels: &[u8], rows: usize) -> Option<NullBuffer> {
    let mut present = BooleanBufferBuilder::new(rows);
    let mut input = Input(levels);
    while present.len() < rows {
        let header = input.varint()?;
        let count = usize::try_from(header >> 1).ok()?;
        let left = rows - present.len();
        if header & 1 == 0 {
            present.append_n(count.min(left), input.take(1)?[0] == 1);
        } else {
            let packed = input.take(count)?;
            present.append_packed_range(0..left.min(count.checked_mul(8)?), packed);
        }
        if count == 0 {
            return None;
        }
    }
    Some(NullBuffer::new(present.finish()))
}

/// `count` numbers in `DELTA_BINARY_PACKED`.
fn lengths(input: &mut Input<'_>, count: usize) -> Option<Vec<i32>> {
    let block = usize::try_from(input.varint()?).ok()?;
    let minis = usize::try_from(input.varint()?).ok()?;
    let total = usize::try_from(input.varint()?).ok()?;
    let of_mini = block.checked_div(minis)?;
    if total != count || of_mini == 0 || of_mini % 8 != 0 || of_mini > MINI_LIMIT {
        return None;
    }
    let mut value = i32::try_from(input.zigzag()?).ok()?;
    let mut values = Vec::with_capacity(count);
    if count > 0 {
        values.push(value);
    }
    while values.len() < count {
        let least = input.zigzag()?;
        for width in input.take(minis)? {
            if values.len() == count {
                break;
            }
            let width = usize::from(*width);
            if width > 32 {
                return None;
            }
            let packed = input.take(of_mini / 8 * width)?;
            for index in 0..of_mini.min(count - values.len()) {
                let delta = i64::from(unpack(packed, index * width, width)).wrapping_add(least);
                // The encoding counts in 32 bits and lets them wrap.
                #[expect(clippy::cast_possible_truncation, reason = "that is what wrapping is")]
                let delta = delta as i32;
                value = value.wrapping_add(delta);
                values.push(value);
            }
        }
    }
    Some(values)
}

/// Numbers in a miniblock at most; writers have 32.
const MINI_LIMIT: usize = 1024;

/// The `width` bits from bit `at` on, the lowest first.
fn unpack(packed: &[u8], at: usize, width: usize) -> u32 {
    let rest = packed.get(at / 8..).unwrap_or_default();
    let word = match rest.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mask = (1_u64 << width) - 1;
    u32::try_from(word >> (at % 8) & mask).expect("the mask has at most 32 bits")
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 50;

    fn written(texts: &StringArray, dictionary: Option<()>) -> Bytes {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(dictionary.is_some())
            .set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_data_page_row_count_limit(PAGE)
            .set_write_batch_size(PAGE)
            .build();
        let column: ArrayRef = Arc::new(texts.clone());
        let batch = RecordBatch::try_from_iter_with_nullable([("text", column, true)]).expect("one column");
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).expect("made");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        file.into()
    }

    fn read_page(file: &Bytes, page: usize, rows: usize) -> Option<StringArray> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(file, options).expect("a footer");
        let pages = ColumnPages::open(file, metadata.metadata(), 0, 0).expect("a column");
        read(pages, page, rows).expect("it can be read")
    }

    proptest! {
        #[test]
        fn pages_come_back(rows in vec(prop_oneof![
            Just(None), ".{0,9}".prop_map(Some), "[a-z]{0,300}".prop_map(Some)
        ], 1..300)) {
            let texts = StringArray::from(rows);
            let file = written(&texts, None);
            for page in 0..texts.len().div_ceil(PAGE) {
                let length = PAGE.min(texts.len() - page * PAGE);
                let read = read_page(&file, page, length);
                prop_assert_eq!(read, Some(texts.slice(page * PAGE, length)));
            }
        }

        #[test]
        fn noise_is_no_page(page in vec(any::<u8>(), 0..200), rows in 0_usize..100) {
            if let Some(texts) = texts(&page.into(), rows) {
                prop_assert_eq!(texts.len(), rows);
            }
        }

        #[test]
        fn a_damaged_page_does_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            // One level run of three rows, lengths 1, 2 and 3, the texts.
            let mut page = vec![2, 0, 0, 0, 6, 1, 128, 1, 4, 3, 2, 2, 0, 0, 0, 0];
            page.extend_from_slice(b"abbccc");
            let whole = texts(&page.clone().into(), 3).expect("it is whole");
            prop_assert_eq!(whole, StringArray::from(vec!["a", "bb", "ccc"]));
            let at = at.index(page.len());
            page[at] = byte;
            if let Some(texts) = texts(&page.into(), 3) {
                prop_assert_eq!(texts.len(), 3);
            }
        }
    }

    #[test]
    fn a_page_of_another_length_is_not_taken() {
        let file = written(&StringArray::from(vec!["a", "b"]), None);
        assert_eq!(read_page(&file, 0, 2), Some(StringArray::from(vec!["a", "b"])));
        assert_eq!(read_page(&file, 0, 3), None);
    }

    #[test]
    fn a_dictionary_is_left_to_the_library() {
        let file = written(&StringArray::from(vec!["a"; 100]), Some(()));
        assert_eq!(read_page(&file, 0, PAGE), None);
    }
}
