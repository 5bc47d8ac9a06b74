//! What the store is at one instant: heads, segments and how far each partition is. One lock guards it;
//! it is held for a record or for taking a snapshot, never for I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use weir_model::{IndexPrefix, Offset, StreamPartition};

use super::chunk::{RowHead, SharedChunk};
use super::head::{Head, Sealing};
use super::manifest::ManifestState;
use super::open::Segment;
use super::source::{SourceId, Sources};
use crate::seam::WriteRecord;

#[derive(Debug)]
pub(super) struct State {
    pub(super) sources: Sources,
    /// By number of the source.
    progress: Vec<SourceProgress>,
    heads: HashMap<IndexPrefix, Head>,
    pub(super) segments: BTreeMap<IndexPrefix, Vec<Arc<Segment>>>,
    ahead: BTreeMap<(IndexPrefix, SourceId), u64>,
    pub(super) dropped: BTreeMap<SourceId, u64>,
    /// Bytes of all rows in memory, those being sealed included.
    pub(super) memory: usize,
    /// Sources that the manifest does not know yet, in order.
    new_sources: Vec<SourceId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct SourceProgress {
    /// Everything below was taken; absent if nothing ever was.
    next: Option<u64>,
    /// What the manifest says.
    durable: Option<u64>,
}

/// What a search looks at: rows in memory and segments of one prefix, at one instant.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) chunks: Vec<SharedChunk>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) sources: Sources,
}

/// What the manifest is told together with a change of segments.
#[derive(Debug, Default)]
pub(super) struct Advance {
    pub(super) sources: Vec<(SourceId, Arc<StreamPartition>)>,
    pub(super) watermarks: Vec<(SourceId, u64)>,
    pub(super) ahead: Vec<(IndexPrefix, SourceId, u64)>,
}

impl State {
    pub(super) fn new(manifest: ManifestState, segments: impl IntoIterator<Item = Arc<Segment>>) -> Self {
        let mut by_prefix: BTreeMap<IndexPrefix, Vec<Arc<Segment>>> = BTreeMap::new();
        for segment in segments {
            by_prefix.entry(segment.info.prefix.clone()).or_default().push(segment);
        }
        let progress = manifest
            .sources
            .iter()
            .map(|(source, _)| {
                let durable = manifest.watermarks.get(&source).copied();
                SourceProgress { next: durable, durable }
            })
            .collect();
        Self {
            sources: manifest.sources,
            progress,
            heads: HashMap::new(),
            segments: by_prefix,
            ahead: manifest.ahead,
            dropped: manifest.dropped,
            memory: 0,
            new_sources: Vec::new(),
        }
    }

    pub(super) fn source(&mut self, partition: &StreamPartition) -> SourceId {
        self.sources.find(partition).unwrap_or_else(|| {
            let source = self.sources.add(partition.clone());
            self.progress.push(SourceProgress::default());
            self.new_sources.push(source);
            source
        })
    }

    pub(super) fn next(&self, source: SourceId) -> Option<u64> {
        self.progress[source.0 as usize].next
    }

