//! The bytes of the three record formats, as they are on disk: they never change.

use bytes::Bytes;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use weir_model::{IndexPrefix, RecordFormat, Timestamp};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};
use weir_wire::{EventsBuilder, decode_record};

/// `Timber` 1: context, 2: timestamp, 3: content with the keys `ok`, `tags` and `took`.
const TIMBER: &[u8] = b"\
    \x0a\x1c\x0a\x04shop\x10\x32\x18\x03\x22\x04shop\x2a\x06barito\x30\x64\x40\x01\
    \x12\x142025-09-03T00:11:52Z\
    \x1a\x31\
    \x0a\x08\x0a\x02ok\x12\x02\x20\x01\
    \x0a\x12\x0a\x04tags\x12\x0a\x32\x08\x0a\x02\x08\x00\x0a\x02\x1a\x00\
    \x0a\x11\x0a\x04took\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf8\x3f";

/// `TimberCollection` 1: context, 2: items, the second of them without content.
const TIMBER_COLLECTION: &[u8] = b"\
    \x0a\x0c\x0a\x04shop\x22\x04shop\
    \x12\x11\x0a\x00\x1a\x0d\x0a\x0b\x0a\x03msg\x12\x04\x1a\x02hi\
    \x12\x02\x0a\x00";

/// `Events` 1: index prefix, 2: items with 1: time (optional), 2: JSON or 3: message.
const EVENTS: &[u8] = b"\
    \x0a\x04shop\
    \x12\x12\x09\x00\x40\x1e\x18\x24\x0a\x06\x00\x12\x07{\"n\":1}\
    \x12\x04\x1a\x02hi";

fn context() -> TimberContext {
    TimberContext { kafka_topic: "shop".into(), es_index_prefix: "shop".into(), ..TimberContext::default() }
}

fn object(fields: impl IntoIterator<Item = (&'static str, Kind)>) -> Option<Struct> {
    let fields = fields.into_iter().map(|(key, kind)| (key.to_owned(), Value { kind: Some(kind) }));
    Some(Struct { fields: fields.collect() })
}

fn check(format: RecordFormat, value: &'static [u8], expected: &[&str]) {
    let batch = decode_record(format, &Bytes::from_static(value), Timestamp::from_micros(42)).expect("whole");
    let events: Vec<String> = batch
        .events()
        .map(|event| match event.content {
            Ok(content) => format!("{} {content}", event.time),
            Err(fault) => format!("{} {fault}", event.time),
        })
        .collect();
    assert_eq!(events, expected);
    assert_eq!(batch.index_prefix().as_str(), "shop");
}

#[test]
fn timber() {
    let tags = vec![
        Value { kind: Some(Kind::NullValue(0)) },
        Value { kind: Some(Kind::StringValue(String::new())) },
    ];
    let message = Timber {
        context: Some(TimberContext {
            kafka_partition: 50,
            kafka_replication_factor: 3,
            es_document_type: "barito".into(),
            app_max_tps: 100,
            disable_app_tps: true,
            ..context()
        }),
        timestamp: "2025-09-03T00:11:52Z".to_owned(),
        content: object([
            ("ok", Kind::BoolValue(true)),
            ("tags", Kind::ListValue(ListValue { values: tags })),
            ("took", Kind::NumberValue(1.5)),
        ]),
    };
    assert_eq!(message.encode_to_vec(), TIMBER);
    check(RecordFormat::Timber, TIMBER, &[r#"2025-09-03T00:11:52Z {"ok":true,"tags":[null,""],"took":1.5}"#]);
}

#[test]
fn timber_collection() {
    let item = |content| Timber { context: Some(TimberContext::default()), content, ..Timber::default() };
    let content = object([("msg", Kind::StringValue("hi".to_owned()))]);
    let message = TimberCollection { context: Some(context()), items: vec![item(content), item(None)] };
    assert_eq!(message.encode_to_vec(), TIMBER_COLLECTION);
    check(
        RecordFormat::TimberCollection,
        TIMBER_COLLECTION,
        &[
            r#"1970-01-01T00:00:00.000042Z {"msg":"hi"}"#,
            "1970-01-01T00:00:00.000042Z the event has no content",
        ],
    );
}

#[test]
fn events() {
    let mut builder = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
    builder.push_json(r#"{"n":1}"#, Some(Timestamp::from_micros(1_700_000_000_000_000)));
    builder.push_line("hi", None);
    assert_eq!(builder.finish(), (Bytes::from_static(EVENTS), 2));
    check(
        RecordFormat::Events,
        EVENTS,
        &[r#"2023-11-14T22:13:20Z {"n":1}"#, r#"1970-01-01T00:00:00.000042Z {"message":"hi"}"#],
    );
}
