//! A segment on disk: `<id>.parquet` with the rows and `<id>.filter` with the words of each page.
//!
//! The Parquet file is plain: any reader opens it. Its columns:
//!
//! | column | type | what |
//! |---|---|---|
//! | `_time` | timestamp(µs, UTC) | the event's own time |
//! | `_received` | timestamp(µs, UTC) | when the door took it |
//! | `_source` | string | `<stream>-<incarnation>-<partition>` |
//! | `_offset` | uint64 | offset of the record in the partition |
//! | `_index` | uint32 | index of the event in the record; `_source-_offset._index` is the event's id |
//! | `<path>:s` `:i` `:f` `:b` | string, int64, double, boolean | leaf fields, see [`super::field`] |
//! | `<path>:n` | boolean | true where the field is JSON `null` |
//! | `<path>:j` | string | JSON text: arrays, empty objects, numbers beyond int64 and double |
//! | `_rest` | string | a JSON object from path to value: fields beyond the limit of columns |
//! | `_raw` | string | the whole content as JSON, for rows that repeat a key |
//!
//! A row group holds up to 65,536 rows in order of `_time`; every column breaks into pages at the same
//! multiples of 8,192 rows, and the filter file has one filter per such page. The key-value metadata
//! `weir.format` is the version of this layout.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use weir_foundation::file::sync_parent;

use super::chunk::{CHUNK_ROWS, Heads};
use super::field::Kind;
use super::filter::{FilterWriter, Salt};
use super::gather::{Gathered, distinct_texts};
use super::source::{Sources, source_text};

/// Version of the layout above.
pub(super) const FORMAT: u32 = 1;
pub(super) const FORMAT_KEY: &str = "weir.format";
/// Rows of a page, of every column.
pub(super) const PAGE_ROWS: usize = CHUNK_ROWS;
/// Rows of a full row group.
pub(super) const GROUP_ROWS: usize = 8 * PAGE_ROWS;

pub(super) const TIME: &str = "_time";
pub(super) const RECEIVED: &str = "_received";
pub(super) const SOURCE: &str = "_source";
pub(super) const OFFSET: &str = "_offset";
pub(super) const INDEX: &str = "_index";
pub(super) const REST: &str = "_rest";
pub(super) const RAW: &str = "_raw";

/// Why a segment could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteSegmentError {
    #[error("the rows could not be put in order")]
    Arrow(#[from] arrow_schema::ArrowError),
    #[error("the rows could not be encoded")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("the segment could not be written")]
    Io(#[from] std::io::Error),
}

/// The two files of a segment.
#[derive(Debug, Clone)]
pub(super) struct SegmentPaths {
    pub(super) rows: PathBuf,
    pub(super) filter: PathBuf,
}

impl SegmentPaths {
    pub(super) fn new(directory: &Path, id: u64) -> Self {
        Self {
            rows: directory.join(format!("{id:012}.parquet")),
            filter: directory.join(format!("{id:012}.filter")),
        }
    }
}

/// Writes rows, in order of time, and syncs them. Answers the bytes of both files.
pub(super) fn write(
    paths: &SegmentPaths,
    rows: &Gathered,
    sources: &Sources,
) -> Result<u64, WriteSegmentError> {
    let filter = filter_of(rows);
    let mut file = File::create(&paths.filter)?;
    file.write_all(&filter)?;
    file.sync_data()?;
    let batch = record_batch(rows, sources)?;
    let options =
        ArrowWriterOptions::new().with_properties(properties(rows).build()).with_skip_arrow_metadata(true);
    let file = File::create(&paths.rows)?;
    let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options)?;
    writer.write(&batch)?;
    let file = writer.into_inner()?;
    file.sync_data()?;
    sync_parent(&paths.rows)?;
    Ok(file.metadata()?.len() + filter.len() as u64)
}

fn filter_of(rows: &Gathered) -> Vec<u8> {
    let texts: Vec<_> = rows
        .fields
        .iter()
        .filter(|(field, _)| field.kind == Kind::Text)
        .map(|(field, array)| (Salt::of(&field.path), array))
        .collect();
    let mut writer = FilterWriter::new();
    let count = rows.heads.times.len();
    for start in (0..count).step_by(PAGE_ROWS) {
        let length = PAGE_ROWS.min(count - start);
        for (salt, array) in &texts {
            let page = array.slice(start, length);
            distinct_texts(&page, |text| writer.add(*salt, text));
        }
        writer.end_page();
    }
    writer.finish()
}

fn record_batch(rows: &Gathered, sources: &Sources) -> Result<RecordBatch, WriteSegmentError> {
    let Heads { times, received, sources: of_rows, offsets, indexes } = &rows.heads;
    let timestamps = |micros: &[i64]| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("UTC"))
    };
    let names = StringArray::from_iter_values(sources.iter().map(|(_, partition)| source_text(partition)));
    let keys = of_rows.iter().map(|source| i32::try_from(source.0).expect("fewer partitions than i32::MAX"));
    let source = DictionaryArray::<Int32Type>::new(Int32Array::from_iter_values(keys), Arc::new(names));
    let mut columns: Vec<(String, ArrayRef)> = vec![
        (TIME.to_owned(), timestamps(times)),
        (RECEIVED.to_owned(), timestamps(received)),
        (SOURCE.to_owned(), Arc::new(source)),
        (OFFSET.to_owned(), Arc::new(UInt64Array::from(offsets.clone()))),
        (INDEX.to_owned(), Arc::new(UInt32Array::from(indexes.clone()))),
    ];
    columns.extend(rows.fields.iter().map(|(field, array)| (field.column(), Arc::clone(array))));
    columns.extend(rows.rest.iter().map(|array| (REST.to_owned(), Arc::clone(array))));
    columns.extend(rows.raw.iter().map(|array| (RAW.to_owned(), Arc::clone(array))));
    let fields: Vec<ArrowField> = columns
        .iter()
        .map(|(name, array)| ArrowField::new(name, array.data_type().clone(), !is_head(name)))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays)?)
}

