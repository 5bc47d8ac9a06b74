use super::*;
use crate::content::Value;

fn build(drive: impl FnOnce(&mut EventBatchBuilder) -> Result<(), ContentError>) -> EventBatch {
    let mut builder = EventBatchBuilder::with_capacity(1, 64);
    drive(&mut builder).expect("within limits");
    builder.build(IndexPrefix::new("shop").expect("legal"), Bytes::from_static(b"original"))
}

#[test]
fn a_content_reads_back_as_json() {
    let batch = build(|b| {
        b.begin_event();
        b.start_object()?;
        b.key("message")?;
        b.str("a \"b\"\n\u{1}ü")?;
        b.key("nested")?;
        b.start_object()?;
        b.key("list")?;
        b.start_array()?;
        b.int(-1);
        b.float(200.0);
        b.number("18446744073709551616")?;
        b.bool(true);
        b.null();
        b.start_object()?;
        b.end()?;
        b.end()?;
        b.end()?;
        b.key("last")?;
        b.int(1);
        b.end()?;
        b.finish_event(Timestamp::from_micros(5), 0..8);
        Ok(())
    });
    let event = batch.get(0).expect("one event");
    let content = event.content.expect("an object");
    assert_eq!(
        content.to_string(),
        r#"{"message":"a \"b\"\n\u0001ü","nested":{"list":[-1,200.0,18446744073709551616,true,null,{}]},"last":1}"#
    );
    assert!(matches!(content.get("last"), Some(Value::Int(1))));
    assert!(content.get("absent").is_none());
    assert_eq!(event.original, b"original");
    assert_eq!(event.time, Timestamp::from_micros(5));
}

#[test]
fn a_rejected_event_leaves_its_neighbours_alone() {
    let batch = build(|b| {
        b.begin_event();
        b.start_object()?;
        b.key("a")?;
        b.reject_event(Timestamp::default(), 0..1, EventFault::ValueWithoutKind);
        b.begin_event();
        b.start_object()?;
        b.key("b")?;
        b.int(2);
        b.end()?;
        b.finish_event(Timestamp::default(), 1..2);
        b.begin_event();
        b.finish_event(Timestamp::default(), 2..2);
        b.begin_event();
        b.start_object()?;
        b.end()?;
        b.finish_event(Timestamp::default(), 2..3);
        Ok(())
    });
    let contents: Vec<_> =
        batch.events().map(|event| event.content.map(|c| c.to_string()).map_err(Clone::clone)).collect();
    assert_eq!(
        contents,
        [
            Err(EventFault::ValueWithoutKind),
            Ok(r#"{"b":2}"#.to_owned()),
            Err(EventFault::MissingContent),
            Err(EventFault::EmptyContent)
        ]
    );
}

#[test]
fn nesting_stops_at_the_limit() {
    let mut builder = EventBatchBuilder::with_capacity(1, 0);
    builder.begin_event();
    for _ in 0..MAX_DEPTH {
        builder.start_array().expect("within the limit");
    }
    assert_eq!(builder.start_array(), Err(ContentError::TooDeep));
}

#[test]
fn keys_that_repeat_are_kept_once() {
    let events: [&[&str]; 7] =
        [&["a", "bc"], &["a", "bc", "d"], &["bc", "a", "d"], &["bc"], &["bc", "bc"], &["a"], &["", "a"]];
    let batch = build(|b| {
        for keys in events {
            b.begin_event();
            b.start_object()?;
            for key in keys {
                b.key(key)?;
                b.str("v")?;
            }
            b.end()?;
            b.finish_event(Timestamp::default(), 0..0);
        }
        b.begin_event();
        b.start_object()?;
        assert!(b.repeated_key(b""));
        assert!(!b.repeated_key(b"b"));
        b.reject_event(Timestamp::default(), 0..0, EventFault::TooDeep);
        b.begin_event();
        b.start_object()?;
        assert!(!b.repeated_key(b""), "what a rejected event said may be gone");
        b.reject_event(Timestamp::default(), 0..0, EventFault::TooDeep);
        Ok(())
    });
    for (event, expected) in batch.events().zip(events) {
        let content = event.content.expect("an object");
        let keys: Vec<&str> = content.entries().map(|(key, _)| key).collect();
        assert_eq!(keys, expected);
    }
    assert_eq!(batch.tape.text.matches('a').count(), 4, "the place counts: {}", batch.tape.text);
}
