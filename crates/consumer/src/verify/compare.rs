use std::iter::Peekable;
use std::vec::IntoIter;

use weir_model::Offset;
use weir_store::PositionRun;

/// Compares the records of a partition with the store's runs, both in order of their offsets.
///
/// Records come first, one by one with [`record`](Comparison::record) and, where the journal has none any more,
/// [`gap`](Comparison::gap); each answers how the runs of those offsets differ.
#[derive(Debug)]
pub struct Comparison {
    runs: Peekable<IntoIter<PositionRun>>,
}

/// How rows differ from records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that are as they should be.
    pub found: u64,
    pub missing: Vec<PositionRun>,
    pub surplus: Vec<PositionRun>,
}

impl Comparison {
    /// `runs` in the order of positions.
    #[must_use]
    pub fn new(runs: Vec<PositionRun>) -> Self {
        Self { runs: runs.into_iter().peekable() }
    }

    /// The next record, which has `events` events.
    pub fn record(&mut self, offset: Offset, events: u32) -> Difference {
        let mut difference = Difference::default();
        self.surplus_below(offset, &mut difference);
        let mut expected = 0;
        while let Some(run) = self.runs.next_if(|run| run.offset == offset) {
            let end = run.first_index.saturating_add(run.count);
            // What was there before, or is beyond the record, is one too many.
            let good_from = run.first_index.max(expected).min(end);
            let good_to = end.min(events).max(good_from);
            difference.surplus.extend(piece(offset, run.first_index, good_from));
            difference.surplus.extend(piece(offset, good_to, end));
            difference.missing.extend(piece(offset, expected, good_from.min(events)));
            difference.found += u64::from(good_to - good_from);
            expected = expected.max(good_to);
        }
        difference.missing.extend(piece(offset, expected, events));
        difference
    }

    /// Offsets below `to` that the journal can not read: the rows there are passed over.
    pub fn gap(&mut self, from: Offset, to: Offset) -> Difference {
        let mut difference = Difference::default();
        self.surplus_below(from, &mut difference);
        while self.runs.next_if(|run| run.offset < to).is_some() {}
        difference
    }

    /// Everything that is left is of no record.
    pub fn finish(self) -> Difference {
        Difference { surplus: self.runs.collect(), ..Difference::default() }
    }

    fn surplus_below(&mut self, offset: Offset, difference: &mut Difference) {
        while let Some(run) = self.runs.next_if(|run| run.offset < offset) {
            difference.surplus.push(run);
        }
    }
}

fn piece(offset: Offset, from: u32, to: u32) -> Option<PositionRun> {
    (from < to).then(|| PositionRun { offset, first_index: from, count: to - from })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(offset: u64, first_index: u32, count: u32) -> PositionRun {
        PositionRun { offset: Offset(offset), first_index, count }
    }

    /// One record with five events at offset 7.
    #[track_caller]
    fn check(runs: &[PositionRun], found: u64, missing: &[PositionRun], surplus: &[PositionRun]) {
        let mut comparison = Comparison::new(runs.to_vec());
        let difference = comparison.record(Offset(7), 5);
        let expected = Difference { found, missing: missing.to_vec(), surplus: surplus.to_vec() };
        assert_eq!(difference, expected, "{runs:?}");
    }

    #[test]
    fn a_record_is_covered_once() {
        check(&[run(7, 0, 5)], 5, &[], &[]);
        check(&[run(7, 0, 2), run(7, 2, 3)], 5, &[], &[]);
        check(&[], 0, &[run(7, 0, 5)], &[]);
        check(&[run(7, 1, 1), run(7, 3, 1)], 2, &[run(7, 0, 1), run(7, 2, 1), run(7, 4, 1)], &[]);
        check(&[run(7, 0, 7)], 5, &[], &[run(7, 5, 2)]);
        check(&[run(7, 0, 4), run(7, 3, 2)], 5, &[], &[run(7, 3, 1)]);
        check(&[run(7, 0, 5), run(7, 1, 2)], 5, &[], &[run(7, 1, 2)]);
        check(&[run(7, 8, 2)], 0, &[run(7, 0, 5)], &[run(7, 8, 2)]);
        check(&[run(6, 0, 1), run(7, 0, 5), run(8, 0, 1)], 5, &[], &[run(6, 0, 1)]);
    }

    #[test]
    fn rows_in_a_gap_can_not_be_judged() {
        let mut comparison = Comparison::new(vec![run(1, 0, 1), run(3, 0, 9), run(4, 0, 1), run(5, 0, 1)]);
        assert_eq!(comparison.gap(Offset(2), Offset(5)).surplus, [run(1, 0, 1)]);
        assert_eq!(comparison.finish().surplus, [run(5, 0, 1)]);
    }
}
