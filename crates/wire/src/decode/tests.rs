use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use weir_model::EventFault;

use super::*;
use crate::proto::producer::{Timber, TimberCollection, TimberContext};
use crate::proto::v1::{Event, Events, event};

const RECEIVED: Timestamp = Timestamp::from_micros(42);

fn context() -> Option<TimberContext> {
    Some(TimberContext { es_index_prefix: "shop".to_owned(), ..TimberContext::default() })
}

fn content(fields: &[(&str, Option<Kind>)]) -> Option<Struct> {
    let fields = fields.iter().map(|(key, kind)| ((*key).to_owned(), Value { kind: kind.clone() }));
    Some(Struct { fields: fields.collect() })
}

fn timber(content: Option<Struct>) -> Timber {
    Timber { content, ..Timber::default() }
}

fn decode_items(items: Vec<Timber>) -> EventBatch {
    let value = Bytes::from(TimberCollection { context: context(), items }.encode_to_vec());
    decode_record(RecordFormat::TimberCollection, &value, RECEIVED).expect("whole")
}

fn shown(batch: &EventBatch) -> Vec<String> {
    let show = |event: weir_model::EventRef<'_>| match event.content {
        Ok(content) => content.to_string(),
        Err(fault) => fault.to_string(),
    };
    batch.events().map(show).collect()
}

#[test]
fn numbers_are_as_jsonpb_prints_them() {
    let check = |number: f64, expected: &str| {
        let batch = decode_items(vec![timber(content(&[("n", Some(Kind::NumberValue(number)))]))]);
        assert_eq!(shown(&batch), [format!("{{\"n\":{expected}}}")]);
    };
    check(0.0, "0");
    check(-0.0, "-0.0");
    check(-1.0, "-1");
    check(0.5, "0.5");
    check(9_007_199_254_740_992.0, "9007199254740992");
    check(-9_007_199_254_740_992.0, "-9007199254740992");
    check(9_007_199_254_740_994.0, "9007199254740994.0");
    check(1e300, "1e300");
    check(5e-324, "5e-324");
    check(f64::NAN, "\"NaN\"");
    check(f64::INFINITY, "\"Infinity\"");
    check(f64::NEG_INFINITY, "\"-Infinity\"");
}

/// What a decoder keeps of one record is not seen in the next.
#[test]
fn records_that_follow_each_other_are_as_if_alone() {
    let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
    let of = |prefix: &str, item: Timber| {
        let context = TimberContext { es_index_prefix: prefix.to_owned(), ..TimberContext::default() };
        Timber { context: Some(context), ..item }.encode_to_vec()
    };
    let first = timber(content(&[("message", text("one")), ("status", text("200"))]));
    let same_keys = timber(content(&[("message", text("two, longer")), ("status", text("404"))]));
    let broken = timber(content(&[("message", None), ("status", text("500"))]));
    let other_keys = timber(content(&[("massage", text("three"))]));
    let records = [
        of("shop", first.clone()),
        of("shop", same_keys),
        b"\xff".to_vec(),
        of("shop", broken),
        of("../etc", first.clone()),
        of("cafe", other_keys),
        of("shop", first),
    ];
    let mut decoder = RecordDecoder::default();
    for record in records {
        let value = Bytes::from(record);
        let seen = |decoded: Result<EventBatch, DecodeRecordError>| {
            decoded.map(|batch| (batch.index_prefix().clone(), shown(&batch)))
        };
        let alone = seen(decode_record(RecordFormat::Timber, &value, RECEIVED));
        assert_eq!(seen(decoder.decode(RecordFormat::Timber, &value, RECEIVED)), alone);
    }
}

