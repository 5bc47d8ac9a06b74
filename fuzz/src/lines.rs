//! Bodies of weir's own door: what it accepts the consumer can store, all of it.

use weir_model::{IndexPrefix, RecordFormat, Timestamp};
use weir_wire::lines::{self, BodyFormat};
use weir_wire::{EventsBuilder, decode_record};

pub fn run(data: &[u8]) {
    let prefix = IndexPrefix::new("shop").expect("legal");
    for format in [
        BodyFormat::Auto,
        BodyFormat::Text,
        BodyFormat::JsonLines,
        BodyFormat::JsonArray,
        BodyFormat::JsonObject,
    ] {
        let mut events = EventsBuilder::new(&prefix);
        let Ok(outcome) = lines::parse(data, format, u32::MAX, &mut events) else { continue };
        let (record, count) = events.finish();
        assert_eq!(count, outcome.accepted);
        let batch = decode_record(RecordFormat::Events, &record, Timestamp::default()).expect("just written");
        assert_eq!(batch.len(), count as usize);
        assert!(batch.events().all(|event| event.content.is_ok()), "{format:?}");
    }
}
