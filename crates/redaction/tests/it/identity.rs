use proptest::prelude::*;

use crate::support::{World, batch, contents};

/// JSON values of any shape.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e300..1e300f64).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn contents_of(events: &[serde_json::Value]) -> Vec<String> {
    events.iter().map(|event| serde_json::json!({"event": event}).to_string()).collect()
}

proptest! {
    #[test]
    fn rules_that_match_nothing_change_nothing(events in prop::collection::vec(value(), 1..8)) {
        let texts = contents_of(&events);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let world = World::new(
            r#"{"shop": {"StaticRules": [{"Name": "T", "Regex": "[^\\x00-\\x{10FFFF}]"}],
                         "JsonPathRules": [{"Name": "P", "Path": "^$"}]}}"#,
        );
        prop_assert_eq!(&world.refused, &[]);
        let mut redacted = batch("shop", &texts);
        world.redactor.redact(&mut redacted);
        let untouched = batch("shop", &texts);
        prop_assert_eq!(contents(&redacted), contents(&untouched));
        for (redacted, untouched) in redacted.events().zip(untouched.events()) {
            prop_assert_eq!((redacted.original, redacted.time), (untouched.original, untouched.time));
        }
    }

    #[test]
    fn nothing_comes_through_that_a_rule_matches(events in prop::collection::vec(value(), 1..8), start in 0..3usize, end in 0..3usize) {
        let texts = contents_of(&events);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let rule = format!(r#"{{"Name":"D","Regex":"[0-9]+","HintCharsStart":{start},"HintCharsEnd":{end}}}"#);
        let world = World::new(&format!(r#"{{"shop": {{"StaticRules": [{rule}]}}}}"#));
        let mut redacted = batch("shop", &texts);
        world.redactor.redact(&mut redacted);
        let longest = |text: &str| text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        for (content, text) in contents(&redacted).iter().zip(&texts) {
            prop_assert!(longest(content) <= start.max(end), "{} of {}", content, text);
        }
    }

    #[test]
    fn every_string_is_redacted_by_a_rule_for_all_paths(event in value()) {
        let texts = contents_of(&[event]);
        let world = World::new(r#"{"shop": {"JsonPathRules": [{"Name": "P", "Path": ".*"}]}}"#);
        let content = world.content("shop", &texts[0]);
        let found: serde_json::Value = serde_json::from_str(&content).expect("is JSON");
        let mut open = vec![&found];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::String(text) => prop_assert_eq!(text, "[P REDACTED]"),
                serde_json::Value::Array(elements) => open.extend(elements),
                serde_json::Value::Object(members) => open.extend(members.values()),
                _ => {}
            }
        }
    }
}