#[test]
fn the_app_is_that_of_the_record() {
    let secret = |format, value: Vec<u8>| {
        let batch = decode_record(format, &value.into(), Timestamp::from_micros(0)).expect("is a record");
        batch.app_secret().map(|secret| secret.reveal().to_owned())
    };
    let with = |secret: &str| {
        Some(TimberContext { app_secret: secret.to_owned(), ..context().expect("is a context") })
    };
    let timber = Timber { context: with("s3cret"), ..timber(content(&[])) };
    assert_eq!(secret(RecordFormat::Timber, timber.encode_to_vec()).as_deref(), Some("s3cret"));
    // That of an item counts for nothing.
    let collection = |secret| TimberCollection { context: with(secret), items: vec![timber.clone()] };
    let of_collection = |name| secret(RecordFormat::TimberCollection, collection(name).encode_to_vec());
    assert_eq!(of_collection("other").as_deref(), Some("other"));
    assert_eq!(of_collection(""), None);
}

#[test]
fn an_item_that_can_not_be_stored_leaves_its_neighbours_alone() {
    let good = || timber(content(&[("a", Some(Kind::BoolValue(true)))]));
    let batch = decode_items(vec![
        good(),
        timber(None),
        timber(content(&[])),
        timber(content(&[("a", None)])),
        timber(content(&[("a", Some(Kind::StructValue(content(&[("b", None)]).expect("a struct"))))])),
        good(),
    ]);
    assert_eq!(
        shown(&batch),
        [
            r#"{"a":true}"#,
            "the event has no content",
            "the content of the event has no fields",
            "a value in the content has no kind",
            "a value in the content has no kind",
            r#"{"a":true}"#,
        ]
    );
    assert_eq!(batch.get(5).expect("six").original, Some(&good().encode_to_vec()[..]));
    assert_eq!(batch.get(1).expect("six").original, Some(&b""[..]));
}

#[test]
fn the_time_is_the_timbers_then_the_contents_then_that_of_receipt() {
    let check = |timestamp: &str, at: Option<Kind>, expected: &str| {
        let mut item = timber(content(&[("@timestamp", at), ("a", Some(Kind::NullValue(0)))]));
        item.timestamp = timestamp.to_owned();
        let batch = decode_items(vec![item]);
        assert_eq!(batch.get(0).expect("one").time.to_string(), expected);
    };
    let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
    let received = "1970-01-01T00:00:00.000042Z";
    check("2025-09-03T00:11:52Z", text("2024-01-01T00:00:00Z"), "2025-09-03T00:11:52Z");
    check("", text("2024-01-01T00:00:00.5Z"), "2024-01-01T00:00:00.500Z");
    check("03/Sep/2025", text("2024-01-01T00:00:00+01:00"), "2023-12-31T23:00:00Z");
    check("2025-09-03T00:11:52", text("yesterday"), received);
    check("", Some(Kind::NumberValue(1.7e9)), received);
    check("2025-09-03T00:11:52Z", None, "2025-09-03T00:11:52Z");
}

#[test]
fn too_deep_is_a_fault_of_the_event() {
    let nested = |depth: usize| {
        let innermost = content(&[("a", Some(Kind::NullValue(0)))]).expect("a struct");
        let wrap = |inner, _| content(&[("a", Some(Kind::StructValue(inner)))]).expect("a struct");
        (1..depth).fold(innermost, wrap)
    };
    let batch = decode_items(vec![timber(Some(nested(64))), timber(Some(nested(65)))]);
    assert!(batch.get(0).expect("two").content.is_ok());
    assert_eq!(batch.get(1).expect("two").content.expect_err("too deep"), &EventFault::TooDeep);
}

