use std::sync::Arc;

use async_trait::async_trait;
use weir_consumer::audit::{SharedReport, audit_shared};
use weir_consumer::verify::{Fates, verify_by_id};
use weir_journal::{Journal, StreamPattern};
use weir_journal_kafka::GroupIds;
use weir_server::api::{Audit, AuditStream, AuditVerdict};
use weir_server::{AuditDepth, AuditFailed, Auditor};
use weir_store::{DeadLetterStore, IndexStore};

use super::{failed, overall, positions};

/// Books over a journal and a store that others write to as well: nobody counts, and every event can be asked for.
#[derive(Debug)]
pub(in crate::compose) struct SharedBooks {
    pub(in crate::compose) journal: Arc<dyn Journal>,
    pub(in crate::compose) store: Arc<dyn IndexStore>,
    pub(in crate::compose) dead_letters: Arc<dyn DeadLetterStore>,
    /// Who delivers.
    pub(in crate::compose) group: String,
    pub(in crate::compose) group_ids: GroupIds,
    /// What they deliver.
    pub(in crate::compose) streams: StreamPattern,
}

#[async_trait]
impl Auditor for SharedBooks {
    async fn audit(&self, depth: AuditDepth) -> Result<Audit, AuditFailed> {
        let Self { journal, store, dead_letters, group, group_ids, streams: delivered } = self;
        let group_of = |stream: &_| group_ids.id(group, stream);
        let reports = audit_shared(&**journal, &**dead_letters, delivered, group_of).await.map_err(failed)?;
        let mut streams = Vec::with_capacity(reports.len());
        for report in &reports {
            let SharedReport { stream, passed, .. } = report;
            streams.push(match depth {
                AuditDepth::Counts => uncounted(report),
                AuditDepth::Positions => {
                    let fates = verify_by_id(&**journal, &**store, &**dead_letters, stream, passed).await;
                    compared(report, &fates.map_err(failed)?)
                }
            });
        }
        let (verdict, verified) = (overall(&streams), depth == AuditDepth::Positions);
        Ok(Audit { verdict, verified, streams, findings: Vec::new() })
    }
}

fn uncounted(report: &SharedReport) -> AuditStream {
    let SharedReport { stream, is_done, dead, expired, lost, .. } = report;
    AuditStream {
        stream: stream.to_string(),
        accepted: None,
        delivered: None,
        dead: *dead,
        waiting: is_done.then_some(0),
        expired: *expired,
        lost: *lost,
        verdict: AuditVerdict::Unknown,
        findings: Vec::new(),
    }
}

/// Of what the journal still holds, and of what is known to be lost.
fn compared(report: &SharedReport, fates: &[Fates]) -> AuditStream {
    let sum = |count: fn(&Fates) -> u64| fates.iter().map(count).sum::<u64>();
    let delivered = sum(|fates| fates.proof.found - fates.proof.dead);
    // A purged letter stays counted.
    let dead = sum(|fates| fates.proof.dead + fates.proof.missing.events.min(fates.proof.explained));
    let missing = sum(|fates| fates.proof.missing.events.saturating_sub(fates.proof.explained));
    let waiting = sum(|fates| fates.waiting);
    let accepted = delivered + dead + missing + waiting + report.expired + report.lost;
    let holds = fates.iter().all(|fates| fates.proof.holds());
    AuditStream {
        accepted: Some(accepted),
        delivered: Some(delivered),
        dead,
        waiting: Some(waiting),
        verdict: if holds { AuditVerdict::Agrees } else { AuditVerdict::Differs },
        findings: fates.iter().flat_map(|fates| positions(&fates.proof)).collect(),
        ..uncounted(report)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_consumer::verify::{PartitionProof, Runs};
    use weir_model::{Incarnation, Offset, PartitionIndex, StreamName, StreamPartition};
    use weir_store::PositionRun;

    use super::*;

    fn fates(found: u64, dead: u64, missing: u64, explained: u64, waiting: u64) -> Fates {
        let partition = StreamPartition {
            stream: StreamName::new("shop_logs").expect("is legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        };
        let first = PositionRun { offset: Offset(7), first_index: 2, count: 1 };
        let missing = Runs { events: missing, first: vec![first] };
        let proof = PartitionProof {
            partition,
            found,
            dead,
            unreadable: 0,
            missing,
            surplus: Runs::default(),
            explained,
        };
        Fates { proof, waiting }
    }

    fn report(is_done: bool) -> SharedReport {
        let stream = StreamName::new("shop_logs").expect("is legal");
        SharedReport { stream, passed: BTreeMap::new(), is_done, dead: 4, expired: 2, lost: 1 }
    }

    #[test]
    fn a_count_that_nobody_knows_is_absent() {
        let AuditStream { accepted, delivered, waiting, dead, verdict, .. } = uncounted(&report(false));
        assert_eq!((accepted, delivered, waiting, dead), (None, None, None, 4));
        assert_eq!(verdict, AuditVerdict::Unknown);
        assert_eq!(uncounted(&report(true)).waiting, Some(0), "that nothing waits is known");
    }

    #[test]
    fn what_was_compared_adds_up() {
        let found = compared(&report(true), &[fates(10, 3, 1, 1, 5), fates(20, 0, 0, 0, 0)]);
        assert_eq!((found.accepted, found.delivered, found.dead), (Some(39), Some(27), 4));
        assert_eq!((found.waiting, found.expired, found.lost), (Some(5), 2, 1));
        assert_eq!((found.verdict, found.findings.len()), (AuditVerdict::Agrees, 0));
        let found = compared(&report(true), &[fates(10, 3, 2, 1, 5)]);
        assert_eq!((found.accepted, found.verdict), (Some(20), AuditVerdict::Differs));
        let finding = "partition 0: 2 events missing from the store, 1 of them removed on purpose, the first at offset 7.2";
        assert_eq!(found.findings, [finding]);
    }
}
