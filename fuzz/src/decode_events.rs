//! Records of weir's own format at the consumer: what the door lets in has as many events as it said, and is the same
//! when it was put together again of its events.

use bytes::Bytes;
use weir_model::{EventBatch, IndexPrefix, RecordFormat, Timestamp};
use weir_wire::{EventsBuilder, decode_record, raw_events, scan_events};

pub fn run(data: &[u8]) {
    let value = Bytes::copy_from_slice(data);
    let decoded = decode_record(RecordFormat::Events, &value, Timestamp::default());
    if let Ok(scanned) = scan_events(data) {
        let events = decoded.as_ref().map_or_else(|error| error.originals.len(), |batch| batch.len());
        assert_eq!(events, scanned.items as usize);
    }
    assert_eq!(raw_events(data).is_ok(), scan_events(data).is_ok());
    if let Ok(batch) = decoded {
        for event in batch.events() {
            if let Ok(content) = event.content {
                assert!(content.to_string().starts_with('{'));
            }
        }
        put_together(data, &batch);
    }
}

fn put_together(data: &[u8], batch: &EventBatch) {
    let Ok(events) = raw_events(data) else { return };
    let Ok(prefix) = IndexPrefix::new(events.index_prefix()) else { return };
    let mut builder = EventsBuilder::new(&prefix);
    for event in events {
        let before = builder.bytes();
        builder.push_raw(event, Timestamp::default());
        assert_eq!(builder.bytes() - before, event.timed_len());
    }
    let (copy, count) = builder.finish();
    assert_eq!(count as usize, batch.len());
    // Every event has a time by now.
    let later = Timestamp::from_micros(1);
    let copy = decode_record(RecordFormat::Events, &copy, later).expect("it is whole");
    for (event, copy) in batch.events().zip(copy.events()) {
        assert_eq!(
            event.content.map(|content| content.to_string()).ok(),
            copy.content.map(|content| content.to_string()).ok()
        );
        if copy.content.is_ok() {
            assert_eq!(event.time, copy.time);
        }
    }
}
