//! What one prefix holds in memory: rows that are searchable and not yet in a segment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use weir_model::Content;

use super::chunk::{CHUNK_ROWS, ChunkBuilder, RowHead, SharedChunk};
use super::schema::Schema;
use super::source::SourceId;

/// Bytes of a chunk at which it is closed whatever its rows.
const CHUNK_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Head {
    schema: Schema,
    stamp: u64,
    builder: ChunkBuilder,
    closed: Vec<SharedChunk>,
    closed_bytes: usize,
    closed_rows: usize,
    /// Offset of the first record of each source that has rows here.
    first: BTreeMap<SourceId, u64>,
    opened: Option<Instant>,
    /// Rows on their way into segments, oldest first.
    sealing: Vec<Arc<Sealing>>,
}

/// A head's rows, frozen to become a segment.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) chunks: Vec<SharedChunk>,
    pub(super) first: BTreeMap<SourceId, u64>,
    /// For each source with rows here, the offset below which the prefix has everything of it, once this
    /// is a segment.
    pub(super) next: Vec<(SourceId, u64)>,
    pub(super) bytes: usize,
}

impl Head {
    pub(super) fn new() -> Self {
        Self {
            schema: Schema::new(),
            stamp: 0,
            builder: ChunkBuilder::new(),
            closed: Vec::new(),
            closed_bytes: 0,
            closed_rows: 0,
            first: BTreeMap::new(),
            opened: None,
            sealing: Vec::new(),
        }
    }

    /// Appends a row and answers how many bytes the head grew by.
    pub(super) fn push(&mut self, row: RowHead, content: Content<'_>, now: Instant) -> usize {
        let before = self.builder.bytes();
        self.stamp += 1;
        self.builder.push(&mut self.schema, self.stamp, row, content);
        self.first.entry(row.source).or_insert(row.offset);
        self.opened.get_or_insert(now);
        let grown = self.builder.bytes() - before;
        if self.builder.rows() >= CHUNK_ROWS || self.builder.bytes() >= CHUNK_BYTES {
            self.close_chunk();
        }
        grown
    }

    fn close_chunk(&mut self) {
        let builder = std::mem::replace(&mut self.builder, ChunkBuilder::new());
        let chunk = builder.finish(&mut self.schema);
        self.closed_bytes += chunk.bytes;
        self.closed_rows += chunk.rows();
        self.closed.push(Arc::new(chunk));
    }

    /// Rows that are not yet on their way into a segment.
    pub(super) fn open_rows(&self) -> usize {
        self.closed_rows + self.builder.rows()
    }

    pub(super) fn open_bytes(&self) -> usize {
        self.closed_bytes + self.builder.bytes()
    }

    /// When the first of those rows came.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.opened
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open_rows() == 0 && self.sealing.is_empty()
    }

    /// Freezes all open rows. `next_of` tells how far a source is.
    pub(super) fn freeze(&mut self, next_of: impl Fn(SourceId) -> u64) -> Option<Arc<Sealing>> {
        if self.open_rows() == 0 {
            return None;
        }
        if self.builder.rows() > 0 {
            self.close_chunk();
        }
        let first = std::mem::take(&mut self.first);
        let sealing = Arc::new(Sealing {
            chunks: std::mem::take(&mut self.closed),
            next: first.keys().map(|source| (*source, next_of(*source))).collect(),
            first,
            bytes: std::mem::take(&mut self.closed_bytes),
        });
        self.closed_rows = 0;
        self.opened = None;
        // What a past segment's events looked like is no reason to keep its fields for ever.
        self.schema = Schema::new();
        self.stamp = 0;
        self.sealing.push(Arc::clone(&sealing));
        Some(sealing)
    }

    /// Forgets rows that are in a segment now.
    pub(super) fn sealed(&mut self, done: &Arc<Sealing>) {
        self.sealing.retain(|sealing| !Arc::ptr_eq(sealing, done));
    }

    /// The least offset of a source that is only in memory.
    pub(super) fn first_in_memory(&self, source: SourceId, but: Option<&Arc<Sealing>>) -> Option<u64> {
        self.sealing
            .iter()
            .filter(|sealing| !but.is_some_and(|but| Arc::ptr_eq(sealing, but)))
            .map(|sealing| &sealing.first)
            .chain([&self.first])
            .filter_map(|first| first.get(&source).copied())
            .min()
    }

    /// All rows in memory, as they are now.
    pub(super) fn snapshot(&self) -> Vec<SharedChunk> {
        let mut chunks: Vec<SharedChunk> =
            self.sealing.iter().flat_map(|sealing| &sealing.chunks).chain(&self.closed).cloned().collect();
        if self.builder.rows() > 0 {
            chunks.push(Arc::new(self.builder.snapshot(&self.schema)));
        }
        chunks
    }
}
