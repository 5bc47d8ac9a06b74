//! The course of a search: newest hits first, then what needs every matching row.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use weir_foundation::failure::chain;
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
use crate::search::{SearchRequest, SearchResponse, SearchStats, Unreadable};

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
    pub(super) rows_scanned: Cell<u64>,
    /// What is wrong with segments, by their ids.
    unreadable: RefCell<BTreeMap<u64, ReadSegmentError>>,
}

/// What ends a look at a part.
#[derive(Debug)]
pub(super) enum Interruption {
    Search(SearchError),
    Segment(ReadSegmentError),
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
    let context = Context {
        snapshot,
        request,
        guard,
        number,
        rows_scanned: Cell::new(0),
        unreadable: RefCell::default(),
    };
    let parts = context.parts();
    let page = if request.limit > 0 { newest(&context, &parts)? } else { super::hits::Page::default() };
    let tally = tally(&context, &parts)?;
    Ok(SearchResponse {
        hits: page.hits,
        next: page.next,
        total: tally.total,
        histogram: tally.histogram,
        top: tally.top,
        unreadable: context.unreadable(),
        stats: SearchStats {
            rows_scanned: context.rows_scanned.get(),
            segments: snapshot.segments.len() as u64,
        },
    })
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
    pub(super) fn open(&self, part: &Part<'_>) -> Result<Vec<Candidate>, Interruption> {
        self.guard.check()?;
        let mut units = match part.source {
            Source::Segment(segment) => {
                segment.searched(self.number);
                Unit::groups(segment)?
            }
            Source::Chunk(chunk) => vec![Unit::Chunk(Arc::clone(chunk))],
        };
        let Some(first) = units.first() else { return Ok(Vec::new()) };
        let bound = Arc::new(bind(&self.request.query, first, &self.request.prefix));
        if bound.has_words() {
            Unit::load_filters(&mut units);
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

    /// What was found, or nothing if that part of its segment is damaged: the search goes on without it.
    pub(super) fn readable<T: Default>(&self, found: Result<T, Interruption>) -> Result<T, SearchError> {
        match found {
            Ok(found) => Ok(found),
            Err(Interruption::Segment(error)) if error.is_damage() => {
                self.unreadable.borrow_mut().entry(error.segment()).or_insert(error);
                Ok(T::default())
            }
            Err(Interruption::Segment(error)) => Err(SearchError::Failed(Box::new(error))),
            Err(Interruption::Search(error)) => Err(error),
        }
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        let unreadable = self.unreadable.borrow();
        let segments = self.snapshot.segments.iter();
        segments
            .filter_map(|segment| Some((segment, unreadable.get(&segment.info.id)?)))
            .map(|(segment, error)| {
                let reason = chain(error).to_string();
                if segment.is_first_report() {
                    tracing::error!(error = %reason, "searches go on without a part of the index");
                }
                let time = Timestamp::from_micros;
                Unreadable { from: time(segment.info.min_time), to: time(segment.info.max_time), reason }
            })
            .collect()
    }

    pub(super) fn scanned(&self, rows: usize) {
        self.rows_scanned.set(self.rows_scanned.get() + rows as u64);
    }
}

impl From<SearchError> for Interruption {
    fn from(error: SearchError) -> Self {
        Self::Search(error)
    }
}

impl From<ReadSegmentError> for Interruption {
    fn from(error: ReadSegmentError) -> Self {
        Self::Segment(error)
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
