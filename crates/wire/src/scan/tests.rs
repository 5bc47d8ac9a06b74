use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::*;
use crate::proto::producer::{Timber, TimberCollection, TimberContext};

fn context(secret: &str) -> TimberContext {
    TimberContext {
        kafka_topic: "shop".to_owned(),
        kafka_partition: 50,
        kafka_replication_factor: -3,
        es_index_prefix: "shop".to_owned(),
        es_document_type: "barito".to_owned(),
        app_max_tps: i32::MAX,
        app_secret: secret.to_owned(),
        disable_app_tps: true,
        app_group_max_tps: i32::MIN,
    }
}

fn timber(context: Option<TimberContext>, kind: Option<Kind>) -> Timber {
    let fields = [("ключ".to_owned(), Value { kind })].into();
    Timber { context, timestamp: "2025-09-03T00:11:52Z".to_owned(), content: Some(Struct { fields }) }
}

#[test]
fn the_context_and_the_number_of_items_are_found() {
    let items = vec![timber(None, None), timber(Some(context("")), None), Timber::default()];
    let bytes = TimberCollection { context: Some(context("")), items }.encode_to_vec();
    let batch = scan_collection(&bytes).expect("whole");
    assert_eq!((batch.items(), batch.format()), (3, RecordFormat::TimberCollection));
    let expected = Context {
        topic: "shop",
        partitions: 50,
        replication_factor: -3,
        index_prefix: "shop",
        document_type: "barito",
        max_tps: i32::MAX,
        app_secret: None,
        disable_app_tps: true,
        app_group_max_tps: i32::MIN,
    };
    assert_eq!(batch.context(), Some(&expected));
    assert_eq!(expected.to_protobuf(), context("").encode_to_vec());
    let bytes = timber(Some(context("")), None).encode_to_vec();
    let batch = scan_timber(&bytes).expect("whole");
    assert_eq!((batch.items(), batch.context()), (1, Some(&expected)));
}

#[test]
fn a_batch_may_be_empty_and_a_context_missing() {
    let batch = scan_collection(b"").expect("whole");
    assert_eq!((batch.items(), batch.context()), (0, None));
    let batch = scan_timber(b"").expect("whole");
    assert_eq!((batch.items(), batch.context()), (1, None));
    let batch = scan_collection(b"\x0a\x00").expect("whole");
    assert_eq!(batch.context(), Some(&Context::default()));
}

#[test]
fn a_context_in_two_parts_is_merged_and_the_last_value_counts() {
    // Topic `a`, partitions 1; then partitions 2, index prefix `p`; a topic that is a number is none.
    let bytes = b"\x0a\x05\x0a\x01a\x10\x01\x0a\x07\x10\x02\x22\x01p\x08\x07";
    let merged = Context { topic: "a", partitions: 2, index_prefix: "p", ..Context::default() };
    assert_eq!(scan_collection(bytes).expect("whole").context(), Some(&merged));
    let oracle = TimberContext {
        kafka_topic: "a".into(),
        kafka_partition: 2,
        es_index_prefix: "p".into(),
        ..TimberContext::default()
    };
    assert_eq!(merged.to_protobuf(), oracle.encode_to_vec());
}

#[test]
fn strings_must_be_utf_8_wherever_they_are() {
    let bad = "MARK";
    let with_bad = [
        Timber { timestamp: bad.to_owned(), ..Timber::default() },
        timber(Some(TimberContext { es_document_type: bad.to_owned(), ..TimberContext::default() }), None),
        timber(None, Some(Kind::StringValue(bad.to_owned()))),
        timber(None, Some(Kind::StructValue(Struct { fields: [(bad.to_owned(), Value::default())].into() }))),
        timber(
            None,
            Some(Kind::ListValue(ListValue {
                values: vec![Value::default(), Value { kind: Some(Kind::StringValue(bad.to_owned())) }],
            })),
        ),
    ];
    for timber in with_bad {
        let mut bytes = TimberCollection { context: None, items: vec![timber] }.encode_to_vec();
        assert!(scan_collection(&bytes).is_ok());
        let at = bytes.windows(4).position(|part| part == b"MARK").expect("it is in there");
        bytes[at + 1] = 0xff;
        let error = scan_collection(&bytes).expect_err("no UTF-8");
        assert_eq!(error, Malformed { at, problem: Problem::Utf8 });
        assert_eq!(
            error.to_string(),
            format!("malformed protobuf at byte {at}: a string is not valid UTF-8")
        );
    }
}

#[test]
fn a_batch_that_is_cut_off_is_refused_unless_the_cut_is_between_fields() {
    let items = vec![timber(Some(context("s")), Some(Kind::BoolValue(true))); 3];
    let bytes = TimberCollection { context: Some(context("secret")), items }.encode_to_vec();
    for length in 0..bytes.len() {
        let expected = TimberCollection::decode(&bytes[..length]).map(|batch| batch.items.len());
        let scanned = scan_collection(&bytes[..length]).map(|batch| batch.items() as usize);
        assert_eq!(scanned.ok(), expected.ok(), "at {length}");
    }
}

