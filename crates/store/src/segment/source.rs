//! The partitions that rows came from, numbered.

use std::sync::Arc;

use weir_model::{Incarnation, PartitionIndex, StreamName, StreamPartition};

/// A partition's number in one store; the manifest keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SourceId(pub(super) u32);

/// All partitions that the store ever met, in order of their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    list: Vec<Arc<StreamPartition>>,
}

impl Sources {
    pub(super) fn find(&self, partition: &StreamPartition) -> Option<SourceId> {
        let index = self.list.iter().position(|known| **known == *partition)?;
        Some(SourceId(u32::try_from(index).expect("a store meets fewer partitions than u32::MAX")))
    }

    pub(super) fn add(&mut self, partition: StreamPartition) -> SourceId {
        let id =
            SourceId(u32::try_from(self.list.len()).expect("a store meets fewer partitions than u32::MAX"));
        self.list.push(Arc::new(partition));
        id
    }

    pub(super) fn get(&self, id: SourceId) -> &Arc<StreamPartition> {
        &self.list[id.0 as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SourceId, &Arc<StreamPartition>)> {
        (0..).map(SourceId).zip(&self.list)
    }
}

/// The text form that segments keep: `<stream>-<incarnation>-<partition>`, the start of an event's id.
pub(super) fn source_text(partition: &StreamPartition) -> String {
    format!("{}-{}-{}", partition.stream, partition.incarnation, partition.partition)
}

pub(super) fn parse_source(text: &str) -> Option<StreamPartition> {
    let (rest, partition) = text.rsplit_once('-')?;
    let (stream, incarnation) = rest.rsplit_once('-')?;
    Some(StreamPartition {
        stream: StreamName::new(stream).ok()?,
        incarnation: Incarnation(u64::from_str_radix(incarnation, 16).ok()?),
        partition: PartitionIndex(partition.parse().ok()?),
    })
}
