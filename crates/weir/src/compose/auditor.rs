//! The books of the consumer, as the server shows them.

mod shared;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use weir_consumer::audit::{self, StreamReport, Verdict};
use weir_consumer::verify::{self, PartitionProof};
use weir_journal::Journal;
use weir_journal::sqlite::quarantined;
use weir_model::StreamPartition;
use weir_server::api::{Audit, AuditStream, AuditVerdict};
use weir_server::{AuditDepth, AuditFailed, Auditor};
use weir_store::{DeadLetterStore, IndexStore};

pub(super) use self::shared::SharedBooks;

#[derive(Debug)]
pub(super) struct Books {
    journal: Arc<dyn Journal>,
    store: Arc<dyn IndexStore>,
    dead_letters: Arc<dyn DeadLetterStore>,
    /// With the files of the journal.
    directory: PathBuf,
}

impl Books {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        store: Arc<dyn IndexStore>,
        dead_letters: Arc<dyn DeadLetterStore>,
        directory: PathBuf,
    ) -> Self {
        Self { journal, store, dead_letters, directory }
    }

    async fn proofs(&self, report: &StreamReport) -> Result<Vec<PartitionProof>, AuditFailed> {
        verify::verify(&*self.journal, &*self.store, &*self.dead_letters, &report.stream)
            .await
            .map_err(failed)
    }
}

#[async_trait]
impl Auditor for Books {
    async fn audit(&self, depth: AuditDepth) -> Result<Audit, AuditFailed> {
        let reports =
            audit::audit(&*self.journal, &*self.store, &*self.dead_letters, None).await.map_err(failed)?;
        let mut streams = Vec::with_capacity(reports.len());
        for report in &reports {
            let proofs = match depth {
                AuditDepth::Counts => Vec::new(),
                AuditDepth::Positions => self.proofs(report).await?,
            };
            streams.push(stream(report, &proofs));
        }
        let findings: Vec<String> = self.quarantined()?.iter().map(|name| unread(name)).collect();
        let verdict = if findings.is_empty() { overall(&streams) } else { AuditVerdict::Differs };
        Ok(Audit { verdict, verified: depth == AuditDepth::Positions, streams, findings })
    }

    fn quarantined(&self) -> Result<Vec<String>, AuditFailed> {
        quarantined(&self.directory).map_err(failed)
    }
}

/// A file that is not there any more was dealt with by people.
fn unread(name: &str) -> String {
    format!("`{name}` of the journal could not be read: what was in it is not known, and counted nowhere")
}

fn stream(report: &StreamReport, proofs: &[PartitionProof]) -> AuditStream {
    let total = report.total();
    AuditStream {
        stream: report.stream.to_string(),
        accepted: total.accepted,
        delivered: Some(total.delivered),
        dead: total.dead,
        waiting: total.waiting,
        expired: total.expired,
        lost: total.lost,
        verdict: verdict(report, proofs),
        findings: counts(report).chain(proofs.iter().flat_map(positions)).collect(),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> AuditFailed {
    AuditFailed(Box::new(error))
}

fn verdict(report: &StreamReport, proofs: &[PartitionProof]) -> AuditVerdict {
    if !proofs.iter().all(PartitionProof::holds) || !report.foreign.is_empty() {
        return AuditVerdict::Differs;
    }
    let proven = |partition: &StreamPartition| proofs.iter().any(|proof| proof.partition == *partition);
    let of_partition = report.partitions.iter().map(|(partition, account)| match account.verdict() {
        Verdict::Balanced => AuditVerdict::Agrees,
        Verdict::Missing(_) | Verdict::Surplus(_) => AuditVerdict::Differs,
        Verdict::Uncounted if proven(partition) => AuditVerdict::Agrees,
        Verdict::Uncounted => AuditVerdict::Unknown,
    });
    worst(of_partition)
}

fn overall(streams: &[AuditStream]) -> AuditVerdict {
    worst(streams.iter().map(|stream| stream.verdict))
}

fn worst(verdicts: impl Iterator<Item = AuditVerdict>) -> AuditVerdict {
    verdicts.fold(AuditVerdict::Agrees, |worst, verdict| match (worst, verdict) {
        (AuditVerdict::Differs, _) | (_, AuditVerdict::Differs) => AuditVerdict::Differs,
        (AuditVerdict::Unknown, _) | (_, AuditVerdict::Unknown) => AuditVerdict::Unknown,
        (AuditVerdict::Agrees, AuditVerdict::Agrees) => AuditVerdict::Agrees,
    })
}

fn counts(report: &StreamReport) -> impl Iterator<Item = String> {
    let unbalanced = report.partitions.iter().filter_map(|(partition, account)| match account.verdict() {
        Verdict::Balanced | Verdict::Uncounted => None,
        Verdict::Missing(events) => {
            Some(format!("partition {}: {events} events are nowhere", partition.partition))
        }
        Verdict::Surplus(events) => {
            Some(format!("partition {}: {events} events more than were accepted", partition.partition))
        }
    });
    let foreign = report.foreign.iter().map(|(partition, rows)| {
        format!(
            "partition {} of incarnation {}: {rows} rows of a partition that the journal does not have",
            partition.partition, partition.incarnation
        )
    });
    unbalanced.chain(foreign)
}

/// Positions that a finding names.
const POSITIONS: usize = 10;

fn positions(proof: &PartitionProof) -> Vec<String> {
    if proof.holds() {
        return Vec::new();
    }
    let on_purpose = match proof.explained.min(proof.missing.events) {
        0 => String::new(),
        events => format!(", {events} of them removed on purpose"),
    };
    let runs = [
        (format!("missing from the store{on_purpose}"), &proof.missing),
        ("in the store, but not in the journal".to_owned(), &proof.surplus),
    ];
    let describe = |(what, runs): (String, &verify::Runs)| {
        let first =
            runs.first.iter().take(POSITIONS).map(|run| format!("{}.{}", run.offset, run.first_index));
        let first: Vec<String> = first.collect();
        let partition = proof.partition.partition;
        let found = || {
            format!(
                "partition {partition}: {} events {what}, the first at offset {}",
                runs.events,
                first.join(", ")
            )
        };
        (!first.is_empty()).then(found)
    };
    runs.into_iter().filter_map(describe).collect()
}
