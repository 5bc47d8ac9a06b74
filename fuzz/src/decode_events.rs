//! Records of weir's own format at the consumer: what the door lets in has as many events as it said.

use bytes::Bytes;
use weir_model::{RecordFormat, Timestamp};
use weir_wire::{decode_record, scan_events};

pub fn run(data: &[u8]) {
    let value = Bytes::copy_from_slice(data);
    let decoded = decode_record(RecordFormat::Events, &value, Timestamp::default());
    if let Ok(scanned) = scan_events(data) {
        let events = decoded.as_ref().map_or_else(|error| error.originals.len(), |batch| batch.len());
        assert_eq!(events, scanned.items as usize);
    }
    if let Ok(batch) = decoded {
        for event in batch.events() {
            if let Ok(content) = event.content {
                assert!(content.to_string().starts_with('{'));
            }
        }
    }
}
