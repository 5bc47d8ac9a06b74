use std::collections::BTreeMap;
use std::ops::Range;

use tokio::sync::mpsc;
use tracing::{info, warn};
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_journal::{Loss, ReadBatch};
use weir_model::{IndexPrefix, Offset, StreamPartition, Timestamp};
use weir_store::{DeadLetter, DeadLetterError, Verdicts, WriteBatch, WriteError, WriteRecord};

use super::patience::{Patience, Waited};
use super::{Job, Notice, Rewind, Seams};
use crate::census::{CensusError, events_accounted, events_before};
use crate::decode::{Decoded, decode, rejection_letter};
use crate::ledger::record_loss;
use crate::metrics::ConsumerMetrics;
use crate::steps::{Step, steps};

/// Decodes batches and gives them to the stores, one after the other and for as long as it takes.
///
/// Decoding is heavy, so this runs on a thread of its own.
#[derive(Debug)]
pub(super) struct Deliverer {
    pub(super) seams: Seams,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) rewinds: mpsc::Sender<Rewind>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) patience: Patience,
    pub(super) metrics: ConsumerMetrics,
    /// Bytes of record values that are decoded at a time.
    pub(super) batch: usize,
    pub(super) lanes: BTreeMap<StreamPartition, Lane>,
}

/// How far a partition is.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Jobs below are of before the last rewind.
    round: u64,
    /// How many events the partition took before the next record, if a record was seen.
    events: Option<u64>,
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

/// Whether there is more to do.
enum Flow {
    GoOn,
    End,
}

/// What a step did, for metrics, once it is done for good.
#[derive(Debug, Default)]
struct Done {
    taken: BTreeMap<IndexPrefix, u64>,
    letters: Vec<DeadLetter>,
}

impl Deliverer {
    /// On drain the step in hand is finished if the stores take it, the rest is left in the journal, and what
    /// was taken is made durable.
    pub(super) async fn run(mut self, drain: DrainToken) {
        loop {
            let job = tokio::select! {
                biased;
                () = drain.draining() => None,
                job = self.jobs.recv() => job,
            };
            let Some(job) = job else { break };
            if let Flow::End = self.deliver(job, &drain).await {
                break;
            }
            let progress = self.patience.progress();
            match self.jobs.is_empty() {
                true => progress.idle(),
                false => progress.advanced(),
            }
        }
        if let Err(error) = self.seams.store.flush().await {
            warn!(error = %chain(&error), "could not make everything durable, the rest is delivered again");
        }
    }

    async fn deliver(&mut self, job: Job, drain: &DrainToken) -> Flow {
        let Job { batch, from, round, permit } = job;
        let lane = self.lanes.entry(batch.partition.clone()).or_default();
        if round < lane.round {
            return Flow::GoOn;
        }
        self.patience.progress().pending(self.jobs.len() as u64 + 1);
        self.metrics.records_read(&batch);
        let started = self.seams.clock.monotonic();
        let mut at = from;
        for step in steps(&batch, self.batch) {
            let stretch = at..step.next();
            match self.insist(&batch, &step, stretch, round, drain).await {
                Outcome::Done(done) => self.finish(&batch, &step, done).await,
                Outcome::Rewound => return Flow::GoOn,
                Outcome::Draining => return Flow::End,
            }
            at = step.next();
            if drain.is_draining() {
                return Flow::End;
            }
        }
        self.metrics.batch_took(self.seams.clock.monotonic().saturating_duration_since(started));
        drop(permit);
        Flow::GoOn
    }

    /// Tries until it is done.
    async fn insist(
        &mut self,
        batch: &ReadBatch,
        step: &Step,
        stretch: Range<Offset>,
        round: u64,
        drain: &DrainToken,
    ) -> Outcome {
        loop {
            let attempt = match step {
                Step::Records { range, .. } => self.write(batch, range.clone(), stretch.clone()).await,
                Step::Pass(loss) => self.pass(batch, loss, stretch.clone()).await,
            };
            let error = match attempt {
                Ok(done) => {
                    self.patience.succeeded();
                    return Outcome::Done(done);
                }
                Err(error) => error,
            };
            if let StepError::Write(WriteError::Gap { expected, .. }) = error {
                return self.rewind(batch, expected, round).await;
            }
            warn!(partition = %batch.partition, error = %chain(&error), "could not deliver, trying again");
            self.metrics.retry();
            if let Waited::Draining = self.patience.wait(&error, drain).await {
                return Outcome::Draining;
            }
        }
    }

