use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;
use weir_foundation::failure::chain;
use weir_journal::StoredRecord;
use weir_model::{
    EventBatch, EventFault, EventRef, IndexPrefix, Position, RecordFormat, StreamPartition, Timestamp,
};
use weir_redaction::Redactor;
use weir_store::{DeadLetter, DeadReason, Rejection, WriteRecord};
use weir_wire::RecordDecoder;

/// Codes of [`DeadReason`] that the consumer gives. They are stable.
pub(crate) mod code {
    pub(crate) const MISSING_CONTENT: &str = "missing-content";
    pub(crate) const EMPTY_CONTENT: &str = "empty-content";
    pub(crate) const VALUE_WITHOUT_KIND: &str = "value-without-kind";
    pub(crate) const TOO_DEEP: &str = "too-deep";
    pub(crate) const UNDECODABLE: &str = "undecodable";
    /// A whole record; the letter stands for all of its events.
    pub(crate) const UNDECODABLE_RECORD: &str = "undecodable-record";
    /// A whole record that holds another number of events than was counted when it was accepted.
    pub(crate) const EVENT_COUNT_MISMATCH: &str = "event-count-mismatch";
    /// The store refused the event.
    pub(crate) const REJECTED: &str = "rejected";
}

/// Records as the stores take them.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Without the records that are dead as a whole.
    pub(crate) records: Vec<WriteRecord>,
    pub(crate) letters: Vec<DeadLetter>,
    /// How many events of `records` a store can take, by index.
    pub(crate) events: BTreeMap<IndexPrefix, u64>,
}

/// Decodes consecutive records of a partition and redacts their events, before anything else sees them. The same
/// records give the same result, but for `died` and for what the rules of the moment redact: an event that can be
/// stored by one set of rules can be stored by all.
pub(crate) fn decode(
    partition: &StreamPartition,
    records: &[StoredRecord],
    redactor: &Redactor,
    died: Timestamp,
) -> Decoded {
    let mut decoded = Decoded::default();
    let mut decoder = RecordDecoder::default();
    for stored in records {
        let events = match decode_record(&mut decoder, stored, redactor) {
            Ok(events) => events,
            Err(reason) => {
                decoded.letters.push(record_letter(partition, stored, reason, died));
                continue;
            }
        };
        let faults = events.events().filter(|event| event.content.is_err()).count();
        if faults > 0 {
            decoded.letters.extend(fault_letters(partition, stored, &events, died));
        }
        let healthy = (events.len() - faults) as u64;
        match decoded.events.get_mut(events.index_prefix()) {
            Some(count) => *count += healthy,
            None => drop(decoded.events.insert(events.index_prefix().clone(), healthy)),
        }
        let record = WriteRecord { offset: stored.offset, received: stored.record.received, events };
        decoded.records.push(record);
    }
    decoded
}

/// The letter of an event that the store refused; none if the record has no such event.
pub(crate) fn rejection_letter(
    partition: &StreamPartition,
    records: &[StoredRecord],
    rejection: &Rejection,
    redactor: &Redactor,
    died: Timestamp,
) -> Option<DeadLetter> {
    let stored = records.iter().find(|stored| stored.offset == rejection.offset)?;
    let events = decode_record(&mut RecordDecoder::default(), stored, redactor).ok()?;
    let reason = DeadReason { code: code::REJECTED.to_owned(), message: rejection.reason.clone() };
    event_letter(partition, stored, &events, rejection.index, reason, died)
}

fn decode_record(
    decoder: &mut RecordDecoder,
    stored: &StoredRecord,
    redactor: &Redactor,
) -> Result<EventBatch, DeadReason> {
    let record = &stored.record;
    let decoded = decoder.decode(record.format, &record.value, record.received);
    let mut events = decoded.map_err(|error| DeadReason {
        code: code::UNDECODABLE_RECORD.to_owned(),
        message: chain(&error as &(dyn Error + 'static)).to_string(),
    })?;
    match record.events {
        Some(counted) if counted as usize != events.len() => Err(DeadReason {
            code: code::EVENT_COUNT_MISMATCH.to_owned(),
            message: format!("the record holds {} events, {counted} were counted", events.len()),
        }),
        _ if is_of_another_format(record.format, &events) => Err(DeadReason {
            code: code::UNDECODABLE_RECORD.to_owned(),
            message: format!("no event of the record can be read in the format `{}`", record.format),
        }),
        _ => {
            redactor.redact(&mut events);
            Ok(events)
        }
    }
}

/// Bytes of another format may look like a record whose events are broken. What these have of the bytes is not all:
/// the rest would be lost if each died alone.
fn is_of_another_format(format: RecordFormat, events: &EventBatch) -> bool {
    let is_broken = |event: EventRef<'_>| matches!(event.content, Err(EventFault::Undecodable(_)));
    format != RecordFormat::Timber && !events.is_empty() && events.events().all(is_broken)
}

fn record_letter(
    partition: &StreamPartition,
    stored: &StoredRecord,
    reason: DeadReason,
    died: Timestamp,
) -> DeadLetter {
    DeadLetter {
        position: Position { partition: partition.clone(), offset: stored.offset, index: 0 },
        // One at least: that there was a record is known.
        events: stored.record.events.unwrap_or(1),
        received: stored.record.received,
        died,
        prefix: None,
        format: stored.record.format,
        reason,
        original: stored.record.value.clone(),
    }
}

fn fault_letters(
    partition: &StreamPartition,
    stored: &StoredRecord,
    events: &EventBatch,
    died: Timestamp,
) -> Vec<DeadLetter> {
    let faults = (0..).zip(events.events()).filter_map(|(index, event)| Some((index, event.content.err()?)));
    faults
        .filter_map(|(index, fault)| {
            let reason = DeadReason { code: fault_code(fault).to_owned(), message: fault.to_string() };
            event_letter(partition, stored, events, index, reason, died)
        })
        .collect()
}

fn event_letter(
    partition: &StreamPartition,
    stored: &StoredRecord,
    events: &EventBatch,
    index: u32,
    reason: DeadReason,
    died: Timestamp,
) -> Option<DeadLetter> {
    let event = events.get(index)?;
    let original = match (event.original, event.content) {
        (Some(original), _) => Bytes::copy_from_slice(original),
        // The bytes that came have what was redacted.
        (None, Ok(content)) => weir_wire::encode_event(stored.record.format, event.time, content),
        (None, Err(_)) => Bytes::new(),
    };
    Some(DeadLetter {
        position: Position { partition: partition.clone(), offset: stored.offset, index },
        events: 1,
        received: stored.record.received,
        died,
        prefix: Some(events.index_prefix().clone()),
        format: stored.record.format,
        reason,
        original,
    })
}

fn fault_code(fault: &EventFault) -> &'static str {
    match fault {
        EventFault::MissingContent => code::MISSING_CONTENT,
        EventFault::EmptyContent => code::EMPTY_CONTENT,
        EventFault::ValueWithoutKind => code::VALUE_WITHOUT_KIND,
        EventFault::TooDeep => code::TOO_DEEP,
        EventFault::Undecodable(_) => code::UNDECODABLE,
    }
}

#[cfg(test)]
mod tests;
