use std::iter::Peekable;
use std::vec::IntoIter;

use weir_foundation::failure::{Audience, Disposition, Failure};
use weir_journal::{Journal, PartitionBounds, ReadBatch, ReadBudget, ReadError};
use weir_model::{EventId, Offset, Position, Record, StreamName, StreamPartition};
use weir_store::{
    DeadLetterError, DeadLetterStore, IndexStore, InspectError, Inventory, PartitionAudit, PositionRun,
};

use super::compare::{Comparison, Difference};
use super::{PartitionProof, Runs};
use crate::steps::{Step, steps};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the journal could not be read for the comparison")]
    Journal(#[source] ReadError),
    #[error("the positions of the index store could not be read")]
    Store(#[source] InspectError),
    #[error("the dead letters could not be read for the comparison")]
    DeadLetters(#[source] DeadLetterError),
}

const BUDGET: ReadBudget = ReadBudget { bytes: 8 << 20, records: 10_000 };

/// Compares every partition of a stream, in the order of partitions, as far as the store has passed it. Empty
/// if the journal has no such stream.
pub async fn verify(
    journal: &dyn Journal,
    store: &dyn IndexStore,
    dead_letters: &dyn DeadLetterStore,
    stream: &StreamName,
) -> Result<Vec<PartitionProof>, VerifyError> {
    let store = store.require_inventory().map_err(VerifyError::Store)?;
    let audits = store.audit(stream).await.map_err(VerifyError::Store)?;
    let dead = dead_letters.counts(stream).await.map_err(VerifyError::DeadLetters)?;
    // The journal last, so that it knows whatever the store has passed.
    let streams = journal.streams().await.map_err(VerifyError::Journal)?;
    let mut proofs = Vec::new();
    for bounds in streams.iter().filter(|info| info.name == *stream).flat_map(|info| &info.partitions) {
        let partition = &bounds.partition;
        let Some(audit) = audits.iter().find(|audit| audit.partition == *partition) else { continue };
        let died = dead.iter().find(|(of, _)| of == partition).map_or(0, |(_, count)| *count);
        let walk = Walk { journal, store, dead_letters, proof: PartitionProof::empty(partition) };
        proofs.push(walk.run(bounds, audit, died).await?);
    }
    Ok(proofs)
}

struct Walk<'a> {
    journal: &'a dyn Journal,
    store: &'a dyn Inventory,
    dead_letters: &'a dyn DeadLetterStore,
    proof: PartitionProof,
}

impl PartitionProof {
    fn empty(partition: &StreamPartition) -> Self {
        Self {
            partition: partition.clone(),
            found: 0,
            unreadable: 0,
            missing: Runs::default(),
            surplus: Runs::default(),
            explained: 0,
        }
    }
}

impl Walk<'_> {
    async fn run(
        mut self,
        bounds: &PartitionBounds,
        audit: &PartitionAudit,
        died: u64,
    ) -> Result<PartitionProof, VerifyError> {
        let partition = &bounds.partition;
        let end = audit.next.min(bounds.end);
        let mut rows = Rows::at(bounds.start);
        let mut at = bounds.start;
        while at < end {
            let read = self.journal.read(partition, at, BUDGET).await.map_err(VerifyError::Journal)?;
            if read.next <= at {
                break;
            }
            let to = read.next.min(end);
            let runs = rows.below(to, self.store, partition).await?;
            self.compare(&read, to, runs).await?;
            at = to;
        }
        self.judge_beyond(bounds.end).await?;
        let kept = self.dead_letters.kept_at(partition, Offset::ZERO..Offset::MAX).await;
        let kept = kept.map_err(VerifyError::DeadLetters)?;
        self.proof.explained = audit.dropped + died.saturating_sub(kept);
        Ok(self.proof)
    }

    /// Rows behind the end of the journal that it does not have by now.
    async fn judge_beyond(&mut self, end: Offset) -> Result<(), VerifyError> {
        let partition = self.proof.partition.clone();
        let beyond = self.store.positions(&partition, end).await.map_err(VerifyError::Store)?;
        if beyond.is_empty() {
            return Ok(());
        }
        let streams = self.journal.streams().await.map_err(VerifyError::Journal)?;
        let mut bounds = streams.iter().flat_map(|stream| &stream.partitions);
        let end = bounds.find(|bounds| bounds.partition == partition).map_or(end, |bounds| bounds.end);
        beyond.into_iter().filter(|run| run.offset >= end).for_each(|run| self.proof.surplus.add(run));
        Ok(())
    }

    async fn compare(
        &mut self,
        read: &ReadBatch,
        to: Offset,
        runs: Vec<PositionRun>,
    ) -> Result<(), VerifyError> {
        let mut comparison = Comparison::new(runs);
        for step in steps(read, usize::MAX) {
            match step {
                Step::Records { range, .. } => {
                    let records = read.records.get(range).unwrap_or_default();
                    for stored in records.iter().take_while(|stored| stored.offset < to) {
                        let difference = comparison.record(stored.offset, events_of(&stored.record));
                        self.account(difference).await?;
                    }
                }
                Step::Pass(loss) => {
                    self.proof.unreadable += loss.events.unwrap_or(0);
                    let difference = comparison.gap(loss.from, loss.to);
                    self.account(difference).await?;
                }
            }
        }
        self.account(comparison.finish()).await
    }

    async fn account(&mut self, difference: Difference) -> Result<(), VerifyError> {
        self.proof.found += difference.found;
        difference.surplus.into_iter().for_each(|run| self.proof.surplus.add(run));
        for run in difference.missing {
            self.account_missing(run).await?;
        }
        Ok(())
    }

    /// A row may be missing because the event is dead: by itself, or with its whole record.
    async fn account_missing(&mut self, run: PositionRun) -> Result<(), VerifyError> {
        let end = run.first_index + run.count;
        let mut index = run.first_index;
        while index < end {
            let covered = self.letter_covers(run.offset, index).await?;
            if covered == 0 {
                self.proof.missing.add(PositionRun { offset: run.offset, first_index: index, count: 1 });
            }
            self.proof.found += u64::from(covered.min(end - index));
            index = index.saturating_add(covered.max(1));
        }
        Ok(())
    }

    /// How many events from `index` on the letter at this position stands for.
    async fn letter_covers(&self, offset: Offset, index: u32) -> Result<u32, VerifyError> {
        let partition = self.proof.partition.clone();
        let id = EventId(Position { partition, offset, index });
        let letter = self.dead_letters.get(&id).await.map_err(VerifyError::DeadLetters)?;
        Ok(letter.map_or(0, |letter| letter.events))
    }
}

