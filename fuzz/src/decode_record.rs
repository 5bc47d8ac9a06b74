//! Records of barito-flow's two formats at the consumer: what the door lets in has as many events as it said.

use bytes::Bytes;
use weir_model::{RecordFormat, Timestamp};
use weir_wire::{ScannedBatch, decode_record, scan_collection, scan_timber};

pub fn run(data: &[u8]) {
    check(RecordFormat::Timber, data, scan_timber(data).ok());
    check(RecordFormat::TimberCollection, data, scan_collection(data).ok());
}

fn check(format: RecordFormat, data: &[u8], scanned: Option<ScannedBatch<'_>>) {
    let decoded = decode_record(format, &Bytes::copy_from_slice(data), Timestamp::default());
    let events = match &decoded {
        Ok(batch) => batch.len(),
        Err(error) => error.originals.len(),
    };
    if let Some(scanned) = scanned {
        assert_eq!(events, scanned.items() as usize);
    }
    for event in decoded.iter().flat_map(|batch| batch.events()) {
        if let Ok(content) = event.content {
            assert!(content.to_string().starts_with('{'));
        }
    }
}
