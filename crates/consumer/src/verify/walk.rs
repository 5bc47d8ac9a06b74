use std::collections::BTreeMap;
use std::ops::Range;

use weir_foundation::failure::{Audience, Disposition, Failure};
use weir_journal::{Journal, PartitionBounds, ReadBatch, ReadBudget, ReadError};
use weir_model::{EventId, Offset, Position, Record, StreamName, StreamPartition};
use weir_store::{DeadLetterError, DeadLetterStore, IndexStore, InspectError, PositionRun};

use super::compare::{Comparison, Difference};
use super::rows::{Asked, Listed, Rows};
use super::{Fates, PartitionProof, Runs};
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
    let dead = died(dead_letters, stream).await?;
    // The journal last, so that it knows whatever the store has passed.
    let mut proofs = Vec::new();
    for bounds in bounds_of(journal, stream).await? {
        let partition = &bounds.partition;
        let Some(audit) = audits.iter().find(|audit| audit.partition == *partition) else { continue };
        let removed = audit.dropped + dead.get(partition).copied().unwrap_or(0);
        let rows = Rows::Listed(Listed::new(store, partition, bounds.start));
        let walk = Walk { journal, rows, dead_letters, proof: PartitionProof::empty(partition) };
        proofs.push(walk.run(&bounds, audit.next, removed).await?);
    }
    Ok(proofs)
}

/// Compares every partition of a stream, in the order of partitions, with a store that keeps no list of its rows and
/// is asked for each event by its position. `passed` says up to where a partition is delivered: what comes behind it
/// is waiting. To be known before the call, so that nothing that is on its way is missed.
pub async fn verify_by_id(
    journal: &dyn Journal,
    store: &dyn IndexStore,
    dead_letters: &dyn DeadLetterStore,
    stream: &StreamName,
    passed: &BTreeMap<StreamPartition, Offset>,
) -> Result<Vec<Fates>, VerifyError> {
    let dead = died(dead_letters, stream).await?;
    let mut fates = Vec::new();
    for bounds in bounds_of(journal, stream).await? {
        let partition = &bounds.partition;
        let end = passed.get(partition).copied().unwrap_or(Offset::ZERO).max(bounds.start);
        let removed = dead.get(partition).copied().unwrap_or(0);
        let rows = Rows::Asked(Asked::new(store, partition));
        let walk = Walk { journal, rows, dead_letters, proof: PartitionProof::empty(partition) };
        let proof = walk.run(&bounds, end, removed).await?;
        let waiting = waiting(journal, &bounds, end).await?;
        fates.push(Fates { proof, waiting });
    }
    Ok(fates)
}

/// Events that ever died, by partition.
async fn died(
    dead_letters: &dyn DeadLetterStore,
    stream: &StreamName,
) -> Result<BTreeMap<StreamPartition, u64>, VerifyError> {
    let counts = dead_letters.counts(stream).await.map_err(VerifyError::DeadLetters)?;
    Ok(counts.into_iter().collect())
}

async fn bounds_of(journal: &dyn Journal, stream: &StreamName) -> Result<Vec<PartitionBounds>, VerifyError> {
    let streams = journal.streams().await.map_err(VerifyError::Journal)?;
    Ok(streams.into_iter().filter(|info| info.name == *stream).flat_map(|info| info.partitions).collect())
}

/// Events of the records from an offset to the end.
async fn waiting(journal: &dyn Journal, bounds: &PartitionBounds, from: Offset) -> Result<u64, VerifyError> {
    let (mut events, mut at) = (0, from);
    while at < bounds.end {
        let read = journal.read(&bounds.partition, at, BUDGET).await.map_err(VerifyError::Journal)?;
        let records = read.records.iter().filter(|stored| stored.offset < bounds.end);
        events += records.map(|stored| u64::from(events_of(&stored.record))).sum::<u64>();
        if read.next <= at {
            break;
        }
        at = read.next;
    }
    Ok(events)
}

struct Walk<'a> {
    journal: &'a dyn Journal,
    rows: Rows<'a>,
    dead_letters: &'a dyn DeadLetterStore,
    proof: PartitionProof,
}

impl PartitionProof {
    fn empty(partition: &StreamPartition) -> Self {
        Self {
            partition: partition.clone(),
            found: 0,
            dead: 0,
            unreadable: 0,
            missing: Runs::default(),
            surplus: Runs::default(),
            explained: 0,
        }
    }
}

impl Walk<'_> {
    /// Up to `next`, of which so many events may be gone on purpose, kept dead letters included.
    async fn run(
        mut self,
        bounds: &PartitionBounds,
        next: Offset,
        removed: u64,
    ) -> Result<PartitionProof, VerifyError> {
        let partition = &bounds.partition;
        let end = next.min(bounds.end);
        let mut at = bounds.start;
        while at < end {
            let read = self.journal.read(partition, at, BUDGET).await.map_err(VerifyError::Journal)?;
            if read.next <= at {
                break;
            }
            let to = read.next.min(end);
            let runs = self.rows.of(&read, to).await.map_err(VerifyError::Store)?;
            self.compare(&read, to, runs).await?;
            at = to;
        }
        self.judge_beyond(bounds.end).await?;
        let kept = self.kept_at(Offset::ZERO..Offset::MAX).await?;
        self.proof.explained = removed.saturating_sub(kept);
        Ok(self.proof)
    }

    /// Rows behind the end of the journal that it does not have by now.
    async fn judge_beyond(&mut self, end: Offset) -> Result<(), VerifyError> {
        let beyond = self.rows.beyond(end).await.map_err(VerifyError::Store)?;
        if beyond.is_empty() {
            return Ok(());
        }
        let partition = &self.proof.partition;
        let bounds = bounds_of(self.journal, &partition.stream).await?;
        let end =
            bounds.iter().find(|bounds| bounds.partition == *partition).map_or(end, |bounds| bounds.end);
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
        if self.kept_at(run.offset..run.offset.next()).await? == 0 {
            self.proof.missing.add(run);
            return Ok(());
        }
        let end = run.first_index + run.count;
        let mut index = run.first_index;
        while index < end {
            let covered = self.letter_covers(run.offset, index).await?;
            if covered == 0 {
                self.proof.missing.add(PositionRun { offset: run.offset, first_index: index, count: 1 });
            }
            let dead = u64::from(covered.min(end - index));
            self.proof.found += dead;
            self.proof.dead += dead;
            index = index.saturating_add(covered.max(1));
        }
        Ok(())
    }

    /// Events of the letters of these offsets.
    async fn kept_at(&self, offsets: Range<Offset>) -> Result<u64, VerifyError> {
        let kept = self.dead_letters.kept_at(&self.proof.partition, offsets).await;
        kept.map_err(VerifyError::DeadLetters)
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
