//! Joining: the row groups of several segments, copied into one file as they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Repetition;
use parquet::basic::Type as PhysicalType;
use parquet::column::writer::{ColumnCloseResult, ColumnWriter};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use weir_foundation::file::sync_parent;
use weir_model::{Day, IndexPrefix};

use super::super::error::WorkError;
use super::super::file::{SegmentPaths, WriteSegmentError, common_properties, is_head};
use super::super::filter::FileWriter;
use super::super::open::{Contents, Segment, SegmentInfo};
use super::super::source::SourceId;
use super::super::store::Shared;
use super::super::worker::remove;

pub(super) fn join(
    shared: &Shared,
    prefix: &IndexPrefix,
    inputs: &[Arc<Segment>],
) -> Result<(SegmentInfo, SegmentPaths), WorkError> {
    let mut inputs = inputs.to_vec();
    inputs.sort_by_key(|segment| (segment.info.min_time, segment.info.id));
    let (id, paths) = shared.new_segment(prefix)?;
    let bytes = write(&paths, &inputs).inspect_err(|_| remove(&paths))?;
    Ok((describe(id, prefix, bytes, &inputs), paths))
}

fn write(paths: &SegmentPaths, inputs: &[Arc<Segment>]) -> Result<u64, WorkError> {
    let filter_bytes = write_filters(&paths.filter, inputs)?;
    let schema = schema(inputs)?;
    let properties = Arc::new(common_properties().build());
    let mut writer = SerializedFileWriter::new(File::create(&paths.rows)?, Arc::clone(&schema), properties)
        .map_err(WriteSegmentError::from)?;
    for segment in inputs {
        let contents = segment.contents()?;
        for group in 0..contents.groups.len() {
            copy_group(&mut writer, &schema, &contents, group).map_err(WriteSegmentError::from)?;
        }
    }
    let file = writer.into_inner().map_err(WriteSegmentError::from)?;
    file.sync_data()?;
    sync_parent(&paths.rows)?;
    Ok(file.metadata()?.len() + filter_bytes)
}

/// Copies the filters of all pages, with those of one input in memory at a time.
fn write_filters(path: &Path, inputs: &[Arc<Segment>]) -> Result<u64, WorkError> {
    let mut lengths = Vec::new();
    for segment in inputs {
        let filters = segment.read_filters()?;
        lengths.extend((0..filters.pages()).map(|page| filters.page(page).len()));
    }
    let mut writer = FileWriter::begin(File::create(path)?, &lengths)?;
    for segment in inputs {
        let filters = segment.read_filters()?;
        for page in 0..filters.pages() {
            writer.page(filters.page(page))?;
        }
    }
    let (file, bytes) = writer.finish()?;
    file.sync_data()?;
    Ok(bytes)
}

/// All columns of all inputs: weir's own first, then fields by name, then the rest.
fn schema(inputs: &[Arc<Segment>]) -> Result<TypePtr, WorkError> {
    let mut columns: BTreeMap<(u8, String), TypePtr> = BTreeMap::new();
    for segment in inputs {
        let contents = segment.contents()?;
        let root = contents.parquet().file_metadata().schema_descr().root_schema_ptr();
        for (at, column) in root.get_fields().iter().enumerate() {
            let name = column.name().to_owned();
            let key = match is_head(&name) {
                // There are five of them, in the same order in every file.
                true => (u8::try_from(at).unwrap_or(u8::MAX), name),
                false if name.starts_with('_') && !name.contains(':') => (u8::MAX, name),
                false => (u8::MAX - 1, name),
            };
            columns.entry(key).or_insert_with(|| Arc::clone(column));
        }
    }
    let fields = columns.into_values().collect();
    let schema = Type::group_type_builder("arrow_schema").with_fields(fields).build();
    Ok(Arc::new(schema.map_err(WriteSegmentError::from)?))
}

fn copy_group(
    writer: &mut SerializedFileWriter<File>,
    schema: &TypePtr,
    contents: &Contents,
    group: usize,
) -> Result<(), ParquetError> {
    let metadata = contents.parquet();
    let rows = contents.groups[group].rows;
    let pages = metadata.page_index_for_row_group(group);
    let mut group_writer = writer.next_row_group()?;
    for column in schema.get_fields() {
        let Some(index) = contents.column(column.name()) else {
            write_nulls(&mut group_writer, column, rows)?;
            continue;
        };
        let chunk = metadata.row_group(group).column(index);
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or(0),
            rows_written: rows as u64,
            metadata: chunk.clone(),
            bloom_filter: None,
            column_index: pages.column_index(index).cloned(),
            offset_index: pages.offset_index(index).cloned(),
        };
        group_writer.append_column(contents.source(), close)?;
    }
    group_writer.close()?;
    Ok(())
}

/// A column that the input does not have: null in every row.
fn write_nulls(
    group: &mut SerializedRowGroupWriter<'_, File>,
    column: &Type,
    rows: usize,
) -> Result<(), ParquetError> {
    debug_assert_eq!(column.get_basic_info().repetition(), Repetition::OPTIONAL, "weir's own are everywhere");
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("a row group has fewer columns than its schema".to_owned()));
    };
    let levels = vec![0; rows];
    match writer.untyped() {
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&[], Some(&levels), None),
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&[], Some(&levels), None),
        ColumnWriter::DoubleColumnWriter(writer) => writer.write_batch(&[], Some(&levels), None),
        ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&[], Some(&levels), None),
        _ => {
            let physical: PhysicalType = column.get_physical_type();
            return Err(ParquetError::General(format!("no field is kept as {physical}")));
        }
    }?;
    writer.close()
}

fn describe(id: u64, prefix: &IndexPrefix, bytes: u64, inputs: &[Arc<Segment>]) -> SegmentInfo {
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    let mut sources: BTreeMap<SourceId, u64> = BTreeMap::new();
    for info in inputs.iter().map(|segment| &segment.info) {
        for (day, rows) in &info.days {
            *days.entry(*day).or_default() += rows;
        }
        for (source, rows) in &info.sources {
            *sources.entry(*source).or_default() += rows;
        }
    }
    SegmentInfo {
        id,
        prefix: prefix.clone(),
        rows: inputs.iter().map(|segment| segment.info.rows).sum(),
        bytes,
        min_time: inputs.iter().map(|segment| segment.info.min_time).min().unwrap_or(0),
        max_time: inputs.iter().map(|segment| segment.info.max_time).max().unwrap_or(0),
        days: days.into_iter().collect(),
        sources: sources.into_iter().collect(),
        level: inputs.iter().map(|segment| segment.info.level).max().unwrap_or(0) + 1,
    }
}
