//! What is searched at a time: a chunk in memory or a row group of a segment, with one way to look at both.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, PrimitiveArray, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_select::take::take;

use super::super::chunk::{Chunk, Heads};
use super::super::field::Field;
use super::super::file::{INDEX, OFFSET, PAGE_ROWS, RAW, RECEIVED, REST, SOURCE, TIME};
use super::super::filter::{Filters, TokenKey};
use super::super::merge::heads_of;
use super::super::open::{Contents, ReadSegmentError, Segment};
use super::super::rows::Rows;
use super::super::source::Sources;

#[derive(Debug)]
pub(super) enum Unit {
    Chunk(Arc<Chunk>),
    Group {
        segment: Arc<Segment>,
        contents: Arc<Contents>,
        /// Absent if the query has no word that they could tell of.
        filters: Option<Arc<Filters>>,
        group: usize,
    },
}

impl Unit {
    /// The row groups of a segment.
    pub(super) fn groups(segment: &Arc<Segment>) -> Result<Vec<Self>, ReadSegmentError> {
        let contents = segment.contents()?;
        let group = |group| {
            let (segment, contents) = (Arc::clone(segment), Arc::clone(&contents));
            Self::Group { segment, contents, filters: None, group }
        };
        Ok((0..contents.groups.len()).map(group).collect())
    }

