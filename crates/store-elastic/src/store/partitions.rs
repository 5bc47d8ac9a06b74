//! How far each partition of this process is. Nothing of it outlives the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use weir_model::{Offset, StreamPartition};
use weir_store::WriteError;

#[derive(Debug, Default)]
pub(super) struct Partitions {
    state: Mutex<State>,
    progress: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    places: HashMap<StreamPartition, Place>,
    lives: u64,
}

/// How far a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which assignment of the partition: what an earlier one wrote moves nothing.
    life: u64,
    /// Everything below has its verdict.
    pub(super) durable: Offset,
    /// How many bytes of documents in a row must not be found before none is looked for any more.
    pub(super) unsure: usize,
}

impl Partitions {
    /// Where the partition is, if a batch that starts at `from` leaves no gap.
    pub(super) fn expect(&self, partition: &StreamPartition, from: Offset) -> Result<Place, WriteError> {
        let mut state = self.state();
        if let Some(place) = state.places.get(partition) {
            return match from > place.durable {
                true => Err(WriteError::Gap { expected: place.durable, got: from }),
                false => Ok(*place),
            };
        }
        Ok(state.start(partition, from, 0))
    }

    pub(super) fn resume(&self, partition: &StreamPartition, committed: Offset, unsure: usize) {
        self.state().start(partition, committed, unsure);
        self.announce();
    }

    pub(super) fn release(&self, partitions: &[StreamPartition]) {
        let mut state = self.state();
        for partition in partitions {
            state.places.remove(partition);
        }
    }

    /// Everything below `next` has its verdict, if the partition is still in the life of `place`.
    pub(super) fn wrote(&self, partition: &StreamPartition, place: &Place, next: Offset) {
        self.change(partition, place, |place| place.durable = place.durable.max(next));
        self.announce();
    }

    /// Documents of so many bytes were looked for, and so many were found.
    pub(super) fn looked(
        &self,
        partition: &StreamPartition,
        before: &Place,
        found: usize,
        bytes: usize,
        whole: usize,
    ) {
        self.change(partition, before, |place| {
            place.unsure = if found > 0 { whole } else { place.unsure.saturating_sub(bytes) };
        });
    }

    pub(super) fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.state().places.get(partition).map(|place| place.durable)
    }

    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    fn change(&self, partition: &StreamPartition, of: &Place, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.state().places.get_mut(partition).filter(|place| place.life == of.life) {
            change(place);
        }
    }

    fn announce(&self) {
        self.progress.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn start(&mut self, partition: &StreamPartition, durable: Offset, unsure: usize) -> Place {
        self.lives += 1;
        let place = Place { life: self.lives, durable, unsure };
        self.places.insert(partition.clone(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Incarnation, PartitionIndex, StreamName};

    use super::*;

    fn partition() -> StreamPartition {
        StreamPartition {
            stream: StreamName::new("shop_logs").expect("legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        }
    }

    #[test]
    fn a_write_of_an_earlier_assignment_moves_nothing() {
        let partitions = Partitions::default();
        partitions.resume(&partition(), Offset(5), 10);
        let old = partitions.expect(&partition(), Offset(5)).expect("no gap");
        partitions.release(&[partition()]);
        partitions.wrote(&partition(), &old, Offset(9));
        assert_eq!(partitions.durable(&partition()), None);
        partitions.resume(&partition(), Offset(6), 10);
        partitions.wrote(&partition(), &old, Offset(9));
        assert_eq!(partitions.durable(&partition()), Some(Offset(6)));
    }

    #[test]
    fn doubt_ends_after_enough_that_was_not_there() {
        let partitions = Partitions::default();
        partitions.resume(&partition(), Offset(0), 10);
        let unsure = || partitions.expect(&partition(), Offset(0)).expect("no gap");
        for (found, bytes, left) in [(0, 6, 4), (1, 6, 10), (0, 9, 1), (0, 9, 0)] {
            partitions.looked(&partition(), &unsure(), found, bytes, 10);
            assert_eq!(unsure().unsure, left);
        }
    }
}
