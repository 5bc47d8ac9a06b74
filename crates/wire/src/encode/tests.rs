use prost::Message as _;

use super::*;
use crate::decode_record;
use crate::proto::v1::{Event, Events, event};

fn shop() -> IndexPrefix {
    IndexPrefix::new("shop").expect("legal")
}

#[test]
fn the_record_is_what_any_protobuf_library_would_write() {
    let mut builder = EventsBuilder::new(&shop());
    builder.push_json("{\"a\":1}", Some(Timestamp::from_micros(-5)));
    builder.push_line("a line", None);
    builder.push_line(&"long ".repeat(1000), Some(Timestamp::from_micros(0)));
    builder.push_json("", None);
    let (record, count) = builder.finish();
    let event = |time_micros, content| Event { time_micros, content: Some(content) };
    let expected = Events {
        index_prefix: "shop".to_owned(),
        items: vec![
            event(Some(-5), event::Content::Json(Bytes::from_static(b"{\"a\":1}"))),
            event(None, event::Content::Message("a line".to_owned())),
            event(Some(0), event::Content::Message("long ".repeat(1000))),
            event(None, event::Content::Json(Bytes::new())),
        ],
    };
    assert_eq!(count, 4);
    assert_eq!(record, expected.encode_to_vec());
}

#[test]
fn a_record_is_filed_elsewhere() {
    let mut builder = EventsBuilder::new(&shop());
    builder.push_line("a line", Some(Timestamp::from_micros(3)));
    let (record, _) = builder.finish();
    let moved = filed_under(&IndexPrefix::new("store").expect("legal"), record.clone());
    let mut expected = Events::decode(record).expect("it was made here");
    expected.index_prefix = "store".to_owned();
    assert_eq!(Events::decode(moved.clone()).expect("any library reads it"), expected);
    assert_eq!(crate::scan_events(&moved).expect("it is whole").index_prefix, "store");
    let batch = decode_record(RecordFormat::Events, &moved, Timestamp::from_micros(7)).expect("whole");
    assert_eq!((batch.index_prefix().as_str(), batch.len()), ("store", 1));
}

#[test]
fn a_cleared_builder_starts_over() {
    let mut builder = EventsBuilder::with_capacity(&shop(), 100);
    builder.push_line("one", None);
    assert_eq!((builder.len(), builder.is_empty()), (1, false));
    builder.clear();
    assert_eq!((builder.len(), builder.is_empty(), builder.bytes()), (0, true, 6));
    builder.push_line("two", None);
    let mut fresh = EventsBuilder::new(&shop());
    fresh.push_line("two", None);
    assert_eq!(builder.finish(), fresh.finish());
}

#[test]
fn an_original_becomes_a_record_of_its_own_again() {
    let context = Context { topic: "shop", index_prefix: "shop2", max_tps: -1, ..Context::default() };
    let received = Timestamp::from_micros(7);
    let check = |format: RecordFormat, record: &[u8], content: &str| {
        let batch = decode_record(format, &Bytes::copy_from_slice(record), received).expect("whole");
        let original = batch.get(0).expect("one event").original.expect("as it came").to_vec();
        let (format, replayed) = single_event_record(format, &original, &context);
        let batch = decode_record(format, &replayed, received).expect("whole");
        assert_eq!(batch.index_prefix().as_str(), "shop2");
        let event = batch.get(0).expect("one event");
        assert_eq!(event.content.expect("decodable").to_string(), content);
        assert_eq!(event.original, Some(&original[..]));
    };
    let mut builder = EventsBuilder::new(&shop());
    builder.push_json("{\"a\":1.0}", None);
    check(RecordFormat::Events, &builder.finish().0, "{\"a\":1.0}");
    let timber = b"\x0a\x06\x22\x04shop\x1a\x0c\x0a\x0a\x0a\x01a\x12\x05\x1a\x03one";
    check(RecordFormat::Timber, timber, "{\"a\":\"one\"}");
    let mut collection = b"\x0a\x06\x22\x04shop\x12".to_vec();
    collection.push(u8::try_from(timber.len()).expect("short"));
    collection.extend_from_slice(timber);
    check(RecordFormat::TimberCollection, &collection, "{\"a\":\"one\"}");
}

#[test]
fn an_event_that_was_rewritten_has_bytes_again() {
    let json = r#"{"s":"ü\"","i":-7,"f":1.5,"t":true,"n":null,"a":[1,"x",[],{"b":{}}],"big":1e300,"a":[2]}"#;
    let mut builder = EventsBuilder::new(&shop());
    builder.push_json(json, None);
    let (record, _) = builder.finish();
    let time = Timestamp::from_micros(1_700_000_000_123_456);
    let batch = decode_record(RecordFormat::Events, &record, time).expect("whole");
    let content = batch.get(0).expect("one event").content.expect("decodable");
    let context = Context { index_prefix: "shop", ..Context::default() };
    for format in [RecordFormat::Timber, RecordFormat::TimberCollection, RecordFormat::Events] {
        let bytes = encode_event(format, time, content);
        let (format, record) = single_event_record(format, &bytes, &context);
        let again = decode_record(format, &record, Timestamp::default()).expect("whole");
        let event = again.get(0).expect("one event");
        assert_eq!(event.time, time, "{format}");
        assert_eq!(event.content.expect("decodable").to_string(), content.to_string(), "{format}");
        assert_eq!(event.original, Some(&bytes[..]), "{format}");
    }
}
