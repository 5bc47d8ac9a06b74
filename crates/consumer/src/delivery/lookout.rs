use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_foundation::failure::chain;
use weir_foundation::health::Progress;
use weir_model::StreamPartition;

/// How all partitions do, said as one component: while one of them makes no headway, that is what is said,
/// whatever the others do.
#[derive(Debug)]
pub(super) struct Lookout {
    progress: Progress,
    stuck: Mutex<BTreeMap<StreamPartition, String>>,
}

impl Lookout {
    pub(super) fn new(progress: Progress) -> Self {
        Self { progress, stuck: Mutex::default() }
    }

    /// So many jobs are in hand or wait.
    pub(super) fn pending(&self, jobs: usize) {
        match jobs {
            0 => self.progress.idle(),
            jobs => self.progress.pending(jobs as u64),
        }
    }

    /// Some work was done.
    pub(super) fn advanced(&self) {
        if self.stuck().is_empty() {
            self.progress.advanced();
        }
    }

    pub(super) fn failed(&self, partition: &StreamPartition, error: &(dyn Error + 'static)) {
        self.say(partition, chain(error).to_string());
    }

    /// The partition waits for a store longer than it should.
    pub(super) fn waits(&self, partition: &StreamPartition, seconds: u64) {
        self.say(partition, format!("the store has not answered for {seconds} s"));
    }

    /// What was said of the partition is over.
    pub(super) fn succeeded(&self, partition: &StreamPartition) {
        let mut stuck = self.stuck();
        if stuck.remove(partition).is_none() {
            return;
        }
        self.progress.recovered();
        if let Some((partition, reason)) = stuck.first_key_value() {
            self.progress.failed(format!("{partition}: {reason}"));
        }
    }

    fn say(&self, partition: &StreamPartition, reason: String) {
        let mut stuck = self.stuck();
        stuck.insert(partition.clone(), reason);
        if let Some((partition, reason)) = stuck.first_key_value() {
            self.progress.failed(format!("{partition}: {reason}"));
        }
    }

    fn stuck(&self) -> MutexGuard<'_, BTreeMap<StreamPartition, String>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
