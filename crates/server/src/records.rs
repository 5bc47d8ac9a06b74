use weir_model::{EventBatch, Record};
use weir_redaction::Redactor;
use weir_wire::DecodeRecordError;

/// The events of a record as they came.
pub(crate) fn decode(record: &Record) -> Result<EventBatch, DecodeRecordError> {
    weir_wire::decode_record(record.format, &record.value, record.received)
}

/// The events of a record, as the consumer gives them to the stores.
pub(crate) fn redacted(record: &Record, redactor: &Redactor) -> Result<EventBatch, DecodeRecordError> {
    let mut events = decode(record)?;
    redactor.redact(&mut events);
    Ok(events)
}