    async fn rewind(&mut self, batch: &ReadBatch, to: Offset, round: u64) -> Outcome {
        let partition = batch.partition.clone();
        self.lanes.insert(partition.clone(), Lane { round: round + 1, events: None });
        match self.rewinds.send(Rewind { partition, to, round }).await {
            Ok(()) => Outcome::Rewound,
            Err(_) => Outcome::Draining,
        }
    }

    async fn write(
        &self,
        batch: &ReadBatch,
        range: Range<usize>,
        stretch: Range<Offset>,
    ) -> Result<Done, StepError> {
        let records = batch.records.get(range).unwrap_or_default();
        let Decoded { records, mut letters, events: mut taken } =
            decode(&batch.partition, records, self.now());
        // First the dead, so that the store never is durable beyond an event that nobody has.
        self.bury(&letters).await?;
        let refused = self.give(batch, records, stretch).await?;
        for prefix in refused.iter().filter_map(|letter| letter.prefix.as_ref()) {
            taken.entry(prefix.clone()).and_modify(|events| *events = events.saturating_sub(1));
        }
        letters.extend(refused);
        Ok(Done { taken, letters })
    }

    /// Gives records to the store and buries what it refuses.
    async fn give(
        &self,
        batch: &ReadBatch,
        records: Vec<WriteRecord>,
        stretch: Range<Offset>,
    ) -> Result<Vec<DeadLetter>, StepError> {
        let Range { start: from, end: next } = stretch;
        let write = WriteBatch { partition: batch.partition.clone(), from, records, next };
        let verdicts = self.seams.store.write(write).await.map_err(StepError::Write)?;
        let refused = self.refused(batch, verdicts);
        self.bury(&refused).await?;
        Ok(refused)
    }

    fn refused(&self, batch: &ReadBatch, verdicts: Verdicts) -> Vec<DeadLetter> {
        let now = self.now();
        let letter = |rejection| rejection_letter(&batch.partition, &batch.records, &rejection, now);
        verdicts.rejected.into_iter().filter_map(letter).collect()
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StepError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.seams.dead_letters.put(letters.to_vec()).await.map_err(StepError::DeadLetters)
    }

    /// Writes the loss down and goes on behind it.
    async fn pass(&self, batch: &ReadBatch, loss: &Loss, stretch: Range<Offset>) -> Result<Done, StepError> {
        let partition = &batch.partition;
        let events = self.events_lost(batch, loss).await.map_err(StepError::Count)?;
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
    async fn events_lost(&self, batch: &ReadBatch, loss: &Loss) -> Result<Option<u64>, CensusError> {
        if loss.events.is_some() {
            return Ok(loss.events);
        }
        let journal = &*self.seams.journal;
        let behind = batch.records.iter().find(|stored| stored.offset == loss.to);
        let after = match behind {
            Some(stored) => Some(stored.first_event),
            None => events_before(journal, &batch.partition, loss.to).await.map_err(CensusError::Journal)?,
        };
        let Some(after) = after else { return Ok(None) };
        let before = self.events_below(&batch.partition, loss.from).await?;
        Ok(Some(after.saturating_sub(before)))
    }

    /// How many events the partition took before `offset`, which everything below was delivered of.
    async fn events_below(&self, partition: &StreamPartition, offset: Offset) -> Result<u64, CensusError> {
        if let Some(events) = self.lanes.get(partition).and_then(|lane| lane.events) {
            return Ok(events);
        }
        let Seams { journal, store, dead_letters, .. } = &self.seams;
        let known = events_before(&**journal, partition, offset).await.map_err(CensusError::Journal)?;
        match known {
            Some(events) => Ok(events),
            None => events_accounted(&**store, &**dead_letters, partition, offset).await,
        }
    }

    async fn finish(&mut self, batch: &ReadBatch, step: &Step, done: Done) {
        let events = match step {
            Step::Records { range, .. } => {
                let last = range.end.checked_sub(1).and_then(|last| batch.records.get(last));
                last.map(|stored| stored.first_event + u64::from(stored.record.events))
            }
            Step::Pass(loss) => {
                let behind = batch.records.iter().find(|stored| stored.offset == loss.to);
                behind.map(|stored| stored.first_event)
            }
        };
        let lane = self.lanes.entry(batch.partition.clone()).or_default();
        lane.events = events;
        self.metrics.delivered(&batch.partition, &done.taken, &done.letters);
        self.patience.progress().advanced();
        let notice = Notice::Delivered { partition: batch.partition.clone(), next: step.next(), events };
        if self.notices.send(notice).await.is_err() {
            info!("nobody commits any more");
        }
    }

    fn now(&self) -> Timestamp {
        self.seams.clock.now().into()
    }
}

/// What came of insisting.
enum Outcome {
    Done(Done),
    Rewound,
    Draining,
}
