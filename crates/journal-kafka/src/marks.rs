//! How far sources are stored: what this process appended or read, by source. Kafka has no place for it but the records.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt as _};
use weir_model::{Incarnation, Mark, Offset, PartitionIndex, SourceId, StreamPartition};

/// Sources of one generation: of those that were not heard of while so many others were, the marks are forgotten.
const GENERATION: usize = 500_000;

/// The marks of at least the last [`GENERATION`] sources, and of at most twice as many.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<SourceId, Placed>,
    old: HashMap<SourceId, Placed>,
}

/// A mark, and the offset of the record that set it in the partition of its source.
#[derive(Debug, Clone, Copy)]
struct Placed {
    end: u64,
    incarnation: Incarnation,
    partition: PartitionIndex,
    offset: Offset,
}

impl Marks {
    /// Of two in one partition the later one stays, in whatever order they are heard of.
    pub(crate) fn set(&self, Mark { source, end }: Mark, partition: &StreamPartition, offset: Offset) {
        let StreamPartition { incarnation, partition, .. } = *partition;
        let placed = Placed { end, incarnation, partition, offset };
        let mut generations = self.generations();
        let is_older = |known: Placed| {
            (known.incarnation, known.partition) == (incarnation, partition) && known.offset > offset
        };
        if generations.get(source).is_some_and(is_older) {
            return;
        }
        generations.young.insert(source, placed);
        if generations.young.len() >= GENERATION {
            let full = mem::replace(&mut generations.young, HashMap::new());
            generations.old = full;
        }
    }

    /// What is known of a partition that lost its end.
    pub(crate) fn forget(&self, partition: &StreamPartition) {
        let StreamPartition { incarnation, partition, .. } = *partition;
        let mut generations = self.generations();
        let Generations { young, old } = &mut *generations;
        for marks in [young, old] {
            marks.retain(|_, known| (known.incarnation, known.partition) != (incarnation, partition));
        }
    }

    pub(crate) fn get(&self, source: SourceId) -> Option<u64> {
        self.generations().get(source).map(|placed| placed.end)
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&self, source: SourceId) -> Option<Placed> {
        self.young.get(&source).or_else(|| self.old.get(&source)).copied()
    }
}

#[cfg(test)]
mod tests {
    use weir_model::StreamName;

    use super::*;

    fn place(partition: u32) -> StreamPartition {
        let stream = StreamName::new("shop_logs").expect("is legal");
        StreamPartition { stream, incarnation: Incarnation(1), partition: PartitionIndex(partition) }
    }

    #[test]
    fn what_is_used_is_remembered() {
        let marks = Marks::default();
        let place = place(0);
        let set = |source: usize, end| {
            marks.set(Mark { source: SourceId(source as u128), end }, &place, Offset(end));
        };
        let get = |source: usize| marks.get(SourceId(source as u128));
        set(0, 10);
        set(1, 20);
        (2..GENERATION).for_each(|source| set(source, 1));
        assert_eq!((get(0), get(1), get(GENERATION)), (Some(10), Some(20), None));
        set(1, 30);
        (GENERATION..2 * GENERATION).for_each(|source| set(source, 1));
        assert_eq!((get(0), get(1)), (None, Some(30)));
    }

    #[test]
    fn the_last_in_its_partition_counts() {
        let marks = Marks::default();
        let source = SourceId(1);
        let set = |end, partition, offset| {
            marks.set(Mark { source, end }, &place(partition), Offset(offset));
            marks.get(source)
        };
        assert_eq!(set(10, 0, 5), Some(10));
        assert_eq!(set(20, 0, 9), Some(20));
        assert_eq!(set(15, 0, 7), Some(20), "it was read late");
        assert_eq!(set(12, 0, 10), Some(12), "a source may go back");
        assert_eq!(set(3, 1, 0), Some(3), "it is in another stream by now");
    }
}
