//! Merging: fewer and larger segments, each of one day.
//!
//! Small segments and segments of several days are rewritten: decoded, put in order, split by day. Large
//! ones of one day are joined: their row groups are copied as they are, which costs a twentieth of that,
//! because a row group is in order and has its filters already.
//!
//! What is rewritten at once is bounded by rows and by decoded bytes, since events may be of any size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_model::{Day, IndexPrefix, Timestamp};

use super::chunk::Heads;
use super::error::WorkError;
use super::file::{self, GROUP_ROWS, SegmentPaths};
use super::gather::{RowRef, gather, in_time_order};
use super::manifest::Change;
use super::open::{ReadSegmentError, Segment, SegmentInfo};
use super::schema::COLUMN_LIMIT;
use super::section::FilingWindow;
use super::source::SourceId;
use super::state::Advance;
use super::store::Shared;
use super::worker::{HEAD_BYTES, apply, check_space, remove, settle};

mod join;
mod load;

pub(super) use load::{heads_of, sources_of};

/// Segments below this many rows and decoded bytes are small.
const SMALL_ROWS: u64 = GROUP_ROWS as u64 / 2;
const SMALL_BYTES: u64 = HEAD_BYTES as u64 / 2;
/// Small segments of a day that make a merge worth while.
const SMALL_COUNT: usize = 8;
/// Segments of several days that make a split worth while.
const SPLIT_COUNT: usize = 4;
/// Rows and decoded bytes that are rewritten at once, which bounds memory. Several small segments fit.
const REWRITE_ROWS: u64 = 2 * GROUP_ROWS as u64;
const REWRITE_BYTES: u64 = 2 * HEAD_BYTES as u64;
/// Places for values that are rewritten at once: every row has one in every column.
const REWRITE_SLOTS: u64 = 16 << 20;
/// Columns of one segment at most. A head has fewer; what is merged must not add up to any number of them.
const COLUMNS: usize = 2 * COLUMN_LIMIT;
/// Segments of one level that are joined into one of the next.
const JOIN_COUNT: usize = 16;
/// Segments of this level stay as they are: about 16 million rows.
const LAST_LEVEL: u32 = 2;

/// A piece of work: segments of one prefix that become others.
enum Plan {
    /// Of these as many as there is memory for.
    Rewrite(Vec<Arc<Segment>>),
    /// Of these the first ones that are alike enough.
    Join(Vec<Arc<Segment>>),
}

/// Segments for one merge, and what they come to together.
#[derive(Default)]
struct Selection {
    segments: Vec<Arc<Segment>>,
    columns: BTreeSet<String>,
    rows: u64,
    bytes: u64,
}

