//! What the store says about itself.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, PrimitiveArray, RecordBatch};
use weir_model::{Day, IndexPrefix, Offset, StreamName, StreamPartition};

use super::file::{INDEX, OFFSET, SOURCE};
use super::merge::{day_of, sources_of};
use super::open::{ReadSegmentError, Segment};
use super::rows::Rows;
use super::source::SourceId;
use super::store::{SegmentStore, Shared};
use crate::error::InspectError;
use crate::seam::{IndexInfo, Inventory, PartitionAudit, PositionRun};

#[derive(Default)]
struct Index {
    events: u64,
    bytes: u64,
    files: Vec<PathBuf>,
}

pub(super) fn indices(shared: &Shared) -> Vec<IndexInfo> {
    let mut indices: BTreeMap<(IndexPrefix, Day), Index> = BTreeMap::new();
    let state = shared.state();
    for (prefix, segment) in
        state.segments.iter().flat_map(|(prefix, segments)| segments.iter().map(move |s| (prefix, s)))
    {
        let info = &segment.info;
        for (day, rows) in &info.days {
            let index = indices.entry((prefix.clone(), *day)).or_default();
            index.events += rows;
            // A segment of several days counts for each by its rows.
            index.bytes += info.bytes * rows / info.rows.max(1);
            index.files.push(segment.paths.rows.clone());
        }
    }
    for (prefix, head) in state.heads() {
        for chunk in head.snapshot() {
            for row in 0..chunk.rows() {
                let day = day_of(&chunk.heads, row, shared.settings.filing);
                indices.entry((prefix.clone(), day)).or_default().events += 1;
            }
        }
    }
    let info =
        |((prefix, day), Index { events, bytes, files })| IndexInfo { prefix, day, events, bytes, files };
    indices.into_iter().map(info).collect()
}

pub(super) fn audit(shared: &Shared, stream: &StreamName) -> Vec<PartitionAudit> {
    let state = shared.state();
    let mut stored: BTreeMap<SourceId, u64> = BTreeMap::new();
    for (source, rows) in state.segments.values().flatten().flat_map(|segment| &segment.info.sources) {
        *stored.entry(*source).or_default() += rows;
    }
    for chunk in state.heads().flat_map(|(_, head)| head.snapshot()) {
        for source in &chunk.heads.sources {
            *stored.entry(*source).or_default() += 1;
        }
    }
    let of_stream = state.sources.iter().filter(|(_, partition)| partition.stream == *stream);
    of_stream
        .map(|(source, partition)| PartitionAudit {
            partition: StreamPartition::clone(partition),
            next: Offset(state.next(source).unwrap_or(0)),
            durable: state.durable(partition).unwrap_or(Offset::ZERO),
            stored: stored.get(&source).copied().unwrap_or(0),
            dropped: state.dropped.get(&source).copied().unwrap_or(0),
        })
        .collect()
}

/// Runs of positions, duplicates and all: a position that two rows have is in two runs.
pub(super) fn positions(
    shared: &Shared,
    partition: &StreamPartition,
    from: Offset,
) -> Result<Vec<PositionRun>, ReadSegmentError> {
    let (source, sources, segments, chunks) = {
        let state = shared.state();
        let Some(source) = state.sources.find(partition) else { return Ok(Vec::new()) };
        let has_source =
            |segment: &&std::sync::Arc<Segment>| segment.info.sources.iter().any(|(of, _)| *of == source);
        let segments: Vec<_> = state.segments.values().flatten().filter(has_source).cloned().collect();
        let chunks: Vec<_> = state.heads().flat_map(|(_, head)| head.snapshot()).collect();
        (source, state.sources.clone(), segments, chunks)
    };
    let mut first = FirstPositions::new(from, POSITIONS);
    for chunk in chunks {
        let heads = &chunk.heads;
        let rows = (0..chunk.rows()).filter(|row| heads.sources[*row] == source);
        first.add(rows.map(|row| (heads.offsets[row], heads.indexes[row])));
    }
    for segment in segments {
        let id = segment.info.id;
        let contents = segment.contents()?;
        let columns: Vec<usize> =
            [SOURCE, OFFSET, INDEX].iter().filter_map(|name| contents.column(name)).collect();
        for (group, of_group) in contents.groups.iter().enumerate() {
            let batch = contents.read(id, group, columns.iter().copied(), &Rows::from(0..of_group.rows))?;
            let (of_rows, offsets, indexes) = columns_of(&batch, &sources)
                .ok_or(ReadSegmentError::Damaged(id, "a column of positions is missing"))?;
            let rows = (0..of_rows.len()).filter(|row| of_rows[*row] == source);
            first.add(rows.map(|row| (offsets.value(row), indexes.value(row))));
        }
    }
    first.rows.sort_unstable();
    Ok(runs(&first.rows))
}