#[test]
fn repeated_parts_merge_as_protobuf_says() {
    let check = |timber: &[u8], expected: &str| {
        let mut value = b"\x0a\x06\x22\x04shop".to_vec();
        value.extend_from_slice(timber);
        let batch = decode_record(RecordFormat::Timber, &Bytes::from(value), RECEIVED).expect("whole");
        assert_eq!(shown(&batch), [expected]);
    };
    // Two contents; the same key twice; an entry with its parts in the other order.
    check(
        b"\x1a\x09\x0a\x07\x0a\x01a\x12\x02\x08\x00\x1a\x09\x0a\x07\x0a\x01b\x12\x02\x20\x01",
        r#"{"a":null,"b":true}"#,
    );
    check(
        b"\x1a\x12\x0a\x07\x0a\x01a\x12\x02\x08\x00\x0a\x07\x0a\x01a\x12\x02\x20\x01",
        r#"{"a":null,"a":true}"#,
    );
    check(b"\x1a\x09\x0a\x07\x12\x02\x20\x00\x0a\x01a", r#"{"a":false}"#);
    // An entry without a key, one without a value, one with two keys.
    check(b"\x1a\x06\x0a\x04\x12\x02\x08\x00", r#"{"":null}"#);
    check(b"\x1a\x05\x0a\x03\x0a\x01a", "a value in the content has no kind");
    check(b"\x1a\x0c\x0a\x0a\x0a\x01a\x0a\x01b\x12\x02\x08\x00", r#"{"b":null}"#);
    // A value with two kinds, in one part and in two; unknown fields in it.
    check(b"\x1a\x0c\x0a\x0a\x0a\x01a\x12\x05\x1a\x01x\x20\x01", r#"{"a":true}"#);
    check(b"\x1a\x0e\x0a\x0c\x0a\x01a\x12\x03\x1a\x01x\x12\x02\x20\x01", r#"{"a":true}"#);
    check(b"\x1a\x0b\x0a\x09\x0a\x01a\x12\x04\x20\x01\x50\x07", r#"{"a":true}"#);
    // Two lists are one; a list after something else starts over.
    check(
        b"\x1a\x13\x0a\x11\x0a\x01a\x12\x0c\x32\x04\x0a\x02\x20\x01\x32\x04\x0a\x02\x20\x00",
        r#"{"a":[true,false]}"#,
    );
    check(
        b"\x1a\x15\x0a\x13\x0a\x01a\x12\x0e\x32\x04\x0a\x02\x20\x01\x20\x01\x32\x04\x0a\x02\x20\x00",
        r#"{"a":[false]}"#,
    );
    // The last timestamp counts.
    check(b"\x12\x01x\x1a\x09\x0a\x07\x0a\x01a\x12\x02\x08\x00\x12\x01y", r#"{"a":null}"#);
}

#[test]
fn damage_inside_of_an_item_is_the_items_own() {
    let good = b"\x12\x0b\x1a\x09\x0a\x07\x0a\x01a\x12\x02\x08\x00";
    let mut value = b"\x0a\x06\x22\x04shop".to_vec();
    value.extend_from_slice(good);
    // A string that is no UTF-8; an entry that is cut off; a Timber that is cut off.
    value.extend_from_slice(b"\x12\x0c\x1a\x0a\x0a\x08\x0a\x01a\x12\x03\x1a\x01\xff");
    value.extend_from_slice(b"\x12\x04\x1a\x02\x0a\x09");
    value.extend_from_slice(b"\x12\x02\x1a\x09");
    value.extend_from_slice(good);
    let batch =
        decode_record(RecordFormat::TimberCollection, &Bytes::from(value), RECEIVED).expect("whole outside");
    let shown = shown(&batch);
    assert_eq!((shown.len(), shown[0].as_str(), shown[4].as_str()), (5, r#"{"a":null}"#, r#"{"a":null}"#));
    for fault in &shown[1..4] {
        assert!(fault.starts_with("the event could not be decoded: malformed protobuf"), "{fault}");
    }
}

#[test]
fn a_record_without_a_legal_prefix_gives_its_originals() {
    let check = |format, value: Vec<u8>, prefix: &str, originals: &[&[u8]]| {
        let value = Bytes::from(value);
        let error = decode_record(format, &value, RECEIVED).expect_err("no legal prefix");
        assert_eq!(error.to_string(), format!("could not decode a record of format `{format}`"));
        assert_eq!(error.fault.to_string(), format!("the index prefix `{prefix}` is illegal"));
        let found: Vec<&[u8]> = error.originals.iter().map(|range| slice(&value, range)).collect();
        assert_eq!(found, originals);
    };
    let item = timber(content(&[("a", Some(Kind::NullValue(0)))]));
    let bytes = item.encode_to_vec();
    check(RecordFormat::Timber, bytes.clone(), "", &[&bytes]);
    let context = Some(TimberContext { es_index_prefix: "Shop".to_owned(), ..TimberContext::default() });
    let collection = TimberCollection { context, items: vec![item.clone(), item] };
    check(RecordFormat::TimberCollection, collection.encode_to_vec(), "Shop", &[&bytes, &bytes]);
    let event = Event { time_micros: None, content: Some(event::Content::Message("x".to_owned())) };
    let bytes = event.encode_to_vec();
    let events = Events { index_prefix: "..".to_owned(), items: vec![event] };
    check(RecordFormat::Events, events.encode_to_vec(), "..", &[&bytes]);
}

#[test]
fn a_record_that_is_damaged_outside_gives_what_was_found() {
    let mut value = b"\x0a\x06\x22\x04shop\x12\x00\x12".to_vec();
    let error = decode_record(RecordFormat::TimberCollection, &Bytes::from(value.clone()), RECEIVED)
        .expect_err("cut off");
    assert!(matches!(error.fault, RecordFault::Malformed(Malformed { at: 11, .. })), "{error:?}");
    assert_eq!(error.originals, vec![Range { start: 10, end: 10 }]);
    value.pop();
    assert!(decode_record(RecordFormat::TimberCollection, &Bytes::from(value), RECEIVED).is_ok());
}

#[test]
fn events_keep_the_types_of_their_json() {
    let check = |json: &str, expected: &str| {
        let event =
            Event { time_micros: None, content: Some(event::Content::Json(Bytes::from(json.to_owned()))) };
        let events = Events { index_prefix: "shop".to_owned(), items: vec![event] };
        let value = Bytes::from(events.encode_to_vec());
        let batch = decode_record(RecordFormat::Events, &value, RECEIVED).expect("whole");
        assert_eq!(shown(&batch), [expected], "{json}");
    };
    check(
        r#"{ "b" : [ 1 , 1.0, 18446744073709551616 ] , "a" : null }"#,
        r#"{"b":[1,1.0,18446744073709551616],"a":null}"#,
    );
    check(r#"{"a":1,"a":{"":"x"},".":"\u0000"}"#, r#"{"a":1,"a":{"":"x"},".":"\u0000"}"#);
    check("{}", "the content of the event has no fields");
    check("[1]", "the event could not be decoded: the JSON value is no object");
    check("", "the event could not be decoded: the text ends too early at byte 0");
    check("{\"a\":1}x", "the event could not be decoded: expected the end of the text at byte 7");
    let deep = "{\"a\":".repeat(65);
    check(&deep, "the content is nested more than 64 deep");
}

#[test]
fn an_event_without_content_is_one_with_a_fault() {
    let value = Bytes::from_static(
        b"\x0a\x04shop\x12\x00\x12\x09\x09\x01\0\0\0\0\0\0\0\x12\x03\x1a\x01\xff\x12\x03\x1a\x01x",
    );
    let batch = decode_record(RecordFormat::Events, &value, RECEIVED).expect("whole");
    assert_eq!(
        shown(&batch),
        [
            "the event has no content",
            "the event has no content",
            "the event could not be decoded: malformed protobuf at byte 2: a string is not valid UTF-8",
            r#"{"message":"x"}"#,
        ]
    );
    assert_eq!(batch.get(1).expect("four").time, Timestamp::from_micros(1));
    assert_eq!(batch.get(3).expect("four").time, RECEIVED);
}

#[test]
fn a_batch_of_many_keys_comes_whole() {
    let keys: Vec<String> = (0..10_000).map(|key| format!("key.{key}")).collect();
    let fields: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(Kind::NumberValue(1.0)))).collect();
    let batch = decode_items(vec![timber(content(&fields))]);
    let content = batch.get(0).expect("one").content.expect("an object");
    assert_eq!(content.entries().count(), 10_000);
}
