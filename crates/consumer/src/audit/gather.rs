use std::collections::BTreeMap;

use weir_foundation::failure::{Audience, Disposition, Failure};
use weir_journal::{Journal, ReadError, StreamInfo};
use weir_model::{Offset, StreamName, StreamPartition};
use weir_store::{
    DeadLetterError, DeadLetterFilter, DeadLetterStore, IndexStore, InspectError, PartitionAudit,
};

use super::{Account, Evidence, StreamReport, Verdict};
use crate::census::events_within;
use crate::ledger::{LOST_CUT, LOST_DAMAGED, LOST_EXPIRED};

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the journal could not be audited")]
    Journal(#[source] ReadError),
    #[error("the index store could not be audited")]
    Store(#[source] InspectError),
    #[error("the dead letters could not be audited")]
    DeadLetters(#[source] DeadLetterError),
}

/// How often counts that delivery changed between two of them are taken again.
const ATTEMPTS: usize = 5;

/// Audits all streams, or one, in the order of names.
///
/// While events are delivered, counts are taken again until none changes in between; a partition that never
/// stands still is reported as it was found last.
pub async fn audit(
    journal: &dyn Journal,
    store: &dyn IndexStore,
    dead_letters: &dyn DeadLetterStore,
    only: Option<&StreamName>,
) -> Result<Vec<StreamReport>, AuditError> {
    let auditor = Auditor { journal, store, dead_letters };
    let streams = journal.streams().await.map_err(AuditError::Journal)?;
    let losses = Losses::of(dead_letters, only).await?;
    let mut reports = Vec::new();
    for stream in streams.iter().filter(|stream| only.is_none_or(|only| stream.name == *only)) {
        reports.push(auditor.settle(&stream.name, &losses).await?);
    }
    Ok(reports)
}

struct Auditor<'a> {
    journal: &'a dyn Journal,
    store: &'a dyn IndexStore,
    dead_letters: &'a dyn DeadLetterStore,
}

/// Events of losses, by partition.
pub(super) struct Losses {
    pub(super) expired: BTreeMap<StreamPartition, u64>,
    pub(super) lost: BTreeMap<StreamPartition, u64>,
}

impl Auditor<'_> {
    async fn settle(&self, stream: &StreamName, losses: &Losses) -> Result<StreamReport, AuditError> {
        let mut report = self.once(stream, losses).await?;
        for _ in 1..ATTEMPTS {
            if report.is_balanced() {
                break;
            }
            let losses = Losses::of(self.dead_letters, Some(stream)).await?;
            report = self.once(stream, &losses).await?;
        }
        Ok(report)
    }

    async fn once(&self, stream: &StreamName, losses: &Losses) -> Result<StreamReport, AuditError> {
        let inventory = self.store.require_inventory().map_err(AuditError::Store)?;
        let stored = inventory.audit(stream).await.map_err(AuditError::Store)?;
        let dead = self.dead_letters.counts(stream).await.map_err(AuditError::DeadLetters)?;
        let dead: BTreeMap<_, _> = dead.into_iter().collect();
        // Last: what is accepted meanwhile is waiting, and nothing is delivered that was not accepted.
        let streams = self.journal.streams().await.map_err(AuditError::Journal)?;
        let bounds = streams.iter().find(|info| info.name == *stream);
        let mut stored: BTreeMap<_, _> =
            stored.into_iter().map(|audit| (audit.partition.clone(), audit)).collect();
        let partitions = self.accounts(bounds, &mut stored, &dead, losses).await?;
        let foreign = stored.into_iter().map(|(partition, audit)| (partition, audit.stored)).collect();
        Ok(StreamReport { stream: stream.clone(), partitions, foreign })
    }

    async fn accounts(
        &self,
        stream: Option<&StreamInfo>,
        stored: &mut BTreeMap<StreamPartition, PartitionAudit>,
        dead: &BTreeMap<StreamPartition, u64>,
        losses: &Losses,
    ) -> Result<BTreeMap<StreamPartition, Account>, AuditError> {
        let mut accounts = BTreeMap::new();
        for bounds in stream.iter().flat_map(|stream| &stream.partitions) {
            let partition = &bounds.partition;
            let store = stored.remove(partition);
            let next = store.as_ref().map_or(Offset::ZERO, |store| store.next);
            let readable = next.min(bounds.end);
            let passed = events_within(self.journal, bounds, readable).await.map_err(AuditError::Journal)?;
            let of = |counts: &BTreeMap<StreamPartition, u64>| counts.get(partition).copied().unwrap_or(0);
            let mut evidence = Evidence {
                bounds: bounds.clone(),
                store,
                passed,
                dead: of(dead),
                expired: of(&losses.expired),
                lost: of(&losses.lost),
            };
            let mut account = Account::of(&evidence);
            if let Verdict::Surplus(_) = account.verdict() {
                // Letters are written before the store passes their records, which are waiting until then.
                let ahead = self.dead_letters.kept_at(partition, next..Offset::MAX).await;
                evidence.dead = evidence.dead.saturating_sub(ahead.map_err(AuditError::DeadLetters)?);
                account = Account::of(&evidence);
            }
            accounts.insert(partition.clone(), account);
        }
        Ok(accounts)
    }
}

impl Losses {
    /// Of all streams, or of one.
    pub(super) async fn of(
        dead_letters: &dyn DeadLetterStore,
        only: Option<&StreamName>,
    ) -> Result<Self, AuditError> {
        let by_code = async |code: &str| {
            let filter = DeadLetterFilter { stream: only.cloned(), code: Some(code.to_owned()) };
            let kept = dead_letters.kept(&filter).await.map_err(AuditError::DeadLetters)?;
            Ok(kept.into_iter().collect::<BTreeMap<_, _>>())
        };
        let expired = by_code(LOST_EXPIRED).await?;
        let mut lost = by_code(LOST_DAMAGED).await?;
        for (partition, events) in by_code(LOST_CUT).await? {
            *lost.entry(partition).or_default() += events;
        }
        Ok(Self { expired, lost })
    }
}

impl Failure for AuditError {
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
