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
    assert_eq!(event.original, Some(&b"original"[..]));
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

/// Writes each place into the strings that end with `!`.
struct Shout;

/// A place as text would need an owner: these tests count how deep it is.
#[derive(Clone, Copy)]
struct Depth {
    members: u32,
    elements: u32,
}

impl StringRewriter for Shout {
    type Place = Depth;

    fn root(&self) -> Depth {
        Depth { members: 0, elements: 0 }
    }

    fn member(&mut self, object: Depth, _: &str) -> Depth {
        Depth { members: object.members + 1, ..object }
    }

    fn element(&mut self, array: Depth) -> Depth {
        Depth { elements: array.elements + 1, ..array }
    }

    fn string(&mut self, Depth { members, elements }: Depth, text: &str) -> Option<String> {
        text.ends_with('!').then(|| format!("{members}.{elements}"))
    }
}

fn object(b: &mut EventBatchBuilder, key: &str, text: &str) -> Result<(), ContentError> {
    b.start_object()?;
    b.key(key)?;
    b.str(text)?;
    b.end()
}

fn two_events() -> EventBatch {
    build(|b| {
        b.begin_event();
        b.start_object()?;
        b.key("a!")?;
        b.str("one!")?;
        b.key("list")?;
        b.start_array()?;
        b.str("two!")?;
        b.int(3);
        object(b, "a!", "four!")?;
        b.start_array()?;
        b.str("five")?;
        b.str("six!")?;
        b.end()?;
        b.end()?;
        b.key("last")?;
        b.str("seven!")?;
        b.end()?;
        b.finish_event(Timestamp::from_micros(5), 0..8);
        b.begin_event();
        object(b, "a!", "quiet")?;
        b.finish_event(Timestamp::from_micros(6), 0..4);
        Ok(())
    })
}

fn json(batch: &EventBatch, index: u32) -> String {
    batch.get(index).expect("there").content.expect("an object").to_string()
}

#[test]
fn strings_are_rewritten_where_they_are() {
    let mut batch = two_events();
    assert!(batch.rewrite_strings(0, &mut Shout));
    assert!(!batch.rewrite_strings(1, &mut Shout));
    assert!(!batch.rewrite_strings(2, &mut Shout), "there is no such event");
    assert_eq!(json(&batch, 0), r#"{"a!":"1.0","list":["1.1",3,{"a!":"2.1"},["five","1.2"]],"last":"1.0"}"#);
    assert_eq!(json(&batch, 1), r#"{"a!":"quiet"}"#);
    let originals: Vec<_> = batch.events().map(|event| event.original).collect();
    assert_eq!(originals, [None, Some(&b"orig"[..])]);
}

#[test]
fn a_content_is_replaced_or_stays() {
    let mut batch = two_events();
    batch.replace(1, |b| Ok(object(b, "b", "other")?)).expect("it is an object");
    assert_eq!(
        (json(&batch, 1), batch.get(1).and_then(|event| event.original)),
        (r#"{"b":"other"}"#.into(), None)
    );
    assert_eq!(batch.get(1).expect("there").time, Timestamp::from_micros(6));
    let before = json(&batch, 0);
    let fault = batch.replace(0, |b| Ok(b.str("no object")?)).expect_err("it is none");
    assert_eq!(fault, EventFault::MissingContent);
    let fault = batch.replace(0, |b| {
        b.start_object()?;
        Err(EventFault::TooDeep)
    });
    assert_eq!(fault, Err(EventFault::TooDeep));
    assert_eq!(json(&batch, 0), before);
    assert!(batch.get(0).expect("there").original.is_some());
    assert_eq!(json(&batch, 1), r#"{"b":"other"}"#, "what was written after it is still there");
}
