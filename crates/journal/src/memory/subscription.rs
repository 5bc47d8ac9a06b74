use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_model::{Offset, StreamPartition};

use super::{Shared, State};
use crate::error::ReadError;
use crate::seam::{Assignment, ReadBudget, StreamPattern, Subscription, SubscriptionEvent};

const BUDGET: ReadBudget = ReadBudget { bytes: 4 << 20, records: 10_000 };

#[derive(Debug)]
pub(super) struct Member {
    shared: Arc<Shared>,
    group: String,
    pattern: StreamPattern,
    changes: watch::Receiver<u64>,
    cursors: BTreeMap<StreamPartition, Cursor>,
    /// The partition that was served last; the next one in order has its turn.
    last: Option<StreamPartition>,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    offset: u64,
    event: Option<u64>,
    paused: bool,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, group: String, pattern: StreamPattern) -> Self {
        let changes = shared.changes.subscribe();
        Self { shared, group, pattern, changes, cursors: BTreeMap::new(), last: None }
    }

    fn poll(&mut self) -> Result<Option<SubscriptionEvent>, ReadError> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        if state.closed {
            return Err(ReadError::Closing);
        }
        if let Some(assigned) = self.assign(&mut state) {
            return Ok(Some(assigned));
        }
        let after = self.last.take();
        let (behind, before): (Vec<_>, Vec<_>) = self
            .cursors
            .keys()
            .cloned()
            .partition(|partition| after.as_ref().is_none_or(|last| partition > last));
        for place in behind.into_iter().chain(before) {
            let Some(partition) = state.partition(&place) else { continue };
            let Some(cursor) = self.cursors.get_mut(&place) else { continue };
            if cursor.paused || cursor.offset >= partition.end() {
                continue;
            }
            let batch = partition.read(&place, cursor.offset, cursor.event, BUDGET);
            let event = partition.event_at(batch.next.0);
            *cursor = Cursor { offset: batch.next.0, event, paused: false };
            self.last = Some(place);
            return Ok(Some(SubscriptionEvent::Batch(batch)));
        }
        self.last = after;
        Ok(None)
    }

    fn assign(&mut self, state: &mut State) -> Option<SubscriptionEvent> {
        let mut assignments = Vec::new();
        let group = state.groups.entry(self.group.clone()).or_default();
        for (name, stream) in state.streams.iter().filter(|(name, _)| self.pattern.matches(name)) {
            for (index, partition) in stream.partitions.iter().enumerate() {
                let place = stream.place(name, index);
                if self.cursors.contains_key(&place) {
                    continue;
                }
                let (start, start_event) = partition.start();
                let begin = (start, Some(start_event));
                let known = group.positions.get(&place).copied();
                if known.is_none() && start > 0 {
                    group.positions.insert(place.clone(), begin);
                }
                let (offset, event) = known.unwrap_or(begin);
                assignments.push(Assignment { partition: place.clone(), next: Offset(offset) });
                self.cursors.insert(place, Cursor { offset, event, paused: false });
            }
        }
        (!assignments.is_empty()).then_some(SubscriptionEvent::Assigned(assignments))
    }
}

#[async_trait]
impl Subscription for Member {
    async fn next(&mut self) -> Result<SubscriptionEvent, ReadError> {
        loop {
            self.changes.mark_unchanged();
            if let Some(event) = self.poll()? {
                return Ok(event);
            }
            if self.changes.changed().await.is_err() {
                return Err(ReadError::Closing);
            }
        }
    }

    fn seek(&mut self, partition: &StreamPartition, offset: Offset) {
        if let Some(cursor) = self.cursors.get_mut(partition) {
            *cursor = Cursor { offset: offset.0, event: None, paused: false };
        }
    }

    fn pause(&mut self, partition: &StreamPartition) {
        if let Some(cursor) = self.cursors.get_mut(partition) {
            cursor.paused = true;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(group) = self.shared.state().groups.get_mut(&self.group) {
            group.live = false;
        }
    }
}