    pub(super) fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        let source = self.sources.find(partition)?;
        self.progress[source.0 as usize].durable.map(Offset)
    }

    /// Takes a record, unless it was taken before.
    pub(super) fn take(&mut self, source: SourceId, record: &WriteRecord, now: Instant) {
        let offset = record.offset.0;
        if self.next(source).is_some_and(|next| offset < next) {
            return;
        }
        let prefix = record.events.index_prefix();
        let stored = self.ahead.get(&(prefix.clone(), source)).is_some_and(|ahead| offset < *ahead);
        if !stored {
            if !self.heads.contains_key(prefix) {
                self.heads.insert(prefix.clone(), Head::new());
            }
            if let Some(head) = self.heads.get_mut(prefix) {
                for (index, event) in (0u32..).zip(record.events.events()) {
                    let Ok(content) = event.content else { continue };
                    let received = record.received;
                    let row = RowHead { time: event.time, received, source, offset, index };
                    self.memory += head.push(row, content, now);
                }
            }
        }
        self.advance(source, offset + 1);
    }

    /// Notes that everything of the source below `next` was taken or is lost.
    pub(super) fn advance(&mut self, source: SourceId, next: u64) {
        let progress = &mut self.progress[source.0 as usize];
        progress.next = Some(progress.next.map_or(next, |known| known.max(next)));
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = (&IndexPrefix, &Head)> {
        self.heads.iter()
    }

    pub(super) fn head(&self, prefix: &IndexPrefix) -> Option<&Head> {
        self.heads.get(prefix)
    }

    /// Freezes the open rows of a prefix.
    pub(super) fn freeze(&mut self, prefix: &IndexPrefix) -> Option<Arc<Sealing>> {
        let progress = &self.progress;
        self.heads.get_mut(prefix)?.freeze(|source| progress[source.0 as usize].next.unwrap_or(0))
    }

    /// What the manifest may be told once `sealing`, rows of `prefix`, is in a segment.
    pub(super) fn advance_after(&self, sealed: Option<(&IndexPrefix, &Arc<Sealing>)>) -> Advance {
        let mut watermarks = Vec::new();
        for (source, _) in self.sources.iter() {
            let SourceProgress { next: Some(next), durable } = self.progress[source.0 as usize] else {
                continue;
            };
            let in_memory = self
                .heads
                .values()
                .filter_map(|head| head.first_in_memory(source, sealed.map(|(_, sealing)| sealing)));
            let reached = in_memory.min().unwrap_or(next);
            if durable.is_none_or(|durable| durable < reached) {
                watermarks.push((source, reached));
            }
        }
        let ahead = sealed
            .iter()
            .flat_map(|(prefix, sealing)| {
                sealing.next.iter().map(|(source, next)| ((*prefix).clone(), *source, *next))
            })
            .collect();
        Advance { sources: self.new_sources(), watermarks, ahead }
    }

    /// Those that the manifest may not know yet, in order.
    pub(super) fn new_sources(&self) -> Vec<(SourceId, Arc<StreamPartition>)> {
        self.new_sources.iter().map(|source| (*source, Arc::clone(self.sources.get(*source)))).collect()
    }

    /// Notes what the manifest was told. Answers whether a watermark moved.
    pub(super) fn advanced(&mut self, advance: Advance) -> bool {
        self.new_sources.retain(|source| !advance.sources.iter().any(|(known, _)| known == source));
        let moved = !advance.watermarks.is_empty();
        for (source, offset) in advance.watermarks {
            self.progress[source.0 as usize].durable = Some(offset);
        }
        for (prefix, source, offset) in advance.ahead {
            self.ahead.insert((prefix, source), offset);
        }
        let progress = &self.progress;
        self.ahead.retain(|(_, source), offset| {
            progress[source.0 as usize].durable.is_none_or(|durable| durable < *offset)
        });
        moved
    }

    /// Puts a segment in the place of rows in memory.
    pub(super) fn sealed(&mut self, prefix: &IndexPrefix, sealing: &Arc<Sealing>, segment: Arc<Segment>) {
        self.memory = self.memory.saturating_sub(sealing.bytes);
        if let Some(head) = self.heads.get_mut(prefix) {
            head.sealed(sealing);
            if head.is_idle() {
                self.heads.remove(prefix);
            }
        }
        self.segments.entry(prefix.clone()).or_default().push(segment);
    }

    /// Puts segments in the place of others of the same prefix.
    pub(super) fn replace(&mut self, prefix: &IndexPrefix, gone: &[u64], new: Vec<Arc<Segment>>) {
        let segments = self.segments.entry(prefix.clone()).or_default();
        segments.retain(|segment| {
            let stays = !gone.contains(&segment.info.id);
            if !stays {
                segment.retire();
            }
            stays
        });
        segments.extend(new);
        if segments.is_empty() {
            self.segments.remove(prefix);
        }
    }

    pub(super) fn count_dropped(&mut self, rows: BTreeMap<SourceId, u64>) {
        for (source, rows) in rows {
            *self.dropped.entry(source).or_default() += rows;
        }
    }

    pub(super) fn snapshot(&self, prefix: &IndexPrefix) -> Snapshot {
        Snapshot {
            chunks: self.heads.get(prefix).map(Head::snapshot).unwrap_or_default(),
            segments: self.segments.get(prefix).cloned().unwrap_or_default(),
            sources: self.sources.clone(),
        }
    }
}
