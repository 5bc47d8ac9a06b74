use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};
use weir_foundation::failure::chain;
use weir_foundation::retry::Backoff;
use weir_foundation::supervise::DrainToken;
use weir_journal::{Loss, ReadBatch, StoredRecord};
use weir_model::{IndexPrefix, Offset, StreamPartition, Timestamp};
use weir_redaction::Redactor;
use weir_store::{DeadLetter, DeadLetterError, Verdicts, WriteBatch, WriteError, WriteRecord};

use super::lookout::Lookout;
use super::patience::{Patience, Waited};
use super::{Job, Notice, Seams};
use crate::census::{CensusError, events_accounted, events_before, events_counted};
use crate::decode::{Decoded, decode, rejection_letter};
use crate::ledger::record_loss;
use crate::metrics::ConsumerMetrics;
use crate::steps::{Step, steps};
use crate::tally::Sheet;

/// Decodes batches and gives them to the stores, for as long as it takes: what is done with one job. Any number
/// of jobs may be in hand, each of another partition.
#[derive(Debug)]
pub(super) struct Deliverer {
    pub(super) seams: Seams,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) lookout: Lookout,
    pub(super) retry: Backoff,
    pub(super) metrics: ConsumerMetrics,
    pub(super) redactor: Redactor,
    /// Bytes of record values that are decoded at a time.
    pub(super) batch: usize,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it is done; so many events the partition took before the next record, if a record was seen.
    Done { events: Option<u64> },
    /// The store expects the partition to go on there.
    Rewind { to: Offset },
    /// The process drains.
    Draining,
}

/// The offsets that a step is about, and whether more of the partition waits behind it.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: Offset,
    next: Offset,
    more: bool,
}

