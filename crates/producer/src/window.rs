//! The batches that were stored of late, by the ids that clients gave them.
//!
//! A client that got no answer sends its batch again under the same id, and is answered as the first time
//! without storing anything. Ids are scoped by app. Whether a batch is known is decided by the id, whether
//! it is the same by a digest of its bytes.
//!
//! * While a batch is being stored, the same batch waits for the outcome. Where storing fails, the next of
//!   those who wait tries itself.
//! * The window is bounded by time and by number; the oldest go first. What is being stored is not counted:
//!   the memory budget bounds it.
//! * The journal keeps id and digest with the record, in the same transaction. So the window is complete
//!   after a kill between storing and answering: [`BatchWindow::remember`] fills it at start.
//! * If an embedded journal fails in a way that leaves the outcome open, the id is forgotten here. Such a failure
//!   is fatal for the journal, and the truth is what it holds when it is opened again.
//! * A shared journal may store a part of a batch. Which one is remembered, and the next who comes with the
//!   batch stores the rest. Its window is that of one process: it does not say what other producers stored.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_journal::KnownBatch;
use weir_model::{BatchTag, Timestamp};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::section::BatchIdSettings;

/// Clones share the window.
#[derive(Debug, Clone)]
pub(crate) struct BatchWindow {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    batches: Mutex<Batches>,
    settings: BatchIdSettings,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Batches {
    known: HashMap<u128, Known, foldhash::fast::RandomState>,
    /// What is stored, in the order in which it became so.
    stored: VecDeque<(Timestamp, u128)>,
}

#[derive(Debug)]
struct Known {
    digest: u128,
    state: State,
    /// When it got into the queue of those that are forgotten one day.
    at: Timestamp,
}

/// Which records of a batch are durable, where a journal may store a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progression {
    /// In the order of the batch's records; empty while none is.
    stored: Vec<bool>,
}

#[derive(Debug)]
enum State {
    /// Closed when the outcome is known.
    Storing(watch::Receiver<()>),
    Stored,
    /// A part of it is stored, and nobody stores the rest.
    Partly(Progression),
}

/// What a client that names its batch is to do.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Store it, and say so by [`Ticket::stored`].
    Store(Ticket),
    /// Answer as if it had been stored now: it is.
    Stored,
}

/// The id was used for a batch with other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch id was used before for a batch with other bytes")]
pub(crate) struct OtherBytes;

/// The right to store a batch; dropped unused, the next one who asks gets it.
#[derive(Debug)]
pub(crate) struct Ticket {
    window: BatchWindow,
    id: u128,
    progression: Progression,
    /// Dropping it wakes those who wait.
    _outcome: watch::Sender<()>,
}

/// The tag of a batch: which id of which app, and what its bytes were.
pub(crate) fn tag(app: &str, id: &str, bytes: &[u8]) -> BatchTag {
    let mut hasher = Xxh3::new();
    hasher.update(app.as_bytes());
    // No app has this byte in its name, so that no two pairs of app and id look the same.
    hasher.update(&[0]);
    hasher.update(id.as_bytes());
    BatchTag { id: hasher.digest128(), digest: xxh3_128(bytes) }
}

