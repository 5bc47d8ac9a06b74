//! Tells subscriptions which of their partitions have something new, so that nobody looks at idle ones, and
//! hands them what was just made durable, so that a subscription that keeps up reads no file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashSet};
use tokio::sync::Notify;
use weir_model::Offset;

use super::catalog::{Catalog, Partition, Stream};
use crate::seam::{ReadBudget, StoredRecord, StreamPattern};

/// Bytes of values that are kept for one subscription; when it is further behind it reads from the files.
const INBOX_BYTES: usize = 16 << 20;

/// A record that became durable, and the partition that it is in.
pub(super) type Fresh = (u32, StoredRecord);

/// All subscriptions that are open.
#[derive(Debug, Default)]
pub(super) struct Feeds(Mutex<Vec<Arc<Feed>>>);

/// What one subscription has to look at.
#[derive(Debug)]
pub(super) struct Feed {
    pattern: StreamPattern,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: HashSet<u32>,
    assigned: Vec<Arc<Partition>>,
    ready: VecDeque<u32>,
    queued: HashSet<u32>,
    /// Records in order of their offsets, with gaps where there was no room.
    inbox: HashMap<u32, VecDeque<StoredRecord>>,
    inbox_bytes: usize,
    closed: bool,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Turn {
    Assigned(Vec<Arc<Partition>>),
    Ready(u32),
    Closed,
}

impl Feeds {
    /// A feed that knows every stream there is and every one to come.
    pub(super) fn open(&self, pattern: StreamPattern, catalog: &Catalog) -> Arc<Feed> {
        let feed = Arc::new(Feed { pattern, state: Mutex::default(), arrived: Notify::new() });
        let mut feeds = self.list();
        feeds.push(Arc::clone(&feed));
        for stream in catalog.streams() {
            feed.offer(&stream);
        }
        feed
    }

    pub(super) fn close(&self, feed: &Arc<Feed>) {
        self.list().retain(|known| !Arc::ptr_eq(known, feed));
    }

    pub(super) fn close_all(&self) {
        for feed in self.list().drain(..) {
            feed.state().closed = true;
            feed.arrived.notify_one();
        }
    }

    /// `created` and `grown` became readable, `fresh` of it perhaps without reading.
    pub(super) fn publish(&self, created: &[Arc<Stream>], grown: &[u32], fresh: &[Fresh]) {
        for feed in self.list().iter() {
            for stream in created {
                feed.offer(stream);
            }
            feed.grown(grown, fresh);
        }
    }