/// Why a step was not done; doing it again changes nothing that was done.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the index store did not take a batch")]
    Write(#[source] WriteError),
    #[error("dead letters could not be kept")]
    DeadLetters(#[source] DeadLetterError),
    #[error("a loss could not be counted")]
    Count(#[source] CensusError),
}

/// What a step did, for metrics, once it is done for good.
#[derive(Debug, Default)]
struct Done {
    taken: BTreeMap<IndexPrefix, u64>,
    letters: Vec<DeadLetter>,
    /// Why the store refused events, a word for each of them, in the order of their letters.
    refusals: Vec<&'static str>,
}

/// What the store refused.
#[derive(Debug, Default)]
struct Refused {
    letters: Vec<DeadLetter>,
    /// As [`Done::refusals`].
    labels: Vec<&'static str>,
}

impl Deliverer {
    /// Does all of a job, of which the partition has had `events` before, if that is known. On drain the step in
    /// hand is finished if the stores take it, the rest is left in the journal.
    pub(super) async fn deliver(&self, job: Job, mut events: Option<u64>, drain: &DrainToken) -> Ended {
        let Job { batch, from, share, more, .. } = job;
        self.metrics.records_read(&batch);
        let started = self.seams.clock.monotonic();
        let mut patience = Patience::new(Arc::clone(&self.seams.clock), self.retry);
        let mut at = from;
        let steps = steps(&batch, self.batch);
        for (left, step) in (0..steps.len()).rev().zip(&steps) {
            let stretch = Stretch { from: at, next: step.next(), more: more || left > 0 };
            match self.insist(&batch, step, stretch, events, &mut patience, drain).await {
                Outcome::Done(done) => events = self.finish(&batch, step, done).await,
                Outcome::Rewound { to } => return Ended::Rewind { to },
                Outcome::Draining => return Ended::Draining,
            }
            at = step.next();
            if drain.is_draining() {
                return Ended::Draining;
            }
        }
        self.metrics.batch_took(self.seams.clock.monotonic().saturating_duration_since(started));
        drop(share);
        Ended::Done { events }
    }

    /// Tries until it is done.
    async fn insist(
        &self,
        batch: &ReadBatch,
        step: &Step,
        stretch: Stretch,
        events: Option<u64>,
        patience: &mut Patience,
        drain: &DrainToken,
    ) -> Outcome {
        loop {
            let attempt = match step {
                Step::Records { range, .. } => self.write(batch, range.clone(), stretch).await,
                Step::Pass(loss) => self.pass(batch, loss, stretch, events).await,
            };
            let error = match attempt {
                Ok(done) => {
                    patience.succeeded();
                    self.lookout.succeeded(&batch.partition);
                    return Outcome::Done(done);
                }
                Err(error) => error,
            };
            if let StepError::Write(WriteError::Gap { expected, .. }) = error {
                return Outcome::Rewound { to: expected };
            }
            warn!(partition = %batch.partition, error = %chain(&error), "could not deliver, trying again");
            self.metrics.retry();
            self.lookout.failed(&batch.partition, &error);
            if let Waited::Draining = patience.wait(drain).await {
                return Outcome::Draining;
            }
        }
    }

    async fn write(
        &self,
        batch: &ReadBatch,
        range: Range<usize>,
        stretch: Stretch,
    ) -> Result<Done, StepError> {
        let records = batch.records.get(range).unwrap_or_default();
        let Decoded { records, mut letters, events: mut taken } =
            decode(&batch.partition, records, &self.redactor, self.now());
        // First the dead, so that the store never is durable beyond an event that nobody has.
        self.bury(&letters).await?;
        let Refused { letters: refused, labels: refusals } = self.give(batch, records, stretch).await?;
        for prefix in refused.iter().filter_map(|letter| letter.prefix.as_ref()) {
            taken.entry(prefix.clone()).and_modify(|events| *events = events.saturating_sub(1));
        }
        letters.extend(refused);
        Ok(Done { taken, letters, refusals })
    }

    /// Gives records to the store and buries what it refuses.
    async fn give(
        &self,
        batch: &ReadBatch,
        records: Vec<WriteRecord>,
        stretch: Stretch,
    ) -> Result<Refused, StepError> {
        let Stretch { from, next, more } = stretch;
        let write = WriteBatch { partition: batch.partition.clone(), from, records, next, more };
        let sheet = Sheet::of(&write, &self.redactor, self.metrics.is_tallied());
        let verdicts = self.seams.store.write(write).await.map_err(StepError::Write)?;
        self.metrics.stored(&batch.partition, sheet, &verdicts);
        let refused = self.refused(batch, verdicts);
        self.bury(&refused.letters).await?;
        Ok(refused)
    }

    fn refused(&self, batch: &ReadBatch, verdicts: Verdicts) -> Refused {
        let now = self.now();
        let mut refused = Refused::default();
        for rejection in verdicts.rejected {
            let letter = rejection_letter(&batch.partition, &batch.records, &rejection, &self.redactor, now);
            if let Some(letter) = letter {
                refused.letters.push(letter);
                refused.labels.push(rejection.label);
            }
        }
        refused
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StepError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.seams.dead_letters.put(letters.to_vec()).await.map_err(StepError::DeadLetters)
    }

    /// Writes the loss down and goes on behind it.
    async fn pass(
        &self,
        batch: &ReadBatch,
        loss: &Loss,
        stretch: Stretch,
        before: Option<u64>,
    ) -> Result<Done, StepError> {
        let partition = &batch.partition;
        let events = self.events_lost(batch, loss, before).await.map_err(StepError::Count)?;
        let lost = record_loss(&*self.seams.dead_letters, partition, loss, events.unwrap_or(0), self.now())
            .await
            .map_err(StepError::DeadLetters)?;
        self.give(batch, Vec::new(), stretch).await?;
        self.metrics.lost(partition, loss.reason, lost);
        warn!(
            %partition, from = %loss.from, to = %loss.to, reason = ?loss.reason, events,
            "records of the journal were lost before they could be delivered"
        );
        Ok(Done::default())
    }

    /// How many events the range held, if anything tells.
    async fn events_lost(
        &self,
        batch: &ReadBatch,
        loss: &Loss,
        before: Option<u64>,
    ) -> Result<Option<u64>, CensusError> {
        if loss.events.is_some() {
            return Ok(loss.events);
        }
        let journal = &*self.seams.journal;
        let behind = batch.records.iter().find(|stored| stored.offset == loss.to);
        let after = match behind {
            Some(stored) => stored.first_event,
            None => events_before(journal, &batch.partition, loss.to).await.map_err(CensusError::Journal)?,
        };
        let Some(after) = after else { return self.least_lost(&batch.partition, loss).await };
        let before = match before {
            Some(events) => events,
            None => self.events_below(&batch.partition, loss.from).await?,
        };
        Ok(Some(after.saturating_sub(before)))
    }

    /// Where the journal does not count events: a lost offset was one event or more.
    async fn least_lost(&self, partition: &StreamPartition, loss: &Loss) -> Result<Option<u64>, CensusError> {
        let counted = events_counted(&*self.seams.journal, partition).await.map_err(CensusError::Journal)?;
        Ok((!counted).then(|| loss.to.0.saturating_sub(loss.from.0)))
    }

    /// How many events the partition took before `offset`, which everything below was delivered of.
    async fn events_below(&self, partition: &StreamPartition, offset: Offset) -> Result<u64, CensusError> {
        let Seams { journal, store, dead_letters, .. } = &self.seams;
        let known = events_before(&**journal, partition, offset).await.map_err(CensusError::Journal)?;
        match known {
            Some(events) => Ok(events),
            None => events_accounted(&**store, &**dead_letters, partition, offset).await,
        }
    }

    /// Answers how many events the partition took before what follows the step, if that is known.
    async fn finish(&self, batch: &ReadBatch, step: &Step, done: Done) -> Option<u64> {
        let events = match step {
            Step::Records { range, .. } => {
                let last = range.end.checked_sub(1).and_then(|last| batch.records.get(last));
                last.and_then(StoredRecord::event_after)
            }
            Step::Pass(loss) => {
                let behind = batch.records.iter().find(|stored| stored.offset == loss.to);
                behind.and_then(|stored| stored.first_event)
            }
        };
        self.metrics.delivered(&batch.partition, &done.taken, &done.letters, &done.refusals);
        self.lookout.advanced();
        let notice = Notice::Delivered { partition: batch.partition.clone(), next: step.next(), events };
        if self.notices.send(notice).await.is_err() {
            info!("nobody commits any more");
        }
        events
    }

    fn now(&self) -> Timestamp {
        self.seams.clock.now().into()
    }
}

/// What came of insisting.
enum Outcome {
    Done(Done),
    Rewound { to: Offset },
    Draining,
}
