use weir_journal::{Loss, PartitionBounds, ReadBatch, StoredRecord};
use weir_redaction::Redactor;

use crate::{api, hit, records};

/// A read of a partition, decoded and redacted.
#[must_use]
pub fn describe(bounds: &PartitionBounds, batch: &ReadBatch, redactor: &Redactor) -> api::JournalDump {
    api::JournalDump {
        stream: bounds.partition.stream.to_string(),
        partition: bounds.partition.partition.0,
        incarnation: bounds.partition.incarnation.to_string(),
        records: batch.records.iter().map(|stored| record(stored, redactor)).collect(),
        losses: batch.losses.iter().map(loss).collect(),
        next: (batch.next < bounds.end).then_some(batch.next.0),
    }
}

fn record(stored: &StoredRecord, redactor: &Redactor) -> api::JournalRecord {
    let decoded = records::redacted(&stored.record, redactor);
    let content = |event: weir_model::EventRef<'_>| Some(hit::json(event.content.ok()?.to_string()));
    api::JournalRecord {
        offset: stored.offset.0,
        first_event: stored.first_event,
        received: stored.record.received.into(),
        format: stored.record.format.to_string(),
        events: stored.record.events,
        bytes: stored.record.value.len() as u64,
        batch: stored.record.batch.map(|tag| format!("{:032x}", tag.id)),
        contents: decoded.as_ref().map(|batch| batch.events().map(content).collect()).unwrap_or_default(),
        undecodable: decoded.err().map(|error| error.to_string()),
    }
}

pub(super) fn loss(loss: &Loss) -> api::JournalLoss {
    let reason = loss.reason.as_str().to_owned();
    api::JournalLoss { from: loss.from.0, to: loss.to.0, events: loss.events, reason }
}
