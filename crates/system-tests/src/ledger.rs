//! What clients were told of their batches, to be held against what is in the store in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// What clients were told. The id of an event is that of its batch, a dash, and its index in it.
#[derive(Debug, Default)]
pub struct Ledger {
    batches: Mutex<BTreeMap<String, Batch>>,
    /// Events of acknowledged batches.
    acknowledged: AtomicUsize,
    stop: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub events: usize,
    pub fate: Fate,
}

/// The last that was heard of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was sent; nobody knows whether it is stored.
    Sent,
    Acknowledged,
    /// It was refused in words that say that nothing of it is stored.
    Refused,
}

impl Ledger {
    pub fn sent(&self, batch: &str, events: usize) {
        let known = self.batches().insert(batch.to_owned(), Batch { events, fate: Fate::Sent });
        assert!(known.is_none(), "`{batch}` is the id of two batches");
    }

    pub fn acknowledge(&self, batch: &str) {
        let events = self.settle(batch, Fate::Acknowledged);
        self.acknowledged.fetch_add(events, Ordering::Relaxed);
    }

    pub fn refuse(&self, batch: &str) {
        self.settle(batch, Fate::Refused);
    }

    /// Number of events that were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// All batches by their ids.
    pub fn batches(&self) -> MutexGuard<'_, BTreeMap<String, Batch>> {
        self.batches.lock().unwrap()
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Clients that begin from now on send until it says stop again.
    pub fn resume(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    fn settle(&self, batch: &str, fate: Fate) -> usize {
        let mut batches = self.batches();
        let batch = batches.get_mut(batch).expect("it was sent");
        assert_eq!(batch.fate, Fate::Sent, "two answers to one batch");
        batch.fate = fate;
        batch.events
    }
}
