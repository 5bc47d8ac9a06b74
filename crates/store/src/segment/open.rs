//! A segment that can be read.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Fields};
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use weir_foundation::failure::chain;
use weir_model::{Day, IndexPrefix};

use super::field::Field;
use super::file::{FORMAT, FORMAT_KEY, PAGE_ROWS, SegmentPaths, TIME};
use super::filter::{FilterError, Filters};
use super::pages::{ColumnPages, GroupPages, PositionedFile};
use super::rows::Rows;
use super::source::SourceId;
use super::text_page;

/// What the manifest says of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    pub(super) id: u64,
    pub(super) prefix: IndexPrefix,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    /// Rows by the day that they are filed under, in order of days.
    pub(super) days: Vec<(Day, u64)>,
    /// Rows by source, in order of sources.
    pub(super) sources: Vec<(SourceId, u64)>,
    /// How often its rows were merged.
    pub(super) level: u32,
}

/// A segment that the manifest names. Its files are removed with the last reference once it is retired.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) info: SegmentInfo,
    pub(super) paths: SegmentPaths,
    retired: AtomicBool,
    unmergeable: AtomicBool,
    reported: AtomicBool,
    lacks_filters: AtomicBool,
    decoded_bytes: OnceLock<u64>,
    loaded: Mutex<Loaded>,
    loaded_bytes: AtomicUsize,
    last_search: AtomicU64,
}

/// What was read at the first use, until it is forgotten.
#[derive(Debug, Default)]
struct Loaded {
    contents: Option<Arc<Contents>>,
    filters: Option<Arc<Filters>>,
}

/// What the footer says.
#[derive(Debug)]
pub(super) struct Contents {
    file: PositionedFile,
    metadata: Arc<ParquetMetaData>,
    /// Leaf columns by name, in their order.
    pub(super) columns: Vec<String>,
    pub(super) fields: Vec<(Field, usize)>,
    pub(super) groups: Vec<Group>,
}

/// One row group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) rows: usize,
    /// Columns as they are read: texts that are kept as a dictionary come as one.
    fields: Fields,
    /// Number of its first page in the whole segment.
    pub(super) first_page: usize,
    /// Least and greatest time of each page.
    pub(super) page_times: Vec<(i64, i64)>,
}

