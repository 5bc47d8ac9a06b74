use weir_journal::{Journal, LossReason, PartitionBounds, ReadBatch, ReadBudget, ReadError};
use weir_model::Offset;

use super::dump;
use crate::{api, records};

/// What a check reads at once.
pub const CHECK_BUDGET: ReadBudget = ReadBudget { bytes: 4 << 20, records: 1_024 };

/// The check of one partition, whoever reads it: as long as [`next`](Tally::next) names an offset, what is read
/// from there goes to [`take`](Tally::take).
#[derive(Debug)]
pub struct Tally {
    found: api::JournalPartitionCheck,
    next: Option<Offset>,
    end: Offset,
}

impl Tally {
    /// Everything that is in the partition now.
    #[must_use]
    pub fn new(bounds: &PartitionBounds) -> Self {
        let found = api::JournalPartitionCheck {
            stream: bounds.partition.stream.to_string(),
            partition: bounds.partition.partition.0,
            incarnation: bounds.partition.incarnation.to_string(),
            start: bounds.start.0,
            end: bounds.end.0,
            records: 0,
            events: 0,
            undecodable: 0,
            losses: Vec::new(),
        };
        Self { found, next: Some(bounds.start).filter(|start| *start < bounds.end), end: bounds.end }
    }

    /// Where to read; nothing once all is read.
    #[must_use]
    pub fn next(&self) -> Option<Offset> {
        self.next
    }

    /// Counts and decodes what was read.
    pub fn take(&mut self, batch: &ReadBatch) {
        for stored in batch.records.iter().filter(|stored| stored.offset < self.end) {
            self.found.records += 1;
            self.found.events += u64::from(stored.record.events.unwrap_or(0));
            self.found.undecodable += u64::from(records::decode(&stored.record).is_err());
        }
        let losses = batch.losses.iter().filter(|loss| loss.reason != LossReason::Expired);
        self.found.losses.extend(losses.map(dump::loss));
        // A read that does not move on has found the end.
        self.next = self.next.filter(|next| batch.next > *next && batch.next < self.end).map(|_| batch.next);
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> api::JournalPartitionCheck {
        self.found
    }
}

pub(super) async fn check(journal: &dyn Journal) -> Result<Vec<api::JournalPartitionCheck>, ReadError> {
    let mut partitions = Vec::new();
    for stream in journal.streams().await? {
        for bounds in &stream.partitions {
            let mut tally = Tally::new(bounds);
            while let Some(next) = tally.next() {
                tally.take(&journal.read(&bounds.partition, next, CHECK_BUDGET).await?);
            }
            partitions.push(tally.finish());
        }
    }
    Ok(partitions)
}
