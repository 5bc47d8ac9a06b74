//! Follows the partitions of one stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weir_foundation::failure::chain;
use weir_foundation::supervise::BlockingError;
use weir_journal::{Loss, PartitionBounds, ReadBatch, ReadBudget, ReadError, StoredRecord};
use weir_model::{EventId, Offset, Position, StreamName, StreamPartition, Timestamp};
use weir_redaction::Redactor;
use weir_store::query::Query;

use super::start::{self, Start};
use crate::admission::Place as Admitted;
use crate::api;
use crate::failure::Failure;
use crate::server::Shared;
use crate::{hit, records};

/// What a tail tells its caller.
#[derive(Debug)]
pub(super) enum Shown {
    Hit(api::Hit),
    Gap(api::TailGap),
    Waiting { stream: String },
}

/// A tail. Reads when it is asked for the next thing to show, and not before.
pub(super) struct Follow {
    shared: Arc<Shared>,
    _admitted: Admitted,
    open: OpenTail,
    stream: StreamName,
    query: Arc<Query>,
    start: Start,
    /// How many more hits to show.
    left: u64,
    places: Vec<Place>,
    changes: watch::Receiver<u64>,
    pending: VecDeque<Shown>,
}

/// Where the tail is in one partition.
#[derive(Debug)]
struct Place {
    partition: StreamPartition,
    next: Offset,
    /// Events of the partition before `next`, if they are counted.
    events: Option<u64>,
    /// Has been at the end once; what came before that is history, which is never skipped.
    live: bool,
    /// The last read was cut by its budget, so that there may be much more.
    full: bool,
}

/// Something to show, with what orders it among the partitions of a round.
type Timed = (Timestamp, Shown);

/// Of one partition and round.
const BUDGET: ReadBudget = ReadBudget { bytes: 512 << 10, records: 256 };

/// Of records, that are looked at without going to another thread.
const INLINE: usize = 64 << 10;

/// Between two rounds, so that a busy journal is not asked after each of its syncs.
const PAUSE: Duration = Duration::from_millis(20);

impl Follow {
    /// Finds the places to begin at before it returns, so that "from now on" means from the request on.
    pub(super) async fn new(
        shared: Arc<Shared>,
        admitted: Admitted,
        stream: StreamName,
        query: Query,
        start: Start,
        limit: Option<u64>,
    ) -> Result<Self, Failure> {
        let changes = shared.parts.journal.changes();
        let open = OpenTail::new(&shared);
        let mut follow = Self {
            shared,
            _admitted: admitted,
            open,
            stream,
            query: Arc::new(query),
            start,
            left: limit.unwrap_or(u64::MAX),
            places: Vec::new(),
            changes,
            pending: VecDeque::new(),
        };
        follow.find_places().await?;
        if follow.places.is_empty() {
            follow.pending.push_back(Shown::Waiting { stream: follow.stream.to_string() });
            // All that the stream will hold is new.
            follow.start = Start::Received(Timestamp::MIN);
        }
        Ok(follow)
    }

    /// The next thing to show; nothing when the limit is reached, the process drains or the journal fails.
    pub(super) async fn next(&mut self) -> Option<Shown> {
        let drain = self.shared.drain.clone();
        tokio::select! {
            () = drain.draining() => None,
            shown = self.wait() => match shown {
                Ok(shown) => shown,
                Err(error) => {
                    tracing::warn!(stream = %self.stream, error = %chain(&error), "tail ended");
                    None
                }
            },
        }
    }

