//! Records of weir's own format at the consumer.

use bytes::Bytes;
use weir_model::{RecordFormat, Timestamp};
use weir_wire::decode_record;

pub fn run(data: &[u8]) {
    let value = Bytes::copy_from_slice(data);
    if let Ok(batch) = decode_record(RecordFormat::Events, &value, Timestamp::default()) {
        for event in batch.events() {
            if let Ok(content) = event.content {
                assert!(content.to_string().starts_with('{'));
            }
        }
    }
}
