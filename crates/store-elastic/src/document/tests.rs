use bytes::Bytes;
use weir_model::{EventBatchBuilder, Incarnation, IndexPrefix, PartitionIndex, StreamName};
use weir_store::query::examples::append_json;

use super::*;

/// 2026-11-21T12:00:00Z
const RECEIVED: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

fn partition(stream: &str, incarnation: u64, index: u32) -> StreamPartition {
    StreamPartition {
        stream: StreamName::new(stream).expect("legal"),
        incarnation: Incarnation(incarnation),
        partition: PartitionIndex(index),
    }
}

/// The document of a content, the event 3 of record 42, whose time is 1.25 s after its receipt.
fn document(content: &str, extras: Extras) -> Result<String, Occupied> {
    let mut builder = EventBatchBuilder::with_capacity(1, 0);
    builder.begin_event();
    append_json(content, &mut builder).expect("is JSON");
    let time = Timestamp::from_micros(RECEIVED.micros() + 1_250_000);
    builder.finish_event(time, 0..0);
    let batch = builder.build(IndexPrefix::new("shop").expect("legal"), Bytes::new());
    let event = batch.get(0).expect("was built");
    let mut writer = Writer::new(&partition("shop_logs", 0x1f, 3));
    writer.start_record(Offset(42), RECEIVED, extras);
    let mut line = b"before".to_vec();
    let outcome = writer.append(3, time, event.content.expect("has one"), extras, &mut line);
    let text = String::from_utf8(line).expect("is UTF-8");
    let text = text.strip_prefix("before").expect("what was there stays").to_owned();
    outcome.map(|()| text)
}

#[test]
fn a_document_is_the_content_and_where_it_is_from() {
    let found = document(r#"{"b":1,"a":{"x":[true,null,"ä\n\"\\\u0001"]}}"#, Extras::Weir);
    let expected = r#"{"b":1,"a":{"x":[true,null,"ä\n\"\\\u0001"]},"weir":{"stream":"shop_logs","received":"2026-11-21T12:00:00Z","id":"shop_logs-000000000000001f-3-42.3","time":1795262401250000,"order":"shop_logs!000000000000001fa3b42a3"},"@timestamp":"2026-11-21T12:00:01.250Z"}"#;
    assert_eq!(found.as_deref(), Ok(expected));
}

#[test]
fn under_compat_it_is_what_barito_flow_writes() {
    let check = |content: &str, expected: &str| {
        assert_eq!(document(content, Extras::Barito).as_deref(), Ok(expected));
    };
    check(r#"{"b":1}"#, r#"{"b":1,"@timestamp":"2026-11-21T12:00:00Z"}"#);
    check(r#"{"@timestamp":"then","b":1}"#, r#"{"@timestamp":"then","b":1}"#);
    check(r#"{"weir":1,"@timestamp":2}"#, r#"{"weir":1,"@timestamp":2}"#);
}

#[test]
fn a_timestamp_of_its_own_is_kept() {
    let found = document(r#"{"@timestamp":"then"}"#, Extras::Weir).expect("is written");
    assert!(found.starts_with(r#"{"@timestamp":"then","weir":{"#), "{found}");
    let nested = document(r#"{"a":{"@timestamp":"then","weir":1}}"#, Extras::Weir).expect("is written");
    assert!(nested.contains(r#"a3"},"@timestamp":"2026-"#), "{nested}");
}

#[test]
fn the_store_does_not_overwrite_a_field() {
    assert_eq!(document(r#"{"weir":{"stream":"x"}}"#, Extras::Weir), Err(Occupied));
}

#[test]
fn doubles_are_written_as_go_does() {
    let check = |value: f64, expected: &str| {
        let mut line = Vec::new();
        append_float(value, &mut line);
        assert_eq!(String::from_utf8(line).as_deref(), Ok(expected));
    };
    check(0.5, "0.5");
    check(-0.1, "-0.1");
    check(1.0, "1.0");
    check(0.0, "0.0");
    check(-0.0, "-0.0");
    check(0.000_001, "0.000001");
    check(0.000_000_1, "1e-7");
    check(1.5e-9, "1.5e-9");
    check(1e20, "100000000000000000000");
    check(1e21, "1e+21");
    check(1.234e308, "1.234e+308");
}

#[test]
fn times_are_rfc_3339() {
    for micros in [0, -1, 1_700_000_000_123_000, 951_782_400_000_001, -62_167_219_200_000_000] {
        let time = Timestamp::from_micros(micros);
        let mut text = Vec::new();
        Dates::default().append(time, &mut text);
        assert_eq!(String::from_utf8(text).expect("is ASCII"), time.to_string());
    }
}

#[test]
fn order_is_that_of_ids() {
    let mut ids = Vec::new();
    for stream in ["a", "a-b", "a.b", "a0", "ab", "b"] {
        for (incarnation, index) in [(1, 0), (1, 9), (1, 10), (2, 0), (0x10, 0)] {
            for (offset, event) in [(0, 0), (9, 10), (10, 9), (10, 10), (u64::MAX, u32::MAX)] {
                let position = Position {
                    partition: partition(stream, incarnation, index),
                    offset: Offset(offset),
                    index: event,
                };
                ids.push(EventId(position));
            }
        }
    }
    ids.sort();
    assert!(ids.is_sorted_by_key(order));
}