/// A Timber with a content of `depth` objects and arrays in one another.
fn nested(depth: usize) -> Vec<u8> {
    let mut content = Vec::new();
    for level in 0..depth {
        let mut value = Vec::new();
        let mut entry = Vec::new();
        crate::protobuf::write::put_bytes(&mut value, if level % 2 == 0 { 6 } else { 5 }, &content);
        content = if level % 2 == 0 {
            crate::protobuf::write::put_bytes(&mut entry, 2, &value);
            let mut object = Vec::new();
            crate::protobuf::write::put_bytes(&mut object, 1, &entry);
            object
        } else {
            let mut list = Vec::new();
            crate::protobuf::write::put_bytes(&mut list, 1, &value);
            list
        };
    }
    let mut timber = Vec::new();
    crate::protobuf::write::put_bytes(&mut timber, 3, &content);
    timber
}

#[test]
fn deep_items_pass_as_they_do_in_b_and_bottomless_ones_do_not() {
    assert!(scan_timber(&nested(65)).is_ok());
    assert!(scan_timber(&nested(3_999)).is_ok());
    let error = scan_timber(&nested(5_001)).expect_err("more than 10,000 messages");
    assert_eq!(error.problem, Problem::Nesting);
}

#[test]
fn secrets_are_taken_out_of_every_context() {
    let batch = |outer: &str, inner: &str| TimberCollection {
        context: Some(context(outer)),
        items: vec![
            timber(Some(context(inner)), Some(Kind::NumberValue(1.5))),
            timber(None, None),
            timber(Some(TimberContext::default()), Some(Kind::StringValue("x".repeat(300)))),
        ],
    };
    let check = |outer: &str, inner: &str| {
        let bytes = batch(outer, inner).encode_to_vec();
        let stripped = scan_collection(&bytes).expect("whole").without_app_secret().expect("has a secret");
        assert_eq!(stripped, batch("", "").encode_to_vec());
        assert_eq!(scan_collection(&stripped).expect("whole").without_app_secret(), None);
    };
    check("secret", "");
    check("", "secret");
    check("secret", &"long".repeat(100));
    let bytes = timber(Some(context("secret")), None).encode_to_vec();
    let stripped = scan_timber(&bytes).expect("whole").without_app_secret();
    assert_eq!(stripped, Some(timber(Some(context("")), None).encode_to_vec()));
}

#[test]
fn what_is_not_a_secret_stays_byte_by_byte() {
    // Unknown fields of every type around a secret that is sent twice, with lengths longer than need be.
    let bytes = b"\x7d\x01\x02\x03\x04\x0a\x8e\x00\x3a\x01s\x7a\x02hi\x3a\x00\x0a\x01a\x38\x05\xa3\x06\x08\x01\xa4\x06";
    let stripped = b"\x7d\x01\x02\x03\x04\x0a\x09\x7a\x02hi\x0a\x01a\x38\x05\xa3\x06\x08\x01\xa4\x06";
    assert_eq!(scan_timber(bytes).expect("whole").without_app_secret().as_deref(), Some(&stripped[..]));
    assert!(scan_collection(b"\x0a\x02\x3a\x00").expect("whole").without_app_secret().is_some());
    // A number under the secret's field is no secret.
    assert_eq!(scan_collection(b"\x0a\x02\x38\x05").expect("whole").without_app_secret(), None);
}

#[test]
fn a_secret_is_not_printed() {
    let bytes = timber(Some(context("hunter2")), None).encode_to_vec();
    let batch = scan_timber(&bytes).expect("whole");
    assert!(format!("{:?}", batch.context()).contains("app_secret: Some(\"***\")"));
    assert!(!format!("{:?}", batch.context()).contains("hunter2"));
    assert!(!format!("{:?}", timber(Some(context("hunter2")), None)).contains("hunter2"));
}

#[test]
fn events_are_counted_and_their_texts_checked() {
    let prefix = weir_model::IndexPrefix::new("shop").expect("is legal");
    let mut builder = crate::EventsBuilder::new(&prefix);
    builder.push_line("disk full", None);
    builder.push_json(r#"{"a":1}"#, Some(weir_model::Timestamp::from_micros(5)));
    let (value, _) = builder.finish();
    assert_eq!(scan_events(&value), Ok(ScannedEvents { index_prefix: "shop", items: 2 }));
    assert_eq!(scan_events(b""), Ok(ScannedEvents { index_prefix: "", items: 0 }));
    for end in 1..value.len() {
        let whole = scan_events(&value[..end]).map(|events| events.items);
        assert!(whole.is_err() || whole == Ok(0) || whole == Ok(1), "cut at {end}: {whole:?}");
    }
    let latin = [&b"\x12\x03\x1a\x01"[..], &[0xe9]].concat();
    assert!(scan_events(&latin).is_err(), "no UTF-8");
}
