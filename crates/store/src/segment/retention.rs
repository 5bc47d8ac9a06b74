//! Retention: whole segments go, oldest day first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_model::{Day, IndexPrefix, Timestamp};

use super::error::WorkError;
use super::manifest::Change;
use super::open::Segment;
use super::source::SourceId;
use super::state::Advance;
use super::store::Shared;
use super::worker::apply;

/// Removes what the settings' limits of age and size say.
pub(super) fn enforce(shared: &Shared) -> Result<(), WorkError> {
    if let Some(keep_for) = shared.settings.keep_for {
        let now = Timestamp::from(shared.parts.clock.now());
        drop_before(shared, None, now.saturating_sub(keep_for).day())?;
    }
    if let Some(limit) = shared.settings.keep_bytes {
        let gone = over_limit(&shared.state().segments, limit.bytes());
        remove(shared, &gone)?;
    }
    Ok(())
}

/// Removes segments all of whose rows are filed under days before `before`. Answers how many rows went.
pub(super) fn drop_before(
    shared: &Shared,
    prefix: Option<&IndexPrefix>,
    before: Day,
) -> Result<u64, WorkError> {
    let gone: Vec<_> = shared
        .state()
        .segments
        .iter()
        .filter(|(of, _)| prefix.is_none_or(|prefix| prefix == *of))
        .flat_map(|(_, segments)| segments)
        .filter(|segment| last_day(segment).is_some_and(|day| day < before))
        .cloned()
        .collect();
    remove(shared, &gone)
}

fn last_day(segment: &Segment) -> Option<Day> {
    segment.info.days.last().map(|(day, _)| *day)
}

/// The segments to remove so that the rest fits: always the oldest of the prefix that has most, so that
/// a prefix that stays below an equal share loses nothing to one that does not.
fn over_limit(segments: &BTreeMap<IndexPrefix, Vec<Arc<Segment>>>, limit: u64) -> Vec<Arc<Segment>> {
    let mut prefixes: Vec<(u64, Vec<Arc<Segment>>)> = segments
        .values()
        .map(|of_prefix| {
            let mut youngest_first = of_prefix.clone();
            youngest_first.sort_by_key(|segment| std::cmp::Reverse((last_day(segment), segment.info.id)));
            (of_prefix.iter().map(|segment| segment.info.bytes).sum(), youngest_first)
        })
        .collect();
    let mut total: u64 = prefixes.iter().map(|(bytes, _)| bytes).sum();
    let mut gone = Vec::new();
    while total > limit {
        let Some((bytes, segments)) = prefixes.iter_mut().max_by_key(|(bytes, _)| *bytes) else { break };
        let Some(oldest) = segments.pop() else { break };
        *bytes -= oldest.info.bytes;
        total -= oldest.info.bytes;
        gone.push(oldest);
    }
    gone
}

fn remove(shared: &Shared, gone: &[Arc<Segment>]) -> Result<u64, WorkError> {
    if gone.is_empty() {
        return Ok(0);
    }
    let ids: Vec<u64> = gone.iter().map(|segment| segment.info.id).collect();
    let mut dropped: BTreeMap<SourceId, u64> = BTreeMap::new();
    for (source, rows) in gone.iter().flat_map(|segment| &segment.info.sources) {
        *dropped.entry(*source).or_default() += rows;
    }
    let change = Change {
        remove: ids.clone(),
        dropped: dropped.iter().map(|(source, rows)| (*source, *rows)).collect(),
        ..Change::default()
    };
    apply(shared, change, &Advance::default(), &[])?;
    let rows = gone.iter().map(|segment| segment.info.rows).sum();
    shared.counters.dropped_rows.fetch_add(rows, Ordering::Relaxed);
    let prefixes: BTreeSet<&IndexPrefix> = gone.iter().map(|segment| &segment.info.prefix).collect();
    let mut state = shared.state();
    state.count_dropped(dropped);
    for prefix in prefixes {
        state.replace(prefix, &ids, Vec::new());
    }
    tracing::info!(segments = gone.len(), rows, "removed segments that retention does not keep");
    Ok(rows)
}
