//! What becomes of batches: neighbours, originals, paths without end.

use weir_model::{IndexPrefix, RecordFormat, Timestamp};
use weir_wire::{Context, EventsBuilder, encode_event, single_event_record};

use crate::support::{World, batch, contents, decode};

const RULES: &str = r#"{"default": {"JsonPathRules": [{"Name": "P", "Path": "^\\.secret$"}],
                                    "StaticRules": [{"Name": "T", "Regex": "hunter2"}]}}"#;

#[test]
fn what_does_not_change_keeps_its_original() {
    let world = World::new(RULES);
    let mut batch =
        batch("shop", &[r#"{"a":1}"#, r#"{"secret":"x"}"#, r#"{"b":"hunter2"}"#, "no JSON", r#"{"c":[]}"#]);
    world.redactor.redact(&mut batch);
    let originals: Vec<_> = batch.events().map(|event| event.original.is_some()).collect();
    assert_eq!(originals, [true, false, false, true, true]);
    assert_eq!(
        contents(&batch)[..3],
        [r#"{"a":1}"#, r#"{"secret":"[P REDACTED]"}"#, r#"{"b":"[T REDACTED]"}"#]
    );
    assert!(batch.get(3).expect("there").content.is_err());
}

#[test]
fn times_and_numbers_of_events_stay() {
    let world = World::new(RULES);
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is legal"));
    for n in 0..100 {
        let secret = if n % 3 == 0 { "hunter2" } else { "nothing" };
        events.push_json(&format!(r#"{{"n":{n},"x":"{secret}"}}"#), Some(Timestamp::from_micros(n)));
    }
    let (value, _) = events.finish();
    let mut batch = decode(RecordFormat::Events, &value);
    world.redactor.redact(&mut batch);
    assert_eq!(batch.len(), 100);
    for (n, event) in (0i64..).zip(batch.events()) {
        assert_eq!(event.time, Timestamp::from_micros(n));
        let secret = if n % 3 == 0 { "[T REDACTED]" } else { "nothing" };
        let content = event.content.expect("is an object").to_string();
        assert_eq!(content, format!(r#"{{"n":{n},"x":"{secret}"}}"#));
    }
    assert_eq!(world.redacted("default", "T"), 34);
}

#[test]
fn timbers_are_redacted_as_well() {
    let world = World::new(RULES);
    let source = batch("shop", &[r#"{"secret":"hunter2","n":1}"#]);
    let content = source.get(0).expect("there").content.expect("is an object");
    let timber = encode_event(RecordFormat::Timber, Timestamp::from_micros(7), content);
    let context = Context { index_prefix: "shop", ..Context::default() };
    let (format, value) = single_event_record(RecordFormat::Timber, &timber, &context);
    let mut batch = decode(format, &value);
    world.redactor.redact(&mut batch);
    assert_eq!(contents(&batch), [r#"{"secret":"[P REDACTED]","n":1}"#]);
}

#[test]
fn paths_without_end_are_no_burden() {
    let world = World::new(RULES);
    for round in 0..40 {
        let events: Vec<_> =
            (0..1000).map(|n| format!(r#"{{"key-{round}-{n}":"x","secret":"s"}}"#)).collect();
        let events: Vec<_> = events.iter().map(String::as_str).collect();
        let mut batch = batch("shop", &events);
        world.redactor.redact(&mut batch);
        assert!(contents(&batch).iter().all(|content| content.ends_with(r#""secret":"[P REDACTED]"}"#)));
    }
}

#[test]
fn nesting_as_deep_as_it_gets_is_followed() {
    let world = World::new(r#"{"shop": {"JsonPathRules": [{"Name": "P", "Path": "(\\.a){64}$"}]}}"#);
    let json = format!("{}\"x\"{}", r#"{"a":"#.repeat(64), "}".repeat(64));
    assert_eq!(world.content("shop", &json), json.replace("\"x\"", "\"[P REDACTED]\""));
}

#[test]
fn many_threads_redact_the_same() {
    let world = World::new(RULES);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for n in 0..200 {
                    let json = format!(r#"{{"k{thread}":{n},"secret":"s"}}"#);
                    let expected = format!(r#"{{"k{thread}":{n},"secret":"[P REDACTED]"}}"#);
                    assert_eq!(world.content("shop", &json), expected);
                }
            });
        }
    });
    assert_eq!(world.redacted("default", "P"), 800);
}