/// How many events a record has to be accounted for with: what was counted, or else what it decodes to.
fn events_of(record: &Record) -> u32 {
    let found = || weir_wire::decode_record(record.format, &record.value, record.received).ok();
    let found = || found().map(|events| u32::try_from(events.len()).unwrap_or(u32::MAX));
    record.events.or_else(found).unwrap_or(1)
}

/// The store's runs of a partition, a page at a time: a store may answer with less than all there are.
struct Rows {
    page: Peekable<IntoIter<PositionRun>>,
    from: Offset,
    more: bool,
}

impl Rows {
    fn at(from: Offset) -> Self {
        Self { page: Vec::new().into_iter().peekable(), from, more: true }
    }

    /// The runs of offsets below `to` that were not given before.
    async fn below(
        &mut self,
        to: Offset,
        store: &dyn Inventory,
        partition: &StreamPartition,
    ) -> Result<Vec<PositionRun>, VerifyError> {
        let mut runs = Vec::new();
        loop {
            while let Some(run) = self.page.next_if(|run| run.offset < to) {
                runs.push(run);
            }
            if self.page.peek().is_some() || !self.more || self.from >= to {
                return Ok(runs);
            }
            let page = store.positions(partition, self.from).await.map_err(VerifyError::Store)?;
            self.more = !page.is_empty();
            self.from = page.last().map_or(self.from, |last| last.offset.next());
            self.page = page.into_iter().peekable();
        }
    }
}

impl Failure for VerifyError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Journal(ReadError::Closing) => Disposition::ShuttingDown,
            Self::Journal(_) | Self::Store(_) | Self::DeadLetters(_) => Disposition::GiveUp,
        }
    }

    fn audience(&self) -> Audience {
        Audience::Ours
    }

    fn code(&self) -> &'static str {
        "audit-failed"
    }
}