/// Which of the wanted positions have a row.
pub(super) async fn holds(
    store: &SegmentStore,
    partition: &StreamPartition,
    wanted: &[PositionRun],
) -> Result<Vec<PositionRun>, InspectError> {
    let offsets = || wanted.iter().map(|run| run.offset);
    let (Some(mut from), Some(last)) = (offsets().min(), offsets().max()) else { return Ok(Vec::new()) };
    let of_wanted: HashSet<Offset> = offsets().collect();
    let mut rows = HashSet::new();
    while from <= last {
        let page = store.positions(partition, from).await?;
        let Some(end) = page.last().map(|run| run.offset.next()) else { break };
        let wanted = page.into_iter().filter(|run| of_wanted.contains(&run.offset));
        rows.extend(wanted.flat_map(|run| {
            (run.first_index..).take(run.count as usize).map(move |index| (run.offset, index))
        }));
        from = end;
    }
    Ok(PositionRun::select(wanted, |offset, index| rows.contains(&(offset, index))))
}

/// Positions that are answered at once, about.
const POSITIONS: usize = 4_000_000;

/// The first positions of many, whole records of them.
struct FirstPositions {
    limit: usize,
    from: u64,
    /// Records from this one on are left for the next time.
    beyond: u64,
    rows: Vec<(u64, u32)>,
}

impl FirstPositions {
    fn new(from: Offset, limit: usize) -> Self {
        Self { limit, from: from.0, beyond: u64::MAX, rows: Vec::new() }
    }

    fn add(&mut self, rows: impl Iterator<Item = (u64, u32)>) {
        let (from, beyond) = (self.from, self.beyond);
        self.rows.extend(rows.filter(|(offset, _)| (from..beyond).contains(offset)));
        if self.rows.len() > 2 * self.limit {
            self.rows.sort_unstable();
            let middle = self.rows[self.limit].0;
            // All of the first record stay, however many they are.
            let beyond = middle.max(self.rows[0].0.saturating_add(1));
            self.rows.truncate(self.rows.partition_point(|(offset, _)| *offset < beyond));
            self.beyond = beyond;
        }
    }
}

type Positions<'a> = (Vec<SourceId>, &'a PrimitiveArray<UInt64Type>, &'a PrimitiveArray<UInt32Type>);

fn columns_of<'a>(batch: &'a RecordBatch, sources: &super::source::Sources) -> Option<Positions<'a>> {
    Some((
        sources_of(batch.column_by_name(SOURCE)?, sources)?,
        batch.column_by_name(OFFSET)?.as_any().downcast_ref()?,
        batch.column_by_name(INDEX)?.as_any().downcast_ref()?,
    ))
}

fn runs(rows: &[(u64, u32)]) -> Vec<PositionRun> {
    let mut runs: Vec<PositionRun> = Vec::new();
    for (offset, index) in rows {
        match runs.last_mut() {
            Some(run) if run.offset.0 == *offset && run.first_index + run.count == *index => run.count += 1,
            _ => runs.push(PositionRun { offset: Offset(*offset), first_index: *index, count: 1 }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_positions_are_whole_records(
            parts in vec(vec((0_u64..20, 0_u32..4), 0..12), 0..12), from in 0_u64..8, limit in 1_usize..10,
        ) {
            let mut first = FirstPositions::new(Offset(from), limit);
            parts.iter().for_each(|rows| first.add(rows.iter().copied()));
            first.rows.sort_unstable();
            let mut all: Vec<_> = parts.concat().into_iter().filter(|(offset, _)| *offset >= from).collect();
            all.sort_unstable();
            let next = first.rows.last().map_or(from, |(offset, _)| offset + 1);
            let expected = all.partition_point(|(offset, _)| *offset < next);
            prop_assert_eq!(&first.rows[..], &all[..expected]);
            prop_assert_eq!(first.rows.is_empty(), all.is_empty());
        }
    }
}
