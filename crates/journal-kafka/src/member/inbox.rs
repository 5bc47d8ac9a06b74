use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use tokio::sync::Notify;
use weir_journal::{Assignment, ReadBatch, ReadError, SubscriptionEvent};
use weir_model::{Offset, StreamPartition};

use super::Link;

/// What was brought and not yet taken. Shared by the workers of a subscription.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
    ended: Notify,
    /// Bytes of values beyond which no batch is to be brought.
    limit: usize,
    links: Mutex<Vec<Arc<Link>>>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    /// What a caller wants of a partition, until its worker has done it.
    wishes: HashMap<StreamPartition, Wish>,
    /// How often something was wanted of each partition, so that what was brought before is known as stale.
    rounds: HashMap<StreamPartition, u64>,
    /// The last revocation that the caller got, and the last that it has dealt with.
    revoked: u64,
    seen: u64,
    done: u64,
    closed: bool,
    failure: Option<Arc<str>>,
}

#[derive(Debug)]
enum Event {
    Assigned(Vec<Assignment>),
    Batch(ReadBatch),
    Revoked(u64, Vec<StreamPartition>),
}

/// A wish of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Seek { offset: Offset, round: u64 },
    Pause,
}

/// Identifies a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revocation(u64);

#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Broken(Arc<str>);

impl Inbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            ended: Notify::new(),
            limit: limit.max(1),
            links: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member brings here what it gets.
    pub(super) fn add(&self, link: Arc<Link>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    /// Whether a batch may be brought.
    pub(super) fn has_room(&self) -> bool {
        self.state().bytes < self.limit
    }

    pub(super) fn assigned(&self, assignments: Vec<Assignment>) {
        if !assignments.is_empty() {
            self.state().events.push_back(Event::Assigned(assignments));
            self.arrived.notify_one();
        }
    }

    /// Drops the batch if the caller has gone elsewhere since.
    pub(super) fn batch(&self, batch: ReadBatch, round: u64) {
        let mut state = self.state();
        let current = state.rounds.get(&batch.partition).copied().unwrap_or(0);
        if current == round {
            state.bytes += size(&batch);
            state.events.push_back(Event::Batch(batch));
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// What was brought of these partitions and not taken is dropped.
    pub(super) fn revoked(&self, partitions: Vec<StreamPartition>) -> Revocation {
        let mut state = self.state();
        state.drop_batches(|batch| partitions.contains(&batch.partition));
        for partition in &partitions {
            state.wishes.remove(partition);
            state.rounds.remove(partition);
        }
        state.revoked += 1;
        let number = state.revoked;
        state.events.push_back(Event::Revoked(number, partitions));
        drop(state);
        self.arrived.notify_one();
        Revocation(number)
    }

    /// Whether the caller came back after it was told.
    pub(super) fn has_dealt_with(&self, Revocation(number): Revocation) -> bool {
        let state = self.state();
        state.closed || state.done >= number
    }

    pub(super) async fn next(&self) -> Result<SubscriptionEvent, ReadError> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(event) = self.take()? {
                return Ok(event);
            }
            arrived.await;
        }
    }

    fn take(&self) -> Result<Option<SubscriptionEvent>, ReadError> {
        let mut state = self.state();
        state.done = state.seen;
        let Some(event) = state.events.pop_front() else {
            return match (&state.failure, state.closed) {
                (Some(why), _) => Err(ReadError::Failed(Box::new(Broken(Arc::clone(why))))),
                (None, true) => Err(ReadError::Closing),
                (None, false) => Ok(None),
            };
        };
        Ok(Some(match event {
            Event::Assigned(assignments) => SubscriptionEvent::Assigned(assignments),
            Event::Batch(batch) => {
                state.bytes -= size(&batch);
                SubscriptionEvent::Batch(batch)
            }
            Event::Revoked(number, partitions) => {
                state.seen = number;
                SubscriptionEvent::Revoked(partitions)
            }
        }))
    }

    pub(super) fn seek(&self, partition: &StreamPartition, offset: Offset) {
        let mut state = self.state();
        let round = state.start_round(partition);
        state.wishes.insert(partition.clone(), Wish::Seek { offset, round });
    }

    pub(super) fn pause(&self, partition: &StreamPartition) {
        let mut state = self.state();
        state.start_round(partition);
        state.wishes.insert(partition.clone(), Wish::Pause);
    }

    /// What the caller wants of these partitions.
    pub(super) fn take_wishes(
        &self,
        mut of: impl FnMut(&StreamPartition) -> bool,
    ) -> Vec<(StreamPartition, Wish)> {
        let mut state = self.state();
        if state.wishes.is_empty() {
            return Vec::new();
        }
        let (taken, left): (Vec<_>, Vec<_>) = state.wishes.drain().partition(|(partition, _)| of(partition));
        state.wishes.extend(left);
        taken
    }

    pub(super) fn fail(&self, why: &str) {
        self.state().failure = Some(why.into());
        self.arrived.notify_one();
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.links.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|link| link.leave());
        self.arrived.notify_one();
        self.ended.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(super) async fn closed(&self) {
        if !self.is_closed() {
            self.ended.notified().await;
        }
    }
}

impl State {
    /// What was brought of the partition and not taken is dropped, and what is still on its way will be.
    fn start_round(&mut self, partition: &StreamPartition) -> u64 {
        self.drop_batches(|batch| batch.partition == *partition);
        let round = self.rounds.entry(partition.clone()).or_default();
        *round += 1;
        *round
    }

    fn drop_batches(&mut self, which: impl Fn(&ReadBatch) -> bool) {
        let bytes = &mut self.bytes;
        self.events.retain(|event| match event {
            Event::Batch(batch) if which(batch) => {
                *bytes -= size(batch);
                false
            }
            _ => true,
        });
    }
}

fn size(batch: &ReadBatch) -> usize {
    batch.records.iter().map(|stored| stored.record.value.len()).sum()
}