pub(super) fn is_head(name: &str) -> bool {
    matches!(name, TIME | RECEIVED | SOURCE | OFFSET | INDEX)
}

/// What every file of segments shares; columns are told apart by [`properties`].
pub(super) fn common_properties() -> WriterPropertiesBuilder {
    let metadata = vec![KeyValue::new(FORMAT_KEY.to_owned(), FORMAT.to_string())];
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("zstd has a level 1")))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        // Texts have a dictionary where it is smaller than they are; without it they could be of any size.
        .set_dictionary_page_size_limit(1 << 30)
        // Page ends are looked for after each batch of this size only, and a limit of bytes that is never
        // met keeps the pages of all columns aligned.
        .set_write_batch_size(PAGE_ROWS)
        .set_data_page_size_limit(1 << 30)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(metadata))
        .set_created_by(format!("weir {}", env!("CARGO_PKG_VERSION")))
}

fn properties(rows: &Gathered) -> WriterPropertiesBuilder {
    let name = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut properties =
        common_properties().set_column_statistics_enabled(name(TIME), EnabledStatistics::Page);
    // So that a search passes by pages without the numbers that it looks for.
    for (field, _) in rows.fields.iter().filter(|(field, _)| field.kind == Kind::Int) {
        properties = properties.set_column_statistics_enabled(name(&field.column()), EnabledStatistics::Page);
    }
    for column in [TIME, RECEIVED, OFFSET] {
        properties = properties
            .set_column_dictionary_enabled(name(column), false)
            .set_column_encoding(name(column), Encoding::DELTA_BINARY_PACKED);
    }
    let fields = rows.fields.iter().map(|(field, array)| (field.column(), array));
    let texts = fields
        .chain(rows.rest.iter().map(|array| (REST.to_owned(), array)))
        .chain(rows.raw.iter().map(|array| (RAW.to_owned(), array)));
    for (column, array) in texts {
        if *array.data_type() == DataType::Utf8 {
            properties = properties
                .set_column_dictionary_enabled(name(&column), false)
                .set_column_encoding(name(&column), Encoding::DELTA_LENGTH_BYTE_ARRAY);
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_model::{Incarnation, IndexPrefix, PartitionIndex, StreamName, StreamPartition};

    use super::*;
    use crate::segment::field::Field;
    use crate::segment::merge;
    use crate::segment::open::Segment;
    use crate::segment::rows::Rows;
    use crate::segment::section::FilingWindow;

    #[test]
    fn large_texts_that_repeat_are_small_on_disk_and_in_memory() {
        let mut sources = Sources::default();
        let source = sources.add(StreamPartition {
            stream: StreamName::new("shop_logs").expect("legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        });
        let rows = PAGE_ROWS;
        let heads = Heads {
            times: vec![0; rows],
            received: vec![0; rows],
            sources: vec![source; rows],
            offsets: (0..rows as u64).collect(),
            indexes: vec![0; rows],
        };
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..40).map(|n| n.to_string().repeat(20_000))));
        let keys = Int32Array::from_iter_values((0..40).cycle().take(rows));
        let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, texts));
        let field = Field { path: "text".into(), kind: Kind::Text };
        let gathered = Gathered { heads, fields: vec![(field, Arc::clone(&column))], raw: None, rest: None };
        let directory = tempfile::tempdir().expect("there is space");
        let paths = SegmentPaths::new(directory.path(), 1);
        let bytes = write(&paths, &gathered, &sources).expect("written");
        assert!(bytes < 1 << 20, "{bytes} bytes");
        let prefix = IndexPrefix::new("shop").expect("legal");
        let info = merge::describe(1, &prefix, bytes, &gathered.heads, FilingWindow::default(), 0);
        let contents = Segment::new(info, paths).contents().expect("it can be read");
        let column_number = contents.column("text:s").expect("it is there");
        let read = contents.read_column(1, 0, column_number, &Rows::from(0..rows)).expect("it can be read");
        assert!(read.get_array_memory_size() < 4 << 20, "{} bytes", read.get_array_memory_size());
        let count = |array: &ArrayRef| {
            let array = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>().expect("a dictionary");
            let texts = array.values().as_any().downcast_ref::<StringArray>().expect("of texts");
            let mut counts = BTreeMap::<String, usize>::new();
            for key in array.keys().iter().flatten() {
                *counts.entry(texts.value(usize::try_from(key).expect("a key")).to_owned()).or_default() += 1;
            }
            counts
        };
        assert_eq!(count(&read), count(&column));
    }
}
