//! Reads records and packs them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use weir_foundation::clock::Clock;
use weir_foundation::supervise::{BlockingError, Spawner};
use weir_journal::sqlite::SqliteJournal;
use weir_journal::{Journal as _, LossReason, ReadBatch, ReadBudget, ReadError, StoredRecord};
use weir_model::{IndexPrefix, Offset, StreamPartition, Timestamp};
use weir_uplink::Parcel;
use weir_wire::{EventsBuilder, raw_events};

use super::Shared;
use super::line::{Cargo, Point, Unread};
use super::report::Reason;

/// The largest parcel before it is packed, unless a single event is larger: more of them would not go faster.
const PARCEL: usize = 1 << 20;

/// Records of a parcel at most: where each ends is remembered.
const RECORDS: usize = 4_096;

/// What may pass for one look at what is too old.
const LOOK: ReadBudget = ReadBudget { bytes: PARCEL, records: RECORDS };

#[derive(Debug)]
pub(super) struct Loader {
    journal: Arc<SqliteJournal>,
    partition: StreamPartition,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
    max_age: Option<Duration>,
}

/// What is at a place.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing yet.
    Nothing,
    /// Nothing that can be sent, up to there.
    Gap { to: Point, reason: Reason },
    /// Records, before whose first there are so many events.
    Cargo { event: u64, cargo: Cargo },
}

/// The record that waits longest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oldest {
    pub(super) point: Point,
    pub(super) received: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("the spool could not be read")]
    Read(#[from] ReadError),
    #[error("events could not be packed")]
    Pack(#[from] io::Error),
    #[error("packing was given up")]
    GivenUp(#[from] BlockingError),
}

impl Loader {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            journal: Arc::clone(&shared.journal),
            partition: shared.partition.clone(),
            clock: Arc::clone(&shared.clock),
            spawner: shared.spawner.clone(),
            max_age: shared.settings.max_age,
        }
    }

    /// What can be sent next as one, or is gone.
    pub(super) async fn load(&self, unread: Unread, max_parcel: usize) -> Result<Found, LoadError> {
        let Unread { from, to } = unread;
        let budget = ReadBudget { bytes: max_parcel.min(PARCEL), records: RECORDS };
        let mut batch = self.journal.read(&self.partition, Offset(from.offset), budget).await?;
        if let Some(to) = to {
            batch.records.retain(|stored| stored.offset.0 < to.offset);
        }
        if let Some(gap) = self.gap(&batch, unread, max_parcel) {
            return Ok(gap);
        }
        let Some(first) = batch.records.first() else { return Ok(Found::Nothing) };
        let event = first.first_event.unwrap_or(from.event);
        let end = batch.losses.iter().map(|loss| loss.from.0).min().unwrap_or(u64::MAX);
        batch.records.retain(|stored| stored.offset.0 < end);
        let pack = move || pack(batch.records, event);
        match self.spawner.blocking("agent.spool.pack", pack).await?? {
            Some(cargo) => Ok(Found::Cargo { event, cargo }),
            None => {
                let to = Point { offset: from.offset + 1, event };
                Ok(Found::Gap { to, reason: Reason::Damaged })
            }
        }
    }

    /// What is at the beginning of a batch and can not be sent.
    fn gap(&self, batch: &ReadBatch, unread: Unread, max_parcel: usize) -> Option<Found> {
        let Unread { from, to } = unread;
        let first = batch.records.first();
        if batch.losses.first().is_some_and(|loss| first.is_none_or(|first| loss.from < first.offset)) {
            return Some(lost(batch, unread));
        }
        let is_expired = |stored: &&StoredRecord| self.is_expired(stored.record.received);
        let too_old = batch.records.iter().take_while(is_expired).last();
        if let Some(last) = too_old {
            return Some(Found::Gap { to: behind(last, from), reason: Reason::Expired });
        }
        match first {
            Some(first) if first.record.value.len() > max_parcel => {
                Some(Found::Gap { to: behind(first, from), reason: Reason::TooLarge })
            }
            Some(_) => None,
            // What was here before is not here any more.
            None => to.map(|to| Found::Gap { to, reason: Reason::Damaged }),
        }
    }

    /// The first record that can be read from there on.
    pub(super) async fn oldest(&self, from: Point) -> Result<Option<Oldest>, LoadError> {
        let budget = ReadBudget { bytes: 0, records: 1 };
        let batch = self.journal.read(&self.partition, Offset(from.offset), budget).await?;
        Ok(batch.records.first().map(|first| oldest(first, from)))
    }

    /// The first record that is not too old, or where there is none yet.
    pub(super) async fn first_young(&self, from: Point) -> Result<Point, LoadError> {
        let mut point = from;
        loop {
            let batch = self.journal.read(&self.partition, Offset(point.offset), LOOK).await?;
            for stored in &batch.records {
                if !self.is_expired(stored.record.received) {
                    return Ok(oldest(stored, point).point);
                }
                point = behind(stored, point);
            }
            if batch.next.0 <= point.offset {
                return Ok(point);
            }
            point.offset = batch.next.0;
        }
    }

    pub(super) fn is_expired(&self, received: Timestamp) -> bool {
        self.max_age.is_some_and(|age| received.saturating_add(age) <= Timestamp::from(self.clock.now()))
    }
}