    /// Lets the units of one segment know its words.
    pub(super) fn load_filters(units: &mut [Self]) {
        let Some(Self::Group { segment, contents, .. }) = units.first() else { return };
        let loaded = segment.sound_filters(contents.pages());
        for unit in units {
            if let Self::Group { filters, .. } = unit {
                filters.clone_from(&loaded);
            }
        }
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.rows(),
            Self::Group { contents, group, .. } => contents.groups[*group].rows,
        }
    }

    /// Pages in order; only the rows of a group are in order of time.
    pub(super) fn pages(&self) -> usize {
        match self {
            Self::Chunk(_) => 1,
            Self::Group { contents, group, .. } => contents.groups[*group].page_times.len(),
        }
    }

    /// The rows of a page.
    pub(super) fn page(&self, page: usize) -> Range<usize> {
        match self {
            Self::Chunk(chunk) => 0..chunk.rows(),
            Self::Group { .. } => page * PAGE_ROWS..self.rows().min((page + 1) * PAGE_ROWS),
        }
    }

    /// Least and greatest time of a page.
    pub(super) fn page_times(&self, page: usize) -> (i64, i64) {
        match self {
            Self::Chunk(chunk) => (chunk.min_time, chunk.max_time),
            Self::Group { contents, group, .. } => contents.groups[*group].page_times[page],
        }
    }

    pub(super) fn times(&self) -> (i64, i64) {
        let min = (0..self.pages()).map(|page| self.page_times(page).0).min();
        let max = (0..self.pages()).map(|page| self.page_times(page).1).max();
        (min.unwrap_or(i64::MAX), max.unwrap_or(i64::MIN))
    }

    pub(super) fn fields(&self) -> Vec<&Field> {
        match self {
            Self::Chunk(chunk) => chunk.fields.iter().map(|(field, _)| field).collect(),
            Self::Group { contents, .. } => contents.fields.iter().map(|(field, _)| field).collect(),
        }
    }

    /// Whether some row keeps more than its columns say.
    pub(super) fn has_leftovers(&self) -> bool {
        match self {
            Self::Chunk(chunk) => chunk.raw.is_some() || chunk.rest.is_some(),
            Self::Group { contents, .. } => contents.column(RAW).is_some() || contents.column(REST).is_some(),
        }
    }

    /// Whether the page may hold the word; false only if it does not.
    pub(super) fn may_contain(&self, page: usize, key: TokenKey) -> bool {
        match self {
            Self::Chunk(_) => true,
            Self::Group { contents, filters, group, .. } => filters
                .as_ref()
                .is_none_or(|filters| filters.may_contain(contents.groups[*group].first_page + page, key)),
        }
    }

    /// The least and the greatest integer of a field in a page, if that is known.
    pub(super) fn ints(&self, page: usize, field: usize) -> Option<(i64, i64)> {
        match self {
            Self::Chunk(_) => None,
            Self::Group { contents, group, .. } => contents.ints(*group, contents.fields[field].1, page),
        }
    }

    /// Whether a field's texts are on the disk one by one, and not as references to a few.
    pub(super) fn is_plain_text(&self, field: usize) -> bool {
        match self {
            Self::Chunk(_) => false,
            Self::Group { contents, group, .. } => contents.is_plain_text(*group, contents.fields[field].1),
        }
    }

    /// A field's column.
    pub(super) fn load(&self, field: usize, rows: &Rows) -> Result<ArrayRef, ReadSegmentError> {
        match self {
            Self::Chunk(chunk) => Ok(pick(&chunk.fields[field].1, rows)),
            Self::Group { segment, contents, group, .. } => {
                contents.read_column(segment.info.id, *group, contents.fields[field].1, rows)
            }
        }
    }

    /// The columns of some fields, which are in ascending order.
    pub(super) fn load_together(
        &self,
        fields: &[usize],
        rows: &Rows,
    ) -> Result<Vec<ArrayRef>, ReadSegmentError> {
        match self {
            Self::Chunk(chunk) => {
                Ok(fields.iter().map(|field| pick(&chunk.fields[*field].1, rows)).collect())
            }
            Self::Group { segment, contents, group, .. } => {
                let columns = fields.iter().map(|field| contents.fields[*field].1);
                let batch = contents.read(segment.info.id, *group, columns, rows)?;
                Ok(batch.columns().to_vec())
            }
        }
    }

    pub(super) fn load_raw(&self, rows: &Rows) -> Result<Option<ArrayRef>, ReadSegmentError> {
        match self {
            Self::Chunk(chunk) => Ok(chunk.raw.as_ref().map(|raw| pick(raw, rows))),
            Self::Group { .. } => self.load_named(RAW, rows),
        }
    }

    pub(super) fn load_rest(&self, rows: &Rows) -> Result<Option<ArrayRef>, ReadSegmentError> {
        match self {
            Self::Chunk(chunk) => Ok(chunk.rest.as_ref().map(|rest| pick(rest, rows))),
            Self::Group { .. } => self.load_named(REST, rows),
        }
    }

    fn load_named(&self, name: &str, rows: &Rows) -> Result<Option<ArrayRef>, ReadSegmentError> {
        let Self::Group { segment, contents, group, .. } = self else { return Ok(None) };
        let Some(column) = contents.column(name) else { return Ok(None) };
        contents.read_column(segment.info.id, *group, column, rows).map(Some)
    }

    pub(super) fn load_times(&self, rows: &Rows) -> Result<ScalarBuffer<i64>, ReadSegmentError> {
        match self {
            Self::Chunk(chunk) => Ok(ScalarBuffer::from(picked(&chunk.heads.times, rows))),
            Self::Group { segment, .. } => {
                let id = segment.info.id;
                let times =
                    self.load_named(TIME, rows)?.ok_or(ReadSegmentError::Damaged(id, "it has no times"))?;
                let times = times
                    .as_any()
                    .downcast_ref::<PrimitiveArray<TimestampMicrosecondType>>()
                    .ok_or(ReadSegmentError::Damaged(id, "its times are no times"))?;
                Ok(times.values().clone())
            }
        }
    }

    /// The columns that every row has.
    pub(super) fn load_heads(&self, rows: &Rows, sources: &Sources) -> Result<Heads, ReadSegmentError> {
        match self {
            Self::Chunk(chunk) => {
                let Heads { times, received, sources, offsets, indexes } = &chunk.heads;
                Ok(Heads {
                    times: picked(times, rows),
                    received: picked(received, rows),
                    sources: picked(sources, rows),
                    offsets: picked(offsets, rows),
                    indexes: picked(indexes, rows),
                })
            }
            Self::Group { segment, contents, group, .. } => {
                let id = segment.info.id;
                let columns =
                    [TIME, RECEIVED, SOURCE, OFFSET, INDEX].iter().filter_map(|name| contents.column(name));
                let batch = contents.read(id, *group, columns, rows)?;
                heads_of(&batch, sources)
                    .ok_or(ReadSegmentError::Damaged(id, "a column of positions is missing"))
            }
        }
    }
}

/// Some rows of a column, which has them.
pub(super) fn pick(column: &ArrayRef, rows: &Rows) -> ArrayRef {
    if rows.count() == column.len() {
        return Arc::clone(column);
    }
    // Not a slice, which would keep the whole column in memory.
    let rows = rows.ranges().iter().cloned().flatten();
    let rows = rows.map(|row| u32::try_from(row).expect("a unit has fewer rows than u32::MAX"));
    take(column, &UInt32Array::from_iter_values(rows), None).expect("the column has the rows")
}

fn picked<T: Copy>(values: &[T], rows: &Rows) -> Vec<T> {
    rows.ranges().iter().flat_map(|range| &values[range.clone()]).copied().collect()
}
