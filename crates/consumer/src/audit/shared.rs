use std::collections::BTreeMap;

use weir_journal::{GroupInfo, Journal, StreamInfo, StreamPattern};
use weir_model::{Offset, StreamName, StreamPartition};
use weir_store::DeadLetterStore;

use super::gather::{AuditError, Losses};

/// What is known of a stream whose events neither the journal nor the store counts, because others write to both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedReport {
    pub stream: StreamName,
    /// Up to where each partition is delivered, as the group committed it; absent where it never did.
    pub passed: BTreeMap<StreamPartition, Offset>,
    /// Whether nothing is left to deliver.
    pub is_done: bool,
    /// Events of dead letters, purged letters included, losses not.
    pub dead: u64,
    pub expired: u64,
    pub lost: u64,
}

/// Says what is known of the streams that a group delivers, in the order of names. `group_of` names the group that
/// delivers a stream.
pub async fn audit_shared(
    journal: &dyn Journal,
    dead_letters: &dyn DeadLetterStore,
    delivered: &StreamPattern,
    group_of: impl Fn(&StreamName) -> String,
) -> Result<Vec<SharedReport>, AuditError> {
    // Before the ends are asked for: what is committed up to an end of later is done.
    let groups = journal.groups().await.map_err(AuditError::Journal)?;
    let losses = Losses::of(dead_letters, None).await?;
    let streams = journal.streams().await.map_err(AuditError::Journal)?;
    let mut reports = Vec::new();
    for stream in streams.iter().filter(|stream| delivered.matches(&stream.name)) {
        let died = dead_letters.counts(&stream.name).await.map_err(AuditError::DeadLetters)?;
        let passed = passed(&groups, &group_of(&stream.name), stream);
        let is_done = stream.partitions.iter().all(|bounds| {
            let next = passed.get(&bounds.partition).copied().unwrap_or(Offset::ZERO);
            next >= bounds.end
        });
        let of = |counts: &BTreeMap<StreamPartition, u64>| {
            counts.iter().filter(|(of, _)| of.stream == stream.name).map(|(_, events)| events).sum::<u64>()
        };
        let (expired, lost) = (of(&losses.expired), of(&losses.lost));
        let died: u64 = died.iter().map(|(_, events)| events).sum();
        let dead = died.saturating_sub(expired + lost);
        reports.push(SharedReport { stream: stream.name.clone(), passed, is_done, dead, expired, lost });
    }
    Ok(reports)
}

fn passed(groups: &[GroupInfo], group: &str, stream: &StreamInfo) -> BTreeMap<StreamPartition, Offset> {
    let positions = groups.iter().filter(|info| info.name == group).flat_map(|info| &info.positions);
    let of_stream = positions.filter(|position| position.partition.stream == stream.name);
    of_stream.map(|position| (position.partition.clone(), position.committed)).collect()
}
