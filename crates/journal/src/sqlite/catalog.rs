//! What the journal holds, in memory: streams, their partitions, and where the records of each are.
//!
//! The writer is the only one that adds; retention is the only one that removes. Everybody else looks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::HashMap;
use weir_model::{Incarnation, Offset, PartitionIndex, StreamName, StreamPartition, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use super::inventory::PartitionRow;
use crate::seam::{Loss, LossReason, PartitionBounds, StreamInfo};

/// How many records without a key go to one partition before the next one has its turn: neighbours in one
/// partition share pages of the index and are read together.
const TURN: u32 = 16;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: HashMap<StreamName, Arc<Stream>>,
    partitions: HashMap<u32, Arc<Partition>>,
}

/// A stream; what it is never changes.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) created: Timestamp,
    pub(super) partitions: Vec<Arc<Partition>>,
    turn: AtomicU32,
}

#[derive(Debug)]
pub(super) struct Partition {
    /// Its number in the files.
    pub(super) id: u32,
    pub(super) place: StreamPartition,
    extent: Mutex<Extent>,
}

/// What a partition holds. Events are counted from the beginning of the partition's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// The next offset, and the number of events before it.
    pub(super) end: u64,
    pub(super) end_event: u64,
    /// Oldest first, one per file that has records of the partition.
    pub(super) runs: VecDeque<Run>,
    /// Why there is nothing before the first run.
    pub(super) before: LossReason,
    /// Ranges that never held anything readable, though offsets go on behind them.
    pub(super) gaps: Vec<Gap>,
}

impl Default for Extent {
    fn default() -> Self {
        Self { end: 0, end_event: 0, runs: VecDeque::new(), before: LossReason::Expired, gaps: Vec::new() }
    }
}

/// Records of one partition in one file: offsets `from..to` with the events `from_event..to_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) file: u32,
    pub(super) from: u64,
    pub(super) from_event: u64,
    pub(super) to: u64,
    pub(super) to_event: u64,
    pub(super) bytes: u64,
}

/// Records of one partition in one file, which go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first of them.
    pub from: Offset,
    /// How many events the partition took before it.
    pub from_event: u64,
    /// The offset behind the last of them.
    pub to: Offset,
    /// How many events the partition took up to there.
    pub to_event: u64,
}

/// A range of offsets that was skipped, with the number of events before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) event: u64,
    pub(super) reason: LossReason,
}

/// What is at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    End,
    /// Nothing any more, up to an offset with so many events before it.
    Lost(Loss, u64),
    /// Records of a file.
    Run(Run),
}

impl Stretch {
    pub(super) fn of(run: &Run) -> Self {
        let (from, to) = (Offset(run.from), Offset(run.to));
        Self { from, from_event: run.from_event, to, to_event: run.to_event }
    }
}

impl Catalog {
    pub(super) fn stream(&self, name: &StreamName) -> Option<Arc<Stream>> {
        self.read().streams.get(name).cloned()
    }

    /// The partition, if it is of the life that the caller means.
    pub(super) fn partition(&self, place: &StreamPartition) -> Option<Arc<Partition>> {
        let stream = self.stream(&place.stream)?;
        stream
            .partitions
            .get(place.partition.0 as usize)
            .filter(|partition| partition.place == *place)
            .cloned()
    }

    pub(super) fn by_id(&self, id: u32) -> Option<Arc<Partition>> {
        self.read().partitions.get(&id).cloned()
    }

    pub(super) fn streams(&self) -> Vec<Arc<Stream>> {
        let mut streams: Vec<_> = self.read().streams.values().cloned().collect();
        streams.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        streams
    }

    pub(super) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.read().partitions.values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.read().streams.len()
    }

    /// One more than the highest number that a partition has.
    pub(super) fn next_id(&self) -> u32 {
        self.read().partitions.keys().max().map_or(0, |id| id + 1)
    }

    pub(super) fn insert(&self, stream: Arc<Stream>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for partition in &stream.partitions {
            inner.partitions.insert(partition.id, Arc::clone(partition));
        }
        inner.streams.insert(stream.name.clone(), stream);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    pub(super) fn new(name: StreamName, created: Timestamp, partitions: Vec<Arc<Partition>>) -> Self {
        Self { name, created, partitions, turn: AtomicU32::new(0) }
    }

    /// Where a record with this key goes. The hash is part of the format: it must never change.
    pub(super) fn choose(&self, key: Option<&[u8]>) -> Option<&Arc<Partition>> {
        let count = self.partitions.len().max(1) as u64;
        let index = match key {
            Some(key) => xxh3_64(key) % count,
            None => u64::from(self.turn.fetch_add(1, Ordering::Relaxed) / TURN) % count,
        };
        self.partitions.get(usize::try_from(index).unwrap_or(0))
    }

    pub(super) fn info(&self) -> StreamInfo {
        StreamInfo {
            name: self.name.clone(),
            created: Some(self.created),
            partitions: self.partitions.iter().map(|partition| partition.bounds()).collect(),
        }
    }
}

impl Partition {
    pub(super) fn new(id: u32, place: StreamPartition, extent: Extent) -> Self {
        Self { id, place, extent: Mutex::new(extent) }
    }

    /// Held for moments only.
    pub(super) fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bounds(&self) -> PartitionBounds {
        let extent = self.extent();
        PartitionBounds {
            partition: self.place.clone(),
            start: Offset(extent.start()),
            end: Offset(extent.end),
            start_event: Some(extent.start_event()),
            end_event: Some(extent.end_event),
            bytes: Some(extent.runs.iter().map(|run| run.bytes).sum()),
        }
    }
}

