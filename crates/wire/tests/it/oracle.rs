//! The fast paths against slow ones that go through objects of prost and serde_json.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use weir_model::{EventFault, IndexPrefix, RecordFormat, Timestamp};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};
use weir_wire::{EventsBuilder, decode_record, lines, parse_rfc3339, rest, scan_collection, scan_timber};

use crate::random;

const RECEIVED: Timestamp = Timestamp::from_micros(42);

proptest! {
    #[test]
    fn a_scan_finds_what_prost_finds(batch in random::collection()) {
        let bytes = batch.encode_to_vec();
        let scanned = scan_collection(&bytes).expect("prost wrote it");
        prop_assert_eq!(scanned.items() as usize, batch.items.len());
        let context = scanned.context().map(|context| context.to_protobuf());
        prop_assert_eq!(context, batch.context.as_ref().map(TimberContext::encode_to_vec));

        let mut stripped = batch.clone();
        strip(&mut stripped.context);
        stripped.items.iter_mut().for_each(|item| strip(&mut item.context));
        let stripped = stripped.encode_to_vec();
        let expected = (stripped != bytes).then_some(stripped);
        prop_assert_eq!(scanned.without_app_secret(), expected);
    }

    #[test]
    fn a_single_event_is_scanned_and_decoded_as_prost_does(mut timber in random::timber()) {
        timber.context.get_or_insert_default().es_index_prefix = "shop".to_owned();
        let bytes = Bytes::from(timber.encode_to_vec());
        prop_assert_eq!(scan_timber(&bytes).expect("prost wrote it").items(), 1);
        let batch = decode_record(RecordFormat::Timber, &bytes, RECEIVED).expect("prost wrote it");
        let event = batch.get(0).expect("one event");
        prop_assert_eq!(event.content.map(|content| content.to_string()).map_err(Clone::clone), content_of(&timber));
        prop_assert_eq!(event.original, Some(&bytes[..]));
    }

    #[test]
    fn a_batch_is_decoded_as_prost_does(mut batch in random::collection()) {
        batch.context.get_or_insert_default().es_index_prefix = "shop".to_owned();
        let bytes = Bytes::from(batch.encode_to_vec());
        let decoded = decode_record(RecordFormat::TimberCollection, &bytes, RECEIVED).expect("prost wrote it");
        prop_assert_eq!(decoded.len(), batch.items.len());
        for (event, item) in decoded.events().zip(&batch.items) {
            prop_assert_eq!(event.original, Some(&item.encode_to_vec()[..]));
            let content = content_of(item);
            prop_assert_eq!(event.time, time_of(item, content.is_ok()));
            prop_assert_eq!(event.content.map(|content| content.to_string()).map_err(Clone::clone), content);
        }
    }

    #[test]
    fn json_comes_back_as_it_went_in(value in random::json()) {
        let text = value.to_string();
        let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
        let outcome = lines::parse(text.as_bytes(), lines::BodyFormat::JsonLines, u32::MAX, &mut events).expect("lines");
        let is_event = value.as_object().is_some_and(|members| !members.is_empty());
        prop_assert_eq!(outcome.accepted == 1, is_event);
        if is_event {
            let (record, _) = events.finish();
            let batch = decode_record(RecordFormat::Events, &record, RECEIVED).expect("whole");
            let content = batch.get(0).expect("one event").content.expect("taken by the door").to_string();
            // Both read by the same reader, which is not exact to the last bit of a double.
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            prop_assert_eq!(read(&content), read(&text));
        }
    }

    #[test]
    fn json_is_what_serde_json_says_it_is(text in r#"(\{"a":)?[\[\]{}",:0-9eE.+\-truefalsn\\ud ]{0,30}\}?"#) {
        let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
        let outcome = lines::parse(text.as_bytes(), lines::BodyFormat::JsonLines, u32::MAX, &mut events).expect("lines");
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let is_empty = serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok_and(|object| object.is_empty());
        let is_object = text.trim().starts_with('{');
        match outcome.rejections.first().map(|rejection| &rejection.reason) {
            None if text.trim().is_empty() => {}
            None => prop_assert!(is_json && is_object && !is_empty),
            Some(lines::RejectReason::EmptyObject) => prop_assert!(is_empty),
            Some(lines::RejectReason::NoObject) => prop_assert!(!is_object),
            // serde_json skips half a surrogate pair when it does not look at the string.
            Some(lines::RejectReason::Json(error)) if error.to_string().contains("surrogate") => {}
            Some(reason) => prop_assert!(!is_json, "{}", reason),
        }
    }

    #[test]
    fn rest_maps_any_content(content in random::json(), topic in random::text(), tps in any::<i32>()) {
        let body = serde_json::json!({
            "items": [{"content": content, "unknown": content}, {"timestamp": topic}],
            "context": {"kafkaTopic": topic, "app_max_tps": tps.to_string()},
        });
        let mapped = rest::timber_collection(body.to_string().as_bytes());
        if !content.is_object() && !content.is_null() {
            prop_assert!(mapped.is_err());
            return Ok(());
        }
        let context = TimberContext { kafka_topic: topic.clone(), app_max_tps: tps, ..TimberContext::default() };
        let expected = TimberCollection {
            context: Some(context),
            items: vec![
                Timber { content: content.as_object().map(struct_of), ..Timber::default() },
                Timber { timestamp: topic, ..Timber::default() },
            ],
        };
        let mapped = TimberCollection::decode(mapped.expect("fits").as_slice()).expect("whole");
        prop_assert_eq!(mapped, expected);
    }
}