    async fn wait(&mut self) -> Result<Option<Shown>, ReadError> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            if let Some(shown) = self.pending.pop_front() {
                if matches!(shown, Shown::Hit(_)) {
                    self.left -= 1;
                }
                return Ok(Some(shown));
            }
            self.changes.borrow_and_update();
            if self.places.is_empty() {
                self.find_places().await?;
            }
            let progress = self.round().await?;
            if progress == Progress::Nothing {
                if self.changes.changed().await.is_err() {
                    return Ok(None);
                }
                self.shared.parts.clock.sleep(PAUSE).await;
            }
        }
    }

    async fn find_places(&mut self) -> Result<(), ReadError> {
        let journal = &self.shared.parts.journal;
        let streams = journal.streams().await?;
        let Some(info) = streams.iter().find(|info| info.name == self.stream) else {
            return Ok(());
        };
        for bounds in &info.partitions {
            let next = start::offset(&**journal, bounds, self.start).await?;
            let events = if next == bounds.end { bounds.end_event } else { bounds.start_event };
            let live = next == bounds.end;
            self.places.push(Place { partition: bounds.partition.clone(), next, events, live, full: false });
        }
        Ok(())
    }

    /// Reads each partition once and puts what is to be shown in the order of receipt.
    async fn round(&mut self) -> Result<Progress, ReadError> {
        let mut found: Vec<Timed> = Vec::new();
        let mut progress = Progress::Nothing;
        for at in 0..self.places.len() {
            if let Some(gap) = self.skip_if_behind(at).await? {
                found.push((Timestamp::MIN, Shown::Gap(gap)));
                progress = Progress::Some;
            }
            let place = &mut self.places[at];
            let batch = self.shared.parts.journal.read(&place.partition, place.next, BUDGET).await?;
            if batch.next == place.next {
                place.live = true;
                continue;
            }
            progress = Progress::Some;
            place.next = batch.next;
            place.full = fills(&batch);
            let lost: u64 = batch.losses.iter().filter_map(|loss| loss.events).sum();
            place.events = place.events.map(|events| events + lost);
            if let Some(last) = batch.records.last() {
                place.events = last.event_after();
            }
            let partition = place.partition.clone();
            found.extend(self.look(partition, batch).await?);
        }
        found.sort_by_key(|(received, _)| *received);
        self.pending.extend(found.into_iter().map(|(_, shown)| shown));
        Ok(progress)
    }

    /// Finds what is to be shown, away from the runtime where that may last.
    async fn look(&self, partition: StreamPartition, batch: ReadBatch) -> Result<Vec<Timed>, ReadError> {
        let lens = Lens { query: Arc::clone(&self.query), redactor: self.shared.parts.redactor.clone() };
        if size(&batch) <= INLINE {
            return Ok(lens.shown(&partition, &batch));
        }
        let work = move || lens.shown(&partition, &batch);
        let found = self.shared.parts.spawner.blocking("server.tail", work).await;
        found.map_err(|error| match error {
            BlockingError::ShuttingDown { .. } => ReadError::Closing,
            BlockingError::Panicked { .. } => ReadError::Failed(error.into()),
        })
    }

    /// Takes a place to the end if it is live and too far behind.
    async fn skip_if_behind(&mut self, at: usize) -> Result<Option<api::TailGap>, ReadError> {
        let place = &self.places[at];
        if !place.live || !place.full {
            return Ok(None);
        }
        let streams = self.shared.parts.journal.streams().await?;
        let info = streams.iter().find(|info| info.name == self.stream);
        let bounds = info.and_then(|info| info.partition(place.partition.partition)).cloned();
        let Some(PartitionBounds { end, end_event, .. }) = bounds else {
            return Ok(None);
        };
        let events = end_event.zip(place.events).map(|(end, events)| end.saturating_sub(events));
        // Where events are not counted, a record stands for one.
        let behind = events.unwrap_or(end.0.saturating_sub(place.next.0));
        if behind <= self.shared.settings.tail_lag {
            return Ok(None);
        }
        let place = &mut self.places[at];
        (place.next, place.events) = (end, end_event);
        self.open.skipped(behind);
        Ok(Some(gap(&place.partition, events, "slow-reader")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    Some,
}

fn size(batch: &ReadBatch) -> usize {
    batch.records.iter().map(|stored| stored.record.value.len()).sum()
}

fn fills(batch: &ReadBatch) -> bool {
    batch.records.len() >= BUDGET.records || size(batch) >= BUDGET.bytes / 2
}

/// What of the records is to be shown.
struct Lens {
    query: Arc<Query>,
    redactor: Redactor,
}

impl Lens {
    fn shown(&self, partition: &StreamPartition, batch: &ReadBatch) -> Vec<Timed> {
        let mut found = Vec::new();
        for Loss { events, reason, .. } in &batch.losses {
            found.push((Timestamp::MIN, Shown::Gap(gap(partition, *events, reason.as_str()))));
        }
        for stored in &batch.records {
            self.take_record(partition, stored, &mut found);
        }
        found
    }

    /// Redacts first, so that no query finds what is not shown.
    fn take_record(&self, partition: &StreamPartition, stored: &StoredRecord, found: &mut Vec<Timed>) {
        let received = stored.record.received;
        let undecodable = |events| (received, Shown::Gap(gap(partition, events, "undecodable")));
        let Ok(batch) = records::redacted(&stored.record, &self.redactor) else {
            found.push(undecodable(stored.record.events.map(u64::from)));
            return;
        };
        for (index, event) in (0u32..).zip(batch.events()) {
            match event.content {
                Ok(content) if self.query.matches(content) => {
                    let position = Position { partition: partition.clone(), offset: stored.offset, index };
                    let hit = hit::of_content(&EventId(position), event.time, received, &content);
                    found.push((received, Shown::Hit(hit)));
                }
                Ok(_) => {}
                Err(_) => found.push(undecodable(Some(1))),
            }
        }
    }
}

fn gap(partition: &StreamPartition, events: Option<u64>, reason: &str) -> api::TailGap {
    api::TailGap { partition: partition.partition.0, events, reason: reason.to_owned() }
}

/// Keeps the gauge of open tails.
struct OpenTail(Arc<Shared>);

impl OpenTail {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.metrics.tails.inc();
        Self(Arc::clone(shared))
    }

    fn skipped(&self, events: u64) {
        self.0.metrics.tail_skipped.inc_by(events);
    }
}

impl Drop for OpenTail {
    fn drop(&mut self) {
        self.0.metrics.tails.dec();
    }
}
