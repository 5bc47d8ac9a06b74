//! Tells subscriptions which of their partitions have something new, so that nobody looks at idle ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashSet;
use tokio::sync::Notify;

use super::catalog::{Catalog, Partition, Stream};
use crate::seam::StreamPattern;

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

    /// `created` and `grown` became readable.
    pub(super) fn publish(&self, created: &[Arc<Stream>], grown: &[u32]) {
        for feed in self.list().iter() {
            for stream in created {
                feed.offer(stream);
            }
            feed.grown(grown);
        }
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

    fn grown(&self, partitions: &[u32]) {
        let mut state = self.state();
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

    fn queue(&mut self, partition: u32) {
        if self.queued.insert(partition) {
            self.ready.push_back(partition);
        }
    }
}
