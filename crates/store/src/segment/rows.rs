//! Some rows of a chunk or a row group.

use std::ops::Range;

/// Rows in ascending order, as ranges that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    ranges: Vec<Range<usize>>,
    count: usize,
}

impl Rows {
    pub(super) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl From<Range<usize>> for Rows {
    fn from(range: Range<usize>) -> Self {
        Self { count: range.len(), ranges: vec![range] }
    }
}

/// From rows in ascending order.
impl FromIterator<usize> for Rows {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut count = 0;
        for row in rows {
            count += 1;
            match ranges.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => ranges.push(row..row + 1),
            }
        }
        Self { ranges, count }
    }
}