impl Extent {
    pub(super) fn start(&self) -> u64 {
        self.runs.front().map_or(self.end, |run| run.from)
    }

    pub(super) fn start_event(&self) -> u64 {
        self.runs.front().map_or(self.end_event, |run| run.from_event)
    }

    /// Adds a record that is durable in `file`.
    pub(super) fn push(&mut self, file: u32, offset: u64, first_event: u64, events: u32, bytes: u64) {
        let (to, to_event) = (offset + 1, first_event + u64::from(events));
        match self.runs.back_mut().filter(|run| run.file == file && run.to == offset) {
            Some(run) => {
                run.to = to;
                run.to_event = to_event;
                run.bytes += bytes;
            }
            None => {
                self.runs.push_back(Run { file, from: offset, from_event: first_event, to, to_event, bytes })
            }
        }
        self.end = to;
        self.end_event = to_event;
    }

    /// Takes over what a file says that it holds; files come oldest first, gaps are known before.
    pub(super) fn restore(&mut self, file: u32, row: &PartitionRow) {
        let (mut from, mut from_event) = (row.from, row.from_event);
        for gap in self.gaps.iter().filter(|gap| row.from <= gap.from && gap.to <= row.to) {
            if from < gap.from {
                let to_event = gap.event;
                self.runs.push_back(Run { file, from, from_event, to: gap.from, to_event, bytes: 0 });
            }
            (from, from_event) = (gap.to, gap.event);
        }
        if from < row.to {
            let PartitionRow { to, to_event, bytes, .. } = *row;
            self.runs.push_back(Run { file, from, from_event, to, to_event, bytes });
        }
        self.end = self.end.max(row.to);
        self.end_event = self.end_event.max(row.to_event);
    }

    /// Goes on at `to`; what is between was cut or is damaged.
    pub(super) fn skip(&mut self, to: u64, reason: LossReason) {
        if to > self.end {
            self.gaps.push(Gap { from: self.end, to, event: self.end_event, reason });
            self.end = to;
        }
    }

    /// What the summary of a file says about the partition.
    pub(super) fn row(&self, id: u32, file: u32) -> PartitionRow {
        let mut runs = self.runs.iter().filter(|run| run.file == file);
        let Some(first) = runs.next() else {
            let (from, from_event) = (self.end, self.end_event);
            return PartitionRow { id, from, from_event, to: from, to_event: from_event, bytes: 0 };
        };
        let row = PartitionRow {
            id,
            from: first.from,
            from_event: first.from_event,
            to: first.to,
            to_event: first.to_event,
            bytes: first.bytes,
        };
        runs.fold(row, |row, run| PartitionRow {
            to: run.to,
            to_event: run.to_event,
            bytes: row.bytes + run.bytes,
            ..row
        })
    }

    /// Forgets what a file held.
    pub(super) fn remove_file(&mut self, file: u32) {
        let runs = self.runs.len();
        self.runs.retain(|run| run.file != file);
        if self.runs.len() < runs {
            self.before = LossReason::Expired;
        }
        let start = self.start();
        self.gaps.retain(|gap| gap.to > start);
    }

    /// What is at `offset`. `event` is the number of events before it, where the caller knows.
    pub(super) fn find(&self, offset: u64, event: Option<u64>) -> Found {
        if offset >= self.end {
            return Found::End;
        }
        let event = if offset == 0 { Some(0) } else { event };
        if offset < self.start() && self.gaps.iter().all(|gap| offset < gap.from || gap.to <= offset) {
            let to_event = self.start_event();
            return lost(offset, self.start(), event, to_event, self.before);
        }
        let behind = self.runs.partition_point(|run| run.to <= offset);
        match self.runs.get(behind) {
            Some(run) if run.from <= offset => Found::Run(*run),
            next => self.hole(offset, event, behind, next),
        }
    }

    /// `offset` is between runs: in a gap that is known, or in a file that is gone.
    fn hole(&self, offset: u64, event: Option<u64>, behind: usize, next: Option<&Run>) -> Found {
        let to_event = next.map_or(self.end_event, |run| run.from_event);
        if let Some(gap) = self.gaps.iter().find(|gap| gap.from <= offset && offset < gap.to) {
            let loss = Loss { from: Offset(offset), to: Offset(gap.to), events: None, reason: gap.reason };
            return Found::Lost(loss, gap.event);
        }
        let to = next.map_or(self.end, |run| run.from);
        let to = self.gaps.iter().map(|gap| gap.from).filter(|from| *from > offset).fold(to, u64::min);
        let before = behind.checked_sub(1).and_then(|index| self.runs.get(index));
        let event = event.or_else(|| before.filter(|run| run.to == offset).map(|run| run.to_event));
        lost(offset, to, event, to_event, LossReason::Damaged)
    }
}

fn lost(from: u64, to: u64, event: Option<u64>, to_event: u64, reason: LossReason) -> Found {
    let events = event.map(|event| to_event.saturating_sub(event));
    Found::Lost(Loss { from: Offset(from), to: Offset(to), events, reason }, to_event)
}

/// The partitions of a new stream.
pub(super) fn new_partitions(
    name: &StreamName,
    incarnation: Incarnation,
    first: u32,
    count: u32,
) -> Vec<Arc<Partition>> {
    (0..count)
        .map(|index| {
            let place =
                StreamPartition { stream: name.clone(), incarnation, partition: PartitionIndex(index) };
            Arc::new(Partition::new(first + index, place, Extent::default()))
        })
        .collect()
}