/// Why a segment can not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadSegmentError {
    #[error("segment {0} could not be opened")]
    Open(u64, #[source] std::io::Error),
    #[error("segment {0} is damaged")]
    Parquet(u64, #[source] ParquetError),
    #[error("segment {0} is damaged: {1}")]
    Damaged(u64, &'static str),
    #[error("segment {0} has format {1}, this weir reads up to {FORMAT}; use a newer weir")]
    NewerFormat(u64, u32),
    #[error("the filter of segment {0} can not be read")]
    Filter(u64, #[source] FilterError),
    #[error("the rows of segment {0} could not be put together")]
    Arrow(u64, #[source] arrow_schema::ArrowError),
}

impl ReadSegmentError {
    pub(super) fn segment(&self) -> u64 {
        match self {
            Self::Open(id, _)
            | Self::Parquet(id, _)
            | Self::Damaged(id, _)
            | Self::NewerFormat(id, _)
            | Self::Filter(id, _)
            | Self::Arrow(id, _) => *id,
        }
    }

    /// Whether the files are to blame. What can not be opened for another reason may be opened a moment later.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Open(_, error) | Self::Filter(_, FilterError::Io(error)) => {
                error.kind() == std::io::ErrorKind::NotFound
            }
            _ => true,
        }
    }
}

impl Segment {
    pub(super) fn new(info: SegmentInfo, paths: SegmentPaths) -> Self {
        Self {
            info,
            paths,
            retired: AtomicBool::new(false),
            unmergeable: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            lacks_filters: AtomicBool::new(false),
            decoded_bytes: OnceLock::new(),
            loaded: Mutex::default(),
            loaded_bytes: AtomicUsize::new(0),
            last_search: AtomicU64::new(0),
        }
    }

    /// Says that the manifest does not name the segment any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Keeps the segment out of merges: it, or one that it was merged with, can not be read.
    pub(super) fn leave_unmerged(&self) {
        self.unmergeable.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_mergeable(&self) -> bool {
        !self.unmergeable.load(Ordering::Relaxed)
    }

    /// Whether nobody was told yet that it is damaged.
    pub(super) fn is_first_report(&self) -> bool {
        !self.reported.swap(true, Ordering::Relaxed)
    }

    /// About how much memory all its rows take at once; the first call reads the footer.
    pub(super) fn decoded_bytes(&self) -> Result<u64, ReadSegmentError> {
        if let Some(bytes) = self.decoded_bytes.get() {
            return Ok(*bytes);
        }
        let bytes = self.contents()?.decoded_bytes();
        Ok(*self.decoded_bytes.get_or_init(|| bytes))
    }

    /// [`Self::decoded_bytes`], if it was asked for before.
    pub(super) fn known_decoded_bytes(&self) -> Option<u64> {
        self.decoded_bytes.get().copied()
    }

    pub(super) fn contents(&self) -> Result<Arc<Contents>, ReadSegmentError> {
        let mut loaded = self.loaded();
        if let Some(contents) = &loaded.contents {
            return Ok(Arc::clone(contents));
        }
        let contents = Arc::new(Contents::open(self.info.id, &self.paths)?);
        self.loaded_bytes.fetch_add(contents.parquet().memory_size(), Ordering::Relaxed);
        Ok(Arc::clone(loaded.contents.insert(contents)))
    }

    pub(super) fn filters(&self) -> Result<Arc<Filters>, ReadSegmentError> {
        let mut loaded = self.loaded();
        if let Some(filters) = &loaded.filters {
            return Ok(Arc::clone(filters));
        }
        let filters = self.read_filters()?;
        self.loaded_bytes.fetch_add(filters.bytes(), Ordering::Relaxed);
        Ok(Arc::clone(loaded.filters.insert(Arc::new(filters))))
    }

    /// The same, not kept for the next search.
    pub(super) fn read_filters(&self) -> Result<Filters, ReadSegmentError> {
        let read = std::fs::read(&self.paths.filter).map_err(FilterError::Io).and_then(Filters::decode);
        read.map_err(|error| ReadSegmentError::Filter(self.info.id, error))
    }

    /// The filters of its `pages` pages, if they can be read: without them all pages are looked at.
    pub(super) fn sound_filters(&self, pages: usize) -> Option<Arc<Filters>> {
        if self.lacks_filters.load(Ordering::Relaxed) {
            return None;
        }
        let of_these = |filters: Arc<Filters>| match filters.pages() == pages {
            true => Ok(filters),
            false => Err(ReadSegmentError::Damaged(self.info.id, "its filter is of another segment")),
        };
        let filters = self.filters().and_then(of_these);
        if let Err(error) = &filters {
            self.lacks_filters.store(error.is_damage(), Ordering::Relaxed);
            tracing::error!(error = %chain(error), "searches are slower without the words of a segment");
        }
        filters.ok()
    }

    /// Notes that a search looks at the segment; searches are numbered in their order.
    pub(super) fn searched(&self, number: u64) {
        self.last_search.fetch_max(number, Ordering::Relaxed);
    }

    fn forget(&self) {
        let forgotten = {
            let mut loaded = self.loaded();
            self.loaded_bytes.store(0, Ordering::Relaxed);
            std::mem::take(&mut *loaded)
        };
        drop(forgotten);
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what was read of segments beyond `budget` bytes, those first that were searched longest ago.
pub(super) fn forget_beyond(budget: usize, segments: impl Iterator<Item = Arc<Segment>>) {
    let bytes = |segment: &Arc<Segment>| segment.loaded_bytes.load(Ordering::Relaxed);
    let mut loaded: Vec<Arc<Segment>> = segments.filter(|segment| bytes(segment) > 0).collect();
    let mut total: usize = loaded.iter().map(bytes).sum();
    if total <= budget {
        return;
    }
    loaded.sort_by_key(|segment| segment.last_search.load(Ordering::Relaxed));
    for segment in loaded {
        if total <= budget {
            return;
        }
        total -= bytes(&segment);
        segment.forget();
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            for path in [&self.paths.rows, &self.paths.filter] {
                if let Err(error) = std::fs::remove_file(path) {
                    tracing::warn!(path = %path.display(), %error, "a retired segment could not be removed");
                }
            }
        }
    }
}

impl Contents {
    fn open(id: u64, paths: &SegmentPaths) -> Result<Self, ReadSegmentError> {
        let damaged = |error| ReadSegmentError::Parquet(id, error);
        let file = File::open(&paths.rows).map_err(|error| ReadSegmentError::Open(id, error))?;
        let file = PositionedFile::new(file).map_err(|error| ReadSegmentError::Open(id, error))?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let footer = decoded(id, || ArrowReaderMetadata::load(&file, options).map_err(damaged))?;
        check_format(id, footer.metadata())?;
        let columns: Vec<String> =
            footer.schema().fields().iter().map(|field| field.name().clone()).collect();
        let fields = columns
            .iter()
            .enumerate()
            .filter_map(|(index, name)| Field::of_column(name).map(|field| (field, index)))
            .collect();
        let groups = groups(&footer, &columns)
            .ok_or(ReadSegmentError::Damaged(id, "it has no index of pages by time"))?;
        Ok(Self { file, metadata: Arc::clone(footer.metadata()), columns, fields, groups })
    }

    /// Values as they are encoded, and an offset or a length for every row of every column, also where it has
    /// no value.
    fn decoded_bytes(&self) -> u64 {
        const SLOT: usize = 4;
        let slots = self.groups.iter().map(|group| group.rows * self.columns.len()).sum::<usize>();
        let values = self.parquet().row_groups().iter().map(|group| group.total_byte_size());
        values.filter_map(|bytes| u64::try_from(bytes).ok()).sum::<u64>() + (slots * SLOT) as u64
    }

    pub(super) fn pages(&self) -> usize {
        self.groups.iter().map(|group| group.page_times.len()).sum()
    }

    /// The least and the greatest integer of a column's page, if the file says them.
    pub(super) fn ints(&self, group: usize, column: usize, page: usize) -> Option<(i64, i64)> {
        let index = self.metadata.page_index_for_row_group(group);
        let Some(ColumnIndexMetaData::INT64(pages)) = index.column_index(column) else { return None };
        let range = (pages.min_values().get(page)?, pages.max_values().get(page)?);
        (!pages.is_null_page(page)).then_some((*range.0, *range.1))
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    pub(super) fn parquet(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    pub(super) fn source(&self) -> &PositionedFile {
        &self.file
    }

    /// Rows of a row group, the given columns in their order in the file.
    pub(super) fn read(
        &self,
        id: u64,
        group: usize,
        columns: impl IntoIterator<Item = usize>,
        rows: &Rows,
    ) -> Result<RecordBatch, ReadSegmentError> {
        let damaged = |error| ReadSegmentError::Parquet(id, error);
        let arrow = |error| ReadSegmentError::Arrow(id, error);
        let schema = self.parquet().file_metadata().schema_descr();
        let columns = ProjectionMask::leaves(schema, columns);
        let fields = Some(&self.groups[group].fields);
        let levels = parquet_to_arrow_field_levels(schema, columns, fields).map_err(damaged)?;
        let pages = GroupPages::new(&self.file, self.parquet(), group);
        let ranges = rows.ranges().iter().cloned();
        let selection = RowSelection::from_consecutive_ranges(ranges, self.groups[group].rows);
        let batches = decoded(id, || {
            let selection = Some(selection);
            ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, rows.count(), selection)
                .map_err(damaged)?
                .collect::<Result<Vec<_>, _>>()
                .map_err(arrow)
        })?;
        let batch = match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => batch,
            Err(batches) => match batches.first() {
                Some(first) => concat_batches(&first.schema(), &batches).map_err(arrow)?,
                None => return Err(ReadSegmentError::Damaged(id, "it has fewer rows than its footer says")),
            },
        };
        if batch.num_rows() != rows.count() {
            return Err(ReadSegmentError::Damaged(id, "it has fewer rows than its footer says"));
        }
        Ok(batch)
    }

    /// One column of some rows of a row group.
    pub(super) fn read_column(
        &self,
        id: u64,
        group: usize,
        column: usize,
        rows: &Rows,
    ) -> Result<ArrayRef, ReadSegmentError> {
        if let Some(page) = self.page_of_texts(group, column, rows) {
            let texts = decoded(id, || {
                ColumnPages::open(&self.file, self.parquet(), group, column)
                    .and_then(|pages| text_page::read(pages, page, rows.count()))
                    .map_err(|error| ReadSegmentError::Parquet(id, error))
            })?;
            if let Some(texts) = texts {
                return Ok(Arc::new(texts));
            }
        }
        Ok(Arc::clone(self.read(id, group, [column], rows)?.column(0)))
    }

    /// The page that the rows are, if the column is texts.
    fn page_of_texts(&self, group: usize, column: usize, rows: &Rows) -> Option<usize> {
        let [range] = rows.ranges() else { return None };
        let rest = self.groups[group].rows.saturating_sub(range.start);
        let whole = range.start.is_multiple_of(PAGE_ROWS) && range.len() == rest.min(PAGE_ROWS);
        (whole && self.is_plain_text(group, column)).then_some(range.start / PAGE_ROWS)
    }

    /// Whether the column is texts, not references to a dictionary.
    pub(super) fn is_plain_text(&self, group: usize, column: usize) -> bool {
        *self.groups[group].fields[column].data_type() == DataType::Utf8
    }
}

/// What a decoder makes of the bytes of a file. Those of Parquet panic at some bytes, which are damaged then.
fn decoded<T>(id: u64, decode: impl FnOnce() -> Result<T, ReadSegmentError>) -> Result<T, ReadSegmentError> {
    // A decoder and what it has made so far end with the panic; nothing else is changed by it.
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    outcome.unwrap_or(Err(ReadSegmentError::Damaged(id, "its bytes can not be decoded")))
}

fn check_format(id: u64, metadata: &ParquetMetaData) -> Result<(), ReadSegmentError> {
    let format = metadata
        .file_metadata()
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == FORMAT_KEY))
        .and_then(|pair| pair.value.as_deref()?.parse().ok())
        // Formats are numbered from 1.
        .filter(|format| *format > 0)
        .ok_or(ReadSegmentError::Damaged(id, "it does not name its format"))?;
    if format > FORMAT { Err(ReadSegmentError::NewerFormat(id, format)) } else { Ok(()) }
}

fn with_dictionaries(fields: &Fields, group: &RowGroupMetaData) -> Fields {
    let columns = fields.iter().zip(group.columns());
    let of_group = columns.map(|(field, chunk)| match field.data_type() {
        DataType::Utf8 if chunk.dictionary_page_offset().is_some() => {
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Arc::new(field.as_ref().clone().with_data_type(dictionary))
        }
        _ => Arc::clone(field),
    });
    of_group.collect()
}

fn groups(footer: &ArrowReaderMetadata, columns: &[String]) -> Option<Vec<Group>> {
    let metadata = footer.metadata();
    let time = columns.iter().position(|name| name == TIME)?;
    let mut groups = Vec::with_capacity(metadata.num_row_groups());
    let mut first_page = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let pages = metadata.page_index_for_row_group(index);
        let Some(ColumnIndexMetaData::INT64(pages)) = pages.column_index(time) else { return None };
        let rows = usize::try_from(group.num_rows()).ok()?;
        let page_times: Vec<_> = pages
            .min_values_iter()
            .zip(pages.max_values_iter())
            .map(|(min, max)| Some((*min?, *max?)))
            .collect::<Option<_>>()?;
        if page_times.len() != rows.div_ceil(PAGE_ROWS) {
            return None;
        }
        let pages = page_times.len();
        let fields = with_dictionaries(footer.schema().fields(), group);
        // Most are alike, and segments are many.
        let before = groups.last().map(|before: &Group| &before.fields);
        let fields = before.filter(|before| **before == fields).cloned().unwrap_or(fields);
        groups.push(Group { rows, fields, first_page, page_times });
        first_page += pages;
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_has_found_damage() {
        let outcome: Result<(), _> = decoded(7, || panic!("Num of bytes exceed MAX_VLQ_BYTE_LEN"));
        let error = outcome.expect_err("it is damaged");
        assert!(error.is_damage());
        assert_eq!(error.to_string(), "segment 7 is damaged: its bytes can not be decoded");
    }
}