    /// Whether anybody follows, so that it is worth keeping what is written.
    pub(super) fn is_followed(&self) -> bool {
        !self.list().is_empty()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Feed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Waits for something to do. Cancel safe.
    pub(super) async fn turn(&self) -> Turn {
        loop {
            if let Some(turn) = self.state().turn() {
                return turn;
            }
            self.arrived.notified().await;
        }
    }

    /// There is (still) something in the partition: it has its turn after all others that are ready.
    pub(super) fn ready(&self, partition: u32) {
        self.state().queue(partition);
    }

    fn offer(&self, stream: &Stream) {
        if !self.pattern.matches(&stream.name) {
            return;
        }
        let mut state = self.state();
        for partition in &stream.partitions {
            if state.known.insert(partition.id) {
                state.assigned.push(Arc::clone(partition));
                state.queue(partition.id);
            }
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// The records from `from` on that are at hand, and nothing if that one is not.
    pub(super) fn take(&self, partition: u32, from: Offset, budget: ReadBudget) -> Vec<StoredRecord> {
        self.state().take(partition, from, budget)
    }

    fn grown(&self, partitions: &[u32], fresh: &[Fresh]) {
        let mut state = self.state();
        for (partition, record) in fresh {
            state.keep(*partition, record);
        }
        let mut news = false;
        for partition in partitions {
            if state.known.contains(partition) {
                state.queue(*partition);
                news = true;
            }
        }
        drop(state);
        if news {
            self.arrived.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn turn(&mut self) -> Option<Turn> {
        if self.closed {
            return Some(Turn::Closed);
        }
        if !self.assigned.is_empty() {
            return Some(Turn::Assigned(std::mem::take(&mut self.assigned)));
        }
        let partition = self.ready.pop_front()?;
        self.queued.remove(&partition);
        Some(Turn::Ready(partition))
    }

    fn keep(&mut self, partition: u32, record: &StoredRecord) {
        let bytes = record.record.value.len();
        if self.known.contains(&partition) && self.inbox_bytes + bytes <= INBOX_BYTES {
            self.inbox_bytes += bytes;
            self.inbox.entry(partition).or_default().push_back(record.clone());
        }
    }

    fn take(&mut self, partition: u32, from: Offset, budget: ReadBudget) -> Vec<StoredRecord> {
        let Some(inbox) = self.inbox.get_mut(&partition) else { return Vec::new() };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut next = from;
        while let Some(first) = inbox.front().filter(|first| first.offset <= next) {
            let size = first.record.value.len();
            let wanted = first.offset == next;
            let fits = taken.is_empty() || (taken.len() < budget.records && bytes + size <= budget.bytes);
            if wanted && !fits {
                break;
            }
            self.inbox_bytes -= size;
            let Some(first) = inbox.pop_front() else { break };
            // What is before was read from a file meanwhile.
            if wanted {
                next = Offset(next.0 + 1);
                bytes += size;
                taken.push(first);
            }
        }
        taken
    }

    fn queue(&mut self, partition: u32) {
        if self.queued.insert(partition) {
            self.ready.push_back(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_model::{Record, RecordFormat, Timestamp};

    use super::*;

    fn state() -> State {
        State { known: [7].into_iter().collect(), ..State::default() }
    }

    fn record(offset: u64, bytes: usize) -> StoredRecord {
        let record = Record {
            format: RecordFormat::Events,
            events: Some(1),
            received: Timestamp::default(),
            batch: None,
            value: Bytes::from(vec![0; bytes]),
        };
        StoredRecord { offset: Offset(offset), first_event: Some(offset), record }
    }

    fn kept(offsets: impl IntoIterator<Item = u64>) -> State {
        let mut state = state();
        offsets.into_iter().for_each(|offset| state.keep(7, &record(offset, 10)));
        state
    }

    #[track_caller]
    fn check_take(state: &mut State, from: u64, budget: ReadBudget, expected: &[u64]) {
        let taken = state.take(7, Offset(from), budget);
        let offsets: Vec<u64> = taken.iter().map(|stored| stored.offset.0).collect();
        assert_eq!(offsets, expected);
        let left: usize = state.inbox.values().flatten().map(|stored| stored.record.value.len()).sum();
        assert_eq!(state.inbox_bytes, left, "what is left is counted");
    }

    const PLENTY: ReadBudget = ReadBudget { bytes: 1000, records: 100 };

    #[test]
    fn what_is_next_is_taken_within_the_budget() {
        let mut state = kept(3..9);
        check_take(&mut state, 3, ReadBudget { bytes: 25, records: 100 }, &[3, 4]);
        check_take(&mut state, 5, ReadBudget { bytes: 1000, records: 1 }, &[5]);
        check_take(&mut state, 6, ReadBudget { bytes: 1, records: 100 }, &[6]);
        check_take(&mut state, 7, PLENTY, &[7, 8]);
        check_take(&mut state, 9, PLENTY, &[]);
    }

    #[test]
    fn what_is_not_next_is_left_or_was_read_elsewhere() {
        check_take(&mut kept(3..6), 2, PLENTY, &[]);
        check_take(&mut kept(3..6), 5, PLENTY, &[5]);
        check_take(&mut kept(3..6), 8, PLENTY, &[]);
        let mut gap = kept([3, 4, 8, 9]);
        check_take(&mut gap, 3, PLENTY, &[3, 4]);
        check_take(&mut gap, 5, PLENTY, &[]);
        check_take(&mut gap, 8, PLENTY, &[8, 9]);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut state = state();
        for offset in 0..5 {
            state.keep(7, &record(offset, INBOX_BYTES / 3));
            state.keep(8, &record(offset, 1));
        }
        assert!(state.inbox_bytes <= INBOX_BYTES);
        let all = ReadBudget { bytes: usize::MAX, records: 100 };
        check_take(&mut state, 0, all, &[0, 1, 2]);
        assert_eq!(state.take(8, Offset(0), all), [], "nobody follows it");
        state.keep(7, &record(5, 10));
        check_take(&mut state, 3, all, &[]);
        check_take(&mut state, 5, all, &[5]);
    }
}