impl BatchWindow {
    pub(crate) fn new(settings: BatchIdSettings, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { batches: Mutex::default(), settings, clock }) }
    }

    /// Adds what the journal holds from before this process.
    pub(crate) fn remember(&self, mut batches: Vec<KnownBatch>) {
        batches.sort_unstable_by_key(|batch| batch.received);
        let mut inner = self.lock();
        for batch in batches {
            inner.insert_stored(batch.tag, batch.received);
        }
        inner.forget(&self.shared.settings, self.now());
    }

    /// Waits while the same batch is being stored by another request.
    pub(crate) async fn claim(&self, tag: BatchTag) -> Result<Claim, OtherBytes> {
        loop {
            let mut outcome = match self.look_up(tag)? {
                Found::Answer(claim) => return Ok(claim),
                Found::Storing(outcome) => outcome,
            };
            // An error is what is waited for: the ticket is gone.
            while outcome.changed().await.is_ok() {}
        }
    }

    fn look_up(&self, tag: BatchTag) -> Result<Found, OtherBytes> {
        let now = self.now();
        let mut inner = self.lock();
        inner.forget(&self.shared.settings, now);
        match inner.known.entry(tag.id) {
            Entry::Occupied(known) if known.get().digest != tag.digest => Err(OtherBytes),
            Entry::Occupied(mut known) => Ok(match &mut known.get_mut().state {
                State::Stored => Found::Answer(Claim::Stored),
                State::Storing(outcome) => Found::Storing(outcome.clone()),
                State::Partly(progression) => {
                    let (ticket, storing) = self.ticket(tag.id, std::mem::take(progression));
                    known.get_mut().state = storing;
                    Found::Answer(Claim::Store(ticket))
                }
            }),
            Entry::Vacant(place) => {
                let (ticket, state) = self.ticket(tag.id, Progression::default());
                place.insert(Known { digest: tag.digest, state, at: now });
                Ok(Found::Answer(Claim::Store(ticket)))
            }
        }
    }

    fn ticket(&self, id: u128, progression: Progression) -> (Ticket, State) {
        let (sender, receiver) = watch::channel(());
        let ticket = Ticket { window: self.clone(), id, progression, _outcome: sender };
        (ticket, State::Storing(receiver))
    }

    /// How many stored batches are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().stored.len()
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now().into()
    }

    fn lock(&self) -> MutexGuard<'_, Batches> {
        self.shared.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Found {
    Answer(Claim),
    Storing(watch::Receiver<()>),
}

impl Ticket {
    /// What is stored of the batch.
    pub(crate) fn progression(&mut self) -> &mut Progression {
        &mut self.progression
    }

    /// The batch is durable.
    pub(crate) fn stored(self) {
        let now = self.window.now();
        let mut inner = self.window.lock();
        inner.settle(self.id, State::Stored, now);
        inner.forget(&self.window.shared.settings, now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.window.lock();
        if inner.known.get(&self.id).is_some_and(|known| matches!(known.state, State::Storing(_))) {
            if self.progression.is_nothing() {
                inner.known.remove(&self.id);
            } else {
                let now = self.window.now();
                inner.settle(self.id, State::Partly(std::mem::take(&mut self.progression)), now);
            }
        }
    }
}

impl Progression {
    fn is_nothing(&self) -> bool {
        self.stored.is_empty()
    }

    /// The places of those records that are not stored.
    pub(crate) fn left<T>(&self, records: &[T]) -> Vec<usize> {
        let is_stored = |index: &usize| self.stored.get(*index).copied().unwrap_or(false);
        (0..records.len()).filter(|index| !is_stored(index)).collect()
    }

    /// These are stored, of so many.
    pub(crate) fn note(&mut self, stored: &[usize], records: usize) {
        if stored.is_empty() {
            return;
        }
        self.stored.resize(records, false);
        for index in stored {
            if let Some(place) = self.stored.get_mut(*index) {
                *place = true;
            }
        }
    }
}

impl Batches {
    fn insert_stored(&mut self, tag: BatchTag, at: Timestamp) {
        let known = Known { digest: tag.digest, state: State::Stored, at };
        if self.known.insert(tag.id, known).is_none() {
            self.stored.push_back((at, tag.id));
        }
    }

    /// What is known of a batch from now on.
    fn settle(&mut self, id: u128, state: State, now: Timestamp) {
        if let Some(known) = self.known.get_mut(&id) {
            (known.state, known.at) = (state, now);
            self.stored.push_back((now, id));
        }
    }

    fn forget(&mut self, settings: &BatchIdSettings, now: Timestamp) {
        let oldest = now.saturating_sub(settings.window);
        while let Some((at, id)) = self.stored.front().copied() {
            if at >= oldest && self.stored.len() <= settings.limit {
                return;
            }
            self.stored.pop_front();
            // A batch that was stored in parts stands there once for each.
            let is_last = |known: &Known| known.at == at && !matches!(known.state, State::Storing(_));
            if self.known.get(&id).is_some_and(is_last) {
                self.known.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
