use weir_model::{EventBatch, Record};
use weir_wire::DecodeRecordError;

/// The events of a record, as the consumer will see them.
pub(crate) fn decode(record: &Record) -> Result<EventBatch, DecodeRecordError> {
    weir_wire::decode_record(record.format, &record.value, record.received)
}
