//! The course of a search: newest hits first, then what needs every matching row.

use std::sync::Arc;

use weir_model::Timestamp;

use super::super::chunk::SharedChunk;
use super::super::open::{ReadSegmentError, Segment};
use super::super::state::Snapshot;
use super::bind::{Bound, bind};
use super::guard::Guard;
use super::hits::newest;
use super::tally::tally;
use super::unit::Unit;
use crate::error::SearchError;
use crate::query::TimeRange;
use crate::search::{SearchRequest, SearchResponse, SearchStats};

/// A segment or a chunk that has rows of the times asked for.
#[derive(Debug)]
pub(super) struct Part<'a> {
    source: Source<'a>,
    pub(super) max_time: i64,
}

#[derive(Debug)]
enum Source<'a> {
    Segment(&'a Arc<Segment>),
    Chunk(&'a SharedChunk),
}

/// A unit with the query tied to its columns.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) unit: Arc<Unit>,
    pub(super) bound: Arc<Bound>,
    pub(super) max_time: i64,
}

/// What all parts of a search share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) request: &'a SearchRequest,
    pub(super) guard: &'a Guard,
    /// Number of the search.
    number: u64,
    pub(super) rows_scanned: std::cell::Cell<u64>,
}

/// Times from `from` up to but not including `to`, as numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    from: i64,
    to: i64,
}

pub(super) fn run(
    snapshot: &Snapshot,
    request: &SearchRequest,
    guard: &Guard,
    number: u64,
) -> Result<SearchResponse, SearchError> {
    let context = Context { snapshot, request, guard, number, rows_scanned: std::cell::Cell::new(0) };
    let parts = context.parts();
    let page = if request.limit > 0 { newest(&context, &parts)? } else { super::hits::Page::default() };
    let tally = tally(&context, &parts)?;
    Ok(SearchResponse {
        hits: page.hits,
        next: page.next,
        total: tally.total,
        histogram: tally.histogram,
        top: tally.top,
        stats: SearchStats {
            rows_scanned: context.rows_scanned.get(),
            segments: snapshot.segments.len() as u64,
        },
    })
}

pub(super) fn failed(error: ReadSegmentError) -> SearchError {
    SearchError::Failed(Box::new(error))
}

impl<'a> Context<'a> {
    pub(super) fn window(&self) -> Window {
        Window::of(&self.request.range)
    }

    /// Where matches may be, the newest first.
    fn parts(&self) -> Vec<Part<'a>> {
        let window = self.window();
        let segments = self
            .snapshot
            .segments
            .iter()
            .map(|segment| (segment.info.min_time, segment.info.max_time, Source::Segment(segment)));
        let chunks = self.snapshot.chunks.iter();
        let chunks = chunks.map(|chunk| (chunk.min_time, chunk.max_time, Source::Chunk(chunk)));
        let mut parts: Vec<Part<'a>> = segments
            .chain(chunks)
            .filter(|(min_time, max_time, _)| window.overlaps(*min_time, *max_time))
            .map(|(_, max_time, source)| Part { source, max_time })
            .collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.max_time));
        parts
    }

    /// The units of a part, the newest first.
    pub(super) fn open(&self, part: &Part<'_>) -> Result<Vec<Candidate>, SearchError> {
        self.guard.check()?;
        let mut units = match part.source {
            Source::Segment(segment) => {
                segment.searched(self.number);
                Unit::groups(segment).map_err(failed)?
            }
            Source::Chunk(chunk) => vec![Unit::Chunk(Arc::clone(chunk))],
        };
        let Some(first) = units.first() else { return Ok(Vec::new()) };
        let bound = Arc::new(bind(&self.request.query, first, &self.request.prefix));
        if bound.has_words() {
            units.iter_mut().try_for_each(Unit::load_filters).map_err(failed)?;
        }
        let window = self.window();
        let mut candidates: Vec<Candidate> = units
            .into_iter()
            .map(|unit| (unit.times(), unit))
            .filter(|((min_time, max_time), _)| window.overlaps(*min_time, *max_time))
            .map(|((_, max_time), unit)| Candidate {
                unit: Arc::new(unit),
                bound: Arc::clone(&bound),
                max_time,
            })
            .collect();
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.max_time));
        Ok(candidates)
    }

    pub(super) fn scanned(&self, rows: usize) {
        self.rows_scanned.set(self.rows_scanned.get() + rows as u64);
    }
}

impl Window {
    fn of(range: &TimeRange) -> Self {
        Self {
            from: range.from.map_or(i64::MIN, Timestamp::micros),
            to: range.to.map_or(i64::MAX, Timestamp::micros),
        }
    }

    pub(super) fn overlaps(self, min: i64, max: i64) -> bool {
        max >= self.from && (min < self.to || self.to == i64::MAX)
    }

    pub(super) fn covers(self, min: i64, max: i64) -> bool {
        self.contains(min) && self.contains(max)
    }

    pub(super) fn contains(self, time: i64) -> bool {
        time >= self.from && (time < self.to || self.to == i64::MAX)
    }
}