fn strip(context: &mut Option<TimberContext>) {
    if let Some(context) = context {
        context.app_secret.clear();
    }
}

fn time_of(timber: &Timber, is_decodable: bool) -> Timestamp {
    let fields = timber.content.as_ref().map(|content| &content.fields);
    let of_content = match fields.and_then(|fields| fields.get("@timestamp")?.kind.as_ref()) {
        Some(Kind::StringValue(text)) if is_decodable => parse_rfc3339(text.as_bytes()),
        _ => None,
    };
    parse_rfc3339(timber.timestamp.as_bytes()).or(of_content).unwrap_or(RECEIVED)
}

/// The content as compact JSON.
fn content_of(timber: &Timber) -> Result<String, EventFault> {
    let content = timber.content.as_ref().ok_or(EventFault::MissingContent)?;
    if content.fields.is_empty() {
        return Err(EventFault::EmptyContent);
    }
    json_of_struct(content)
}

fn json_of_struct(object: &Struct) -> Result<String, EventFault> {
    let members: Result<Vec<String>, EventFault> = object
        .fields
        .iter()
        .map(|(key, value)| Ok(format!("{}:{}", json_of_text(key), json_of_value(value)?)))
        .collect();
    Ok(format!("{{{}}}", members?.join(",")))
}

fn json_of_value(value: &Value) -> Result<String, EventFault> {
    Ok(match value.kind.as_ref().ok_or(EventFault::ValueWithoutKind)? {
        Kind::NullValue(_) => "null".to_owned(),
        Kind::BoolValue(value) => value.to_string(),
        Kind::NumberValue(value) => json_of_number(*value),
        Kind::StringValue(text) => json_of_text(text),
        Kind::StructValue(object) => json_of_struct(object)?,
        Kind::ListValue(list) => {
            let elements: Result<Vec<String>, EventFault> = list.values.iter().map(json_of_value).collect();
            format!("[{}]", elements?.join(","))
        }
    })
}

fn json_of_number(value: f64) -> String {
    let is_integer = value.abs() <= 9_007_199_254_740_992.0 && value == value.trunc();
    match value {
        _ if value.is_nan() => "\"NaN\"".to_owned(),
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        _ if is_integer && value.to_bits() != (-0.0_f64).to_bits() => format!("{value:.0}"),
        _ => format!("{value:?}"),
    }
}

fn json_of_text(text: &str) -> String {
    // The model escapes two characters by number where serde_json has a letter.
    let pieces: Vec<String> = text
        .split_inclusive(['\u{8}', '\u{c}'])
        .map(|piece| {
            let escaped = serde_json::to_string(piece).expect("a string");
            let escaped = escaped.trim_start_matches('"').to_owned();
            match piece.chars().last() {
                Some('\u{8}') => escaped.replace("\\b\"", "\\u0008"),
                Some('\u{c}') => escaped.replace("\\f\"", "\\u000c"),
                _ => escaped[..escaped.len() - 1].to_owned(),
            }
        })
        .collect();
    format!("\"{}\"", pieces.concat())
}

fn struct_of(members: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: members.iter().map(|(key, value)| (key.clone(), value_of(value))).collect() }
}

fn value_of(value: &serde_json::Value) -> Value {
    Value {
        kind: Some(match value {
            serde_json::Value::Null => Kind::NullValue(0),
            serde_json::Value::Bool(value) => Kind::BoolValue(*value),
            serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a double")),
            serde_json::Value::String(text) => Kind::StringValue(text.clone()),
            serde_json::Value::Array(elements) => {
                Kind::ListValue(ListValue { values: elements.iter().map(value_of).collect() })
            }
            serde_json::Value::Object(members) => Kind::StructValue(struct_of(members)),
        }),
    }
}
