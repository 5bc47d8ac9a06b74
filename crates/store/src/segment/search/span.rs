//! Rows of a unit with the columns that were loaded for them, each once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray};
use arrow_buffer::ScalarBuffer;

use super::super::open::ReadSegmentError;
use super::super::rows::Rows;
use super::unit::Unit;
use crate::query::append_lowered;

#[derive(Debug)]
pub(super) struct Span {
    pub(super) unit: Arc<Unit>,
    pub(super) rows: Range<usize>,
    /// First page of the rows and the page after the last.
    pub(super) pages: Range<usize>,
    columns: RefCell<HashMap<usize, ArrayRef>>,
    lowered: RefCell<HashMap<usize, Rc<Lowered>>>,
    times: RefCell<Option<ScalarBuffer<i64>>>,
}

/// The texts of a column in lower case, one after the other; text `n` ends at `ends[n]`.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

impl Lowered {
    fn of(texts: &StringArray) -> Self {
        let offsets = texts.value_offsets();
        let at = |offset: i32| usize::try_from(offset).expect("Arrow's offsets are not negative");
        let (first, last) = (at(offsets[0]), at(offsets[texts.len()]));
        let all = &texts.value_data()[first..last];
        if all.is_ascii() {
            // Lowered ASCII is as long as before.
            let ends = offsets[1..=texts.len()].iter().map(|end| at(*end) - first).collect();
            return Self { bytes: all.to_ascii_lowercase(), ends };
        }
        let mut bytes = Vec::with_capacity(all.len());
        let ends = (0..texts.len()).map(|row| {
            append_lowered(texts.value(row), &mut bytes);
            bytes.len()
        });
        let ends = ends.collect();
        Self { bytes, ends }
    }

    pub(super) fn text(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

impl Span {
    pub(super) fn new(unit: &Arc<Unit>, pages: Range<usize>) -> Self {
        Self {
            unit: Arc::clone(unit),
            rows: unit.page(pages.start).start..unit.page(pages.end - 1).end,
            pages,
            columns: RefCell::default(),
            lowered: RefCell::default(),
            times: RefCell::default(),
        }
    }

    pub(super) fn rows(&self) -> Rows {
        Rows::from(self.rows.clone())
    }

    pub(super) fn column(&self, field: usize) -> Result<ArrayRef, ReadSegmentError> {
        if let Some(column) = self.columns.borrow().get(&field) {
            return Ok(Arc::clone(column));
        }
        let column = self.unit.load(field, &self.rows())?;
        self.columns.borrow_mut().insert(field, Arc::clone(&column));
        Ok(column)
    }

    /// The columns that were read so far, by field.
    pub(super) fn columns(&self) -> HashMap<usize, ArrayRef> {
        self.columns.borrow().clone()
    }

    /// What `lowered` made for another part of the query.
    pub(super) fn lowered_before(&self, field: usize) -> Option<Rc<Lowered>> {
        self.lowered.borrow().get(&field).cloned()
    }

    pub(super) fn lowered(&self, field: usize, texts: &StringArray) -> Rc<Lowered> {
        if let Some(lowered) = self.lowered.borrow().get(&field) {
            return Rc::clone(lowered);
        }
        let lowered = Rc::new(Lowered::of(texts));
        self.lowered.borrow_mut().insert(field, Rc::clone(&lowered));
        lowered
    }

    pub(super) fn times(&self) -> Result<ScalarBuffer<i64>, ReadSegmentError> {
        if let Some(times) = &*self.times.borrow() {
            return Ok(times.clone());
        }
        let times = self.unit.load_times(&self.rows())?;
        *self.times.borrow_mut() = Some(times.clone());
        Ok(times)
    }
}
