//! A member of a group: follows all partitions of all streams that it wants, each in its turn.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use foldhash::HashMap;
use weir_foundation::supervise::BlockingError;
use weir_model::{Offset, StreamPartition};

use super::catalog::Partition;
use super::feed::{Feed, Turn};
use super::file::FileError;
use super::groups::Membership;
use super::journal::Shared;
use super::reader::{Cursor, Scan};
use crate::error::ReadError;
use crate::seam::{Assignment, ReadBatch, ReadBudget, Subscription, SubscriptionEvent};

/// Records in one batch at most; with small records the bytes alone would allow too many.
const BATCH_RECORDS: usize = 10_000;

type Reading = Pin<Box<dyn Future<Output = Result<Result<Scan, FileError>, BlockingError>> + Send>>;

pub(super) struct Member {
    shared: Arc<Shared>,
    membership: Membership,
    feed: Arc<Feed>,
    partitions: HashMap<u32, Following>,
    /// Survives a `next` that is cancelled.
    reading: Option<(u32, Cursor, Reading)>,
}

struct Following {
    partition: Arc<Partition>,
    cursor: Cursor,
    paused: bool,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, membership: Membership, feed: Arc<Feed>) -> Self {
        Self { shared, membership, feed, partitions: HashMap::default(), reading: None }
    }

    fn assign(&mut self, partitions: Vec<Arc<Partition>>) -> SubscriptionEvent {
        let mut assignments = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let cursor = match self.shared.groups.position(self.membership.group(), partition.id) {
                Some(position) => Cursor { offset: position.offset, event: position.event },
                None => Cursor { offset: 0, event: Some(0) },
            };
            assignments.push(Assignment { partition: partition.place.clone(), next: Offset(cursor.offset) });
            self.partitions.insert(partition.id, Following { partition, cursor, paused: false });
        }
        SubscriptionEvent::Assigned(assignments)
    }

    /// What is at hand without reading.
    fn at_hand(&mut self, id: u32) -> Option<ReadBatch> {
        let budget = self.budget();
        let following = self.partitions.get_mut(&id).filter(|following| !following.paused)?;
        let records = self.feed.take(id, Offset(following.cursor.offset), budget);
        let last = records.last()?;
        let next = Offset(last.offset.0 + 1);
        following.cursor = Cursor { offset: next.0, event: last.event_after() };
        if next.0 < following.partition.extent().end {
            self.feed.ready(id);
        }
        let partition = following.partition.place.clone();
        Some(ReadBatch { partition, records, losses: Vec::new(), next })
    }

    fn budget(&self) -> ReadBudget {
        ReadBudget { bytes: self.shared.settings.read_batch.as_usize(), records: BATCH_RECORDS }
    }

    fn begin(&self, id: u32) -> Option<(u32, Cursor, Reading)> {
        let following = self.partitions.get(&id).filter(|following| !following.paused)?;
        let cursor = following.cursor;
        if cursor.offset >= following.partition.extent().end {
            return None;
        }
        let (shared, partition) = (Arc::clone(&self.shared), Arc::clone(&following.partition));
        let budget = self.budget();
        let read = move || shared.reader.read(&partition, cursor, budget);
        Some((id, cursor, Box::pin(self.shared.spawner.blocking("journal.read", read))))
    }

    /// The batch, unless `seek` or `pause` made it void meanwhile or there was nothing.
    fn finish(&mut self, id: u32, from: Cursor, scan: Scan) -> Option<ReadBatch> {
        let following = self.partitions.get_mut(&id).filter(|following| !following.paused)?;
        if following.cursor.offset != from.offset {
            self.feed.ready(id);
            return None;
        }
        following.cursor = scan.next;
        if scan.next.offset < following.partition.extent().end {
            self.feed.ready(id);
        }
        if scan.records.is_empty() && scan.losses.is_empty() {
            return None;
        }
        self.shared.counters.lost(&scan.losses);
        Some(ReadBatch {
            partition: following.partition.place.clone(),
            records: scan.records,
            losses: scan.losses,
            next: Offset(scan.next.offset),
        })
    }
}

#[async_trait]
impl Subscription for Member {
    async fn next(&mut self) -> Result<SubscriptionEvent, ReadError> {
        loop {
            if let Some((id, from, reading)) = &mut self.reading {
                let (id, from) = (*id, *from);
                let read = reading.await;
                self.reading = None;
                let read = match read {
                    Ok(read) => read.map_err(|error| ReadError::Failed(Box::new(error))),
                    Err(error) => Err(ReadError::Failed(Box::new(error))),
                };
                // What could not be read is still there.
                let scan = read.inspect_err(|_| self.feed.ready(id))?;
                if let Some(batch) = self.finish(id, from, scan) {
                    return Ok(SubscriptionEvent::Batch(batch));
                }
            }
            match self.feed.turn().await {
                Turn::Closed => return Err(ReadError::Closing),
                Turn::Assigned(partitions) => return Ok(self.assign(partitions)),
                Turn::Ready(id) => match self.at_hand(id) {
                    Some(batch) => return Ok(SubscriptionEvent::Batch(batch)),
                    None => self.reading = self.begin(id),
                },
            }
        }
    }

    fn seek(&mut self, partition: &StreamPartition, offset: Offset) {
        let Some(partition) = self.shared.catalog.partition(partition) else { return };
        if let Some(following) = self.partitions.get_mut(&partition.id) {
            following.cursor = Cursor::at(offset);
            following.paused = false;
            self.feed.ready(partition.id);
        }
    }

    fn pause(&mut self, partition: &StreamPartition) {
        let Some(partition) = self.shared.catalog.partition(partition) else { return };
        if let Some(following) = self.partitions.get_mut(&partition.id) {
            following.paused = true;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.feeds.close(&self.feed);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("group", &self.membership.group()).finish_non_exhaustive()
    }
}