/// Does the next merge, if there is one to do.
pub(super) fn merge_one(shared: &Shared) -> Result<(), WorkError> {
    let found = shared
        .state()
        .segments
        .iter()
        .find_map(|(prefix, segments)| plan(segments).map(|plan| (prefix.clone(), plan)));
    let Some((prefix, plan)) = found else { return Ok(()) };
    settle(shared)?;
    check_space(shared)?;
    let (inputs, outputs) = match plan {
        Plan::Rewrite(candidates) => match rewritable(&candidates) {
            Ok(inputs) if inputs.len() < 2 && inputs.iter().all(|input| is_of_one_day(input)) => {
                // Of the others none is small, as is known now, or all are too different from it.
                if candidates.iter().filter(|candidate| is_small(candidate)).count() > 1 {
                    inputs.iter().for_each(|segment| segment.leave_unmerged());
                }
                return Ok(());
            }
            Ok(inputs) => {
                let outputs = rewrite(shared, &prefix, &inputs);
                (inputs, outputs)
            }
            Err(error) => (candidates, Err(error.into())),
        },
        Plan::Join(candidates) => match joinable(&candidates) {
            Ok(inputs) if inputs.len() < 2 => {
                inputs.iter().for_each(|segment| segment.leave_unmerged());
                return Ok(());
            }
            Ok(inputs) => {
                let outputs = join::join(shared, &prefix, &inputs).map(|output| vec![output]);
                (inputs, outputs)
            }
            Err(error) => (candidates, Err(error.into())),
        },
    };
    shared.forget_old();
    match outputs {
        Ok(outputs) => commit(shared, &prefix, &inputs, outputs),
        Err(WorkError::Read(error)) => {
            // One damaged segment must not stop the worker; its readable rows stay searchable.
            tracing::error!(error = %weir_foundation::failure::chain(&error), "segments are left unmerged");
            unmergeable(&inputs).for_each(|segment| segment.leave_unmerged());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Those whose footer or filter can not be read; all of them if the damage lies deeper, in some row.
fn unmergeable(inputs: &[Arc<Segment>]) -> impl Iterator<Item = &Arc<Segment>> {
    let is_damaged = |segment: &Segment| segment.contents().is_err() || segment.read_filters().is_err();
    let damaged: Vec<bool> = inputs.iter().map(|segment| is_damaged(segment)).collect();
    let deeper = !damaged.contains(&true);
    inputs.iter().zip(damaged).filter(move |(_, damaged)| deeper || *damaged).map(|(segment, _)| segment)
}

fn plan(segments: &[Arc<Segment>]) -> Option<Plan> {
    let mergeable = || segments.iter().filter(|segment| segment.is_mergeable());
    let split: Vec<_> = mergeable().filter(|segment| !is_of_one_day(segment)).cloned().collect();
    if split.len() >= SPLIT_COUNT {
        return Some(Plan::Rewrite(split));
    }
    let mut small: BTreeMap<Day, Vec<Arc<Segment>>> = BTreeMap::new();
    let mut large: BTreeMap<(Day, u32), Vec<Arc<Segment>>> = BTreeMap::new();
    for segment in mergeable() {
        let [(day, _)] = segment.info.days[..] else { continue };
        if is_small(segment) {
            small.entry(day).or_default().push(Arc::clone(segment));
        } else if segment.info.level < LAST_LEVEL {
            large.entry((day, segment.info.level)).or_default().push(Arc::clone(segment));
        }
    }
    if let Some(candidates) = small.into_values().find(|of_day| of_day.len() >= SMALL_COUNT) {
        return Some(Plan::Rewrite(candidates));
    }
    let mut large = large.into_values().find(|of_level| of_level.len() >= JOIN_COUNT)?;
    large.truncate(JOIN_COUNT);
    Some(Plan::Join(large))
}

fn is_of_one_day(segment: &Segment) -> bool {
    segment.info.days.len() == 1
}

/// As far as is known without reading it.
fn is_small(segment: &Segment) -> bool {
    segment.info.rows < SMALL_ROWS && segment.known_decoded_bytes().is_none_or(|bytes| bytes < SMALL_BYTES)
}

/// Those of them that are small or of several days, as many as may be rewritten at once.
fn rewritable(candidates: &[Arc<Segment>]) -> Result<Vec<Arc<Segment>>, ReadSegmentError> {
    let mut selection = Selection::default();
    for segment in candidates {
        segment.decoded_bytes()?;
        if is_small(segment) || !is_of_one_day(segment) {
            let fits = |all: &Selection| {
                all.rows <= REWRITE_ROWS && all.bytes <= REWRITE_BYTES && all.slots() <= REWRITE_SLOTS
            };
            selection.add_if(segment, fits)?;
        }
    }
    Ok(selection.segments)
}

fn joinable(candidates: &[Arc<Segment>]) -> Result<Vec<Arc<Segment>>, ReadSegmentError> {
    let mut selection = Selection::default();
    candidates.iter().try_for_each(|segment| selection.add_if(segment, |_| true))?;
    Ok(selection.segments)
}

impl Selection {
    fn slots(&self) -> u64 {
        self.rows * self.columns.len() as u64
    }

    /// Adds a segment if all of them do not have too many columns then and `fits`; the first one always fits.
    fn add_if(
        &mut self,
        segment: &Arc<Segment>,
        fits: impl Fn(&Self) -> bool,
    ) -> Result<(), ReadSegmentError> {
        let mut with = Self {
            segments: Vec::new(),
            columns: self.columns.clone(),
            rows: self.rows + segment.info.rows,
            bytes: self.bytes + segment.decoded_bytes()?,
        };
        with.columns.extend(segment.contents()?.columns.iter().cloned());
        if self.segments.is_empty() || (with.columns.len() <= COLUMNS && fits(&with)) {
            with.segments = std::mem::take(&mut self.segments);
            with.segments.push(Arc::clone(segment));
            *self = with;
        }
        Ok(())
    }
}

fn rewrite(
    shared: &Shared,
    prefix: &IndexPrefix,
    inputs: &[Arc<Segment>],
) -> Result<Vec<(SegmentInfo, SegmentPaths)>, WorkError> {
    let sources = shared.state().sources.clone();
    let mut chunks = Vec::new();
    for segment in inputs {
        load::load(segment, &sources, &mut chunks)?;
    }
    let mut by_day: BTreeMap<Day, Vec<RowRef>> = BTreeMap::new();
    for (chunk, row) in in_time_order(&chunks) {
        let heads = &chunks[chunk].heads;
        by_day.entry(day_of(heads, row, shared.settings.filing)).or_default().push((chunk, row));
    }
    let mut outputs: Vec<(SegmentInfo, SegmentPaths)> = Vec::new();
    for rows in by_day.values() {
        let written = (|| {
            let gathered = gather(&chunks, rows)?;
            let (id, paths) = shared.new_segment(prefix)?;
            let bytes = file::write(&paths, &gathered, &sources).inspect_err(|_| remove(&paths))?;
            Ok((describe(id, prefix, bytes, &gathered.heads, shared.settings.filing, 0), paths))
        })();
        match written {
            Ok(output) => outputs.push(output),
            Err(error) => {
                outputs.iter().for_each(|(_, paths)| remove(paths));
                return Err(error);
            }
        }
    }
    Ok(outputs)
}

fn commit(
    shared: &Shared,
    prefix: &IndexPrefix,
    inputs: &[Arc<Segment>],
    outputs: Vec<(SegmentInfo, SegmentPaths)>,
) -> Result<(), WorkError> {
    let gone: Vec<u64> = inputs.iter().map(|segment| segment.info.id).collect();
    let add = outputs.iter().map(|(info, _)| info).collect();
    let change = Change { add, remove: gone.clone(), ..Change::default() };
    let files: Vec<&SegmentPaths> = outputs.iter().map(|(_, paths)| paths).collect();
    apply(shared, change, &Advance::default(), &files)?;
    let rows: u64 = outputs.iter().map(|(info, _)| info.rows).sum();
    shared.counters.merged.fetch_add(outputs.len() as u64, Ordering::Relaxed);
    shared.counters.merged_rows.fetch_add(rows, Ordering::Relaxed);
    let new = outputs.into_iter().map(|(info, paths)| Arc::new(Segment::new(info, paths))).collect();
    shared.state().replace(prefix, &gone, new);
    // There may be more to merge.
    shared.orders.wake();
    Ok(())
}

/// What the manifest is to say of a segment with these rows.
pub(super) fn describe(
    id: u64,
    prefix: &IndexPrefix,
    bytes: u64,
    heads: &Heads,
    filing: FilingWindow,
    level: u32,
) -> SegmentInfo {
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    let mut sources: BTreeMap<SourceId, u64> = BTreeMap::new();
    for row in 0..heads.times.len() {
        *days.entry(day_of(heads, row, filing)).or_default() += 1;
        *sources.entry(heads.sources[row]).or_default() += 1;
    }
    SegmentInfo {
        id,
        prefix: prefix.clone(),
        rows: heads.times.len() as u64,
        bytes,
        min_time: heads.times.iter().copied().min().unwrap_or(0),
        max_time: heads.times.iter().copied().max().unwrap_or(0),
        days: days.into_iter().collect(),
        sources: sources.into_iter().collect(),
        level,
    }
}

pub(super) fn day_of(heads: &Heads, row: usize, filing: FilingWindow) -> Day {
    filing.day(Timestamp::from_micros(heads.times[row]), Timestamp::from_micros(heads.received[row]))
}
