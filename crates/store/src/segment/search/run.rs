//! The course of a search: newest hits first, then what needs every matching row.

use std::sync::Arc;

use weir_model::{IndexPrefix, Timestamp};

use super::super::open::ReadSegmentError;
use super::super::state::Snapshot;
use super::bind::{Bound, bind};
use super::guard::Guard;
use super::hits::newest;
use super::tally::tally;
use super::unit::Unit;
use crate::error::SearchError;
use crate::query::{Query, TimeRange};
use crate::search::{SearchRequest, SearchResponse, SearchStats};

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
) -> Result<SearchResponse, SearchError> {
    let context = Context { snapshot, request, guard, rows_scanned: std::cell::Cell::new(0) };
    let mut candidates = candidates(snapshot, &request.query, &request.prefix, context.window())?;
    let page = if request.limit > 0 {
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.max_time));
        newest(&context, &candidates)?
    } else {
        super::hits::Page::default()
    };
    let tally = tally(&context, &candidates)?;
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

fn candidates(
    snapshot: &Snapshot,
    query: &Query,
    prefix: &IndexPrefix,
    window: Window,
) -> Result<Vec<Candidate>, SearchError> {
    let mut candidates = Vec::new();
    let mut add = |units: Vec<Unit>| {
        let Some(first) = units.first() else { return };
        let bound = Arc::new(bind(query, first, prefix));
        for unit in units {
            let (min_time, max_time) = unit.times();
            if window.overlaps(min_time, max_time) {
                let bound = Arc::clone(&bound);
                candidates.push(Candidate { unit: Arc::new(unit), bound, max_time });
            }
        }
    };
    for segment in &snapshot.segments {
        if window.overlaps(segment.info.min_time, segment.info.max_time) {
            add(Unit::groups(segment).map_err(failed)?);
        }
    }
    for chunk in &snapshot.chunks {
        add(vec![Unit::Chunk(Arc::clone(chunk))]);
    }
    Ok(candidates)
}

pub(super) fn failed(error: ReadSegmentError) -> SearchError {
    SearchError::Failed(Box::new(error))
}

impl Context<'_> {
    pub(super) fn window(&self) -> Window {
        Window::of(&self.request.range)
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