fn oldest(stored: &StoredRecord, from: Point) -> Oldest {
    let event = stored.first_event.unwrap_or(from.event);
    Oldest { point: Point { offset: stored.offset.0, event }, received: stored.record.received }
}

/// The point behind a record.
fn behind(stored: &StoredRecord, from: Point) -> Point {
    Point { offset: stored.offset.0 + 1, event: stored.event_after().unwrap_or(from.event) }
}

/// The losses that a batch begins with, up to its first record. The journal knows how many events they had where the next
/// record is known.
fn lost(batch: &ReadBatch, Unread { from, to }: Unread) -> Found {
    let first = batch.records.first();
    let before = first.map_or(u64::MAX, |first| first.offset.0);
    let losses = batch.losses.iter().filter(|loss| loss.from.0 < before);
    let end = losses.clone().map(|loss| loss.to.0).max().unwrap_or(from.offset).min(before);
    let told: u64 = losses.clone().filter_map(|loss| loss.events).sum();
    let event = first.and_then(|first| first.first_event).unwrap_or(from.event + told);
    let reason = match losses.map(|loss| loss.reason).next() {
        // Files go only after they were passed over.
        Some(LossReason::Expired) => Reason::Full,
        Some(LossReason::Damaged | LossReason::Cut) | None => Reason::Damaged,
    };
    let found = Point { offset: end, event: event.max(from.event) };
    let to = to.filter(|to| to.offset <= end).unwrap_or(found);
    Found::Gap { to, reason }
}

/// As many of the records as have the same app. None if the first of them is no record of events.
fn pack(records: Vec<StoredRecord>, event: u64) -> io::Result<Option<Cargo>> {
    let mut records = records.into_iter().peekable();
    let Some(prefix) = records.peek().and_then(prefix) else { return Ok(None) };
    let Some(received) = records.peek().map(|first| first.record.received) else { return Ok(None) };
    let app = prefix.as_str().to_owned();
    let mut builder = EventsBuilder::with_capacity(&prefix, PARCEL);
    let (mut ends, mut events) = (Vec::new(), event);
    for StoredRecord { offset, record, .. } in records {
        let Ok(raw) = raw_events(&record.value) else { break };
        if raw.index_prefix() != app {
            break;
        }
        raw.for_each(|event| builder.push_raw(event, record.received));
        events += u64::from(record.events.unwrap_or(0));
        ends.push(Point { offset: offset.0 + 1, event: events });
    }
    let raw = builder.bytes();
    let parcel = Parcel::pack(&app, None, builder)?;
    Ok(Some(Cargo { parcel, app, raw, received, ends }))
}

fn prefix(stored: &StoredRecord) -> Option<IndexPrefix> {
    IndexPrefix::new(raw_events(&stored.record.value).ok()?.index_prefix()).ok()
}
