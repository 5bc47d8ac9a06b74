use weir_model::{Incarnation, Offset, PartitionIndex, Record, RecordFormat, StreamName};
use weir_redaction::{DefaultRules, Document, Manner, RedactionMetrics, ShortMatch, UnknownFields};
use weir_store::WriteBatch;
use weir_wire::{Context, EventsBuilder, encode_event, single_event_record};

use super::*;
use crate::tally::Sheet;

const RULES: &str = r#"{"default": {"JsonPathRules": [{"Name": "P", "Path": "^\\.secret$"}],
                                    "StaticRules": [{"Name": "T", "Regex": "hunter2"}]}}"#;
const RECEIVED: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn redactor() -> Redactor {
    let document = Document::read(RULES, UnknownFields::Refuse).expect("are rules");
    let manner = Manner { defaults: DefaultRules::Merge, short_matches: ShortMatch::Hide };
    Redactor::by(&document, manner, RedactionMetrics::default()).0
}

fn partition() -> StreamPartition {
    StreamPartition {
        stream: StreamName::new("shop_logs").expect("is legal"),
        incarnation: Incarnation(1),
        partition: PartitionIndex(0),
    }
}

fn stored(format: RecordFormat, value: Bytes, events: u32) -> StoredRecord {
    let record = Record { format, events: Some(events), received: RECEIVED, batch: None, value };
    StoredRecord { offset: Offset(3), first_event: Some(0), record }
}

fn events(contents: &[&str]) -> StoredRecord {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is legal"));
    contents.iter().for_each(|content| events.push_json(content, None));
    let (value, count) = events.finish();
    stored(RecordFormat::Events, value, count)
}

/// A record in this format with one event.
fn one(format: RecordFormat, content: &str) -> StoredRecord {
    let source = weir_wire::decode_record(RecordFormat::Events, &events(&[content]).record.value, RECEIVED);
    let source = source.expect("was made here");
    let content = source.get(0).expect("there").content.expect("is an object");
    let event = encode_event(format, RECEIVED, content);
    let context = Context { topic: "shop", index_prefix: "shop", ..Context::default() };
    let (format, value) = single_event_record(format, &event, &context);
    stored(format, value, 1)
}

fn rejection(index: u32) -> Rejection {
    Rejection { offset: Offset(3), index, reason: "no".to_owned(), label: "mapping_failed" }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[test]
fn stores_are_given_what_is_redacted() {
    let records = [events(&[r#"{"secret":"hunter2"}"#, r#"{"a":"is hunter2"}"#, r#"{"a":1}"#])];
    let decoded = decode(&partition(), &records, &redactor(), RECEIVED);
    let contents: Vec<_> =
        decoded.records[0].events.events().map(|event| event.content.expect("fine").to_string()).collect();
    assert_eq!(contents, [r#"{"secret":"[P REDACTED]"}"#, r#"{"a":"is [T REDACTED]"}"#, r#"{"a":1}"#]);
    assert_eq!(decoded.letters, []);
    assert_eq!(decoded.events.values().sum::<u64>(), 3);
}

#[test]
fn a_letter_of_a_redacted_event_has_nothing_of_what_was_redacted() {
    for format in [RecordFormat::Timber, RecordFormat::TimberCollection, RecordFormat::Events] {
        let records = [one(format, r#"{"secret":"swordfish","a":"is hunter2","n":7}"#)];
        let letter = rejection_letter(&partition(), &records, &rejection(0), &redactor(), RECEIVED);
        let letter = letter.expect("the event is there");
        assert!(!holds(&letter.original, "swordfish") && !holds(&letter.original, "hunter2"), "{letter:?}");
        // It can be replayed: what comes back is the redacted event, at its own time.
        let context = Context { topic: "shop", index_prefix: "shop", ..Context::default() };
        let (format, value) = single_event_record(letter.format, &letter.original, &context);
        let again = weir_wire::decode_record(format, &value, Timestamp::default()).expect("is a record");
        let event = again.get(0).expect("there");
        let expected = r#"{"secret":"[P REDACTED]","a":"is [T REDACTED]","n":7}"#;
        assert_eq!(event.content.expect("is an object").to_string(), expected, "{format}");
        assert_eq!(event.time, RECEIVED, "{format}");
    }
}

#[test]
fn a_letter_of_an_event_that_nothing_is_redacted_of_has_its_very_bytes() {
    let records = [events(&[r#"{ "a" : 1.0 }"#, r#"{"secret":"swordfish"}"#])];
    let letter = rejection_letter(&partition(), &records, &rejection(0), &redactor(), RECEIVED);
    assert!(holds(&letter.expect("the event is there").original, r#"{ "a" : 1.0 }"#));
}

#[test]
fn documents_are_weighed_as_they_are_stored_where_there_are_rules() {
    let decoded = decode(&partition(), &[events(&[r#"{"secret":"x"}"#])], &redactor(), RECEIVED);
    let (from, next) = (Offset(0), Offset(1));
    let batch = WriteBatch { partition: partition(), from, records: decoded.records, next, more: false };
    let stored = r#"{"secret":"[P REDACTED]"}"#;
    assert_eq!(Sheet::of(&batch, &redactor(), true).redacted, Some(stored.len() as u64));
    assert_eq!(Sheet::of(&batch, &Redactor::off(), true).redacted, None);
}

#[test]
fn a_text_that_broke_is_stored_as_a_message() {
    let document = r#"{"shop": {"StaticRules": [{"Name": "N", "Regex": "4711"}]}}"#;
    let document = Document::read(document, UnknownFields::Refuse).expect("are rules");
    let manner = Manner { defaults: DefaultRules::Merge, short_matches: ShortMatch::Hide };
    let (redactor, _) = Redactor::by(&document, manner, RedactionMetrics::default());
    let decoded = decode(&partition(), &[events(&[r#"{"n":4711}"#])], &redactor, RECEIVED);
    let content = decoded.records[0].events.get(0).expect("there").content.expect("is an object").to_string();
    assert_eq!(content, r#"{"message":"{\"n\":[N REDACTED]}"}"#);
    assert_eq!(decoded.letters, []);
}

#[test]
fn what_can_not_be_decoded_is_a_letter_as_it_came() {
    let records = [events(&["no JSON", r#"{"secret":"swordfish"}"#])];
    let decoded = decode(&partition(), &records, &redactor(), RECEIVED);
    assert_eq!(decoded.letters.len(), 1);
    assert!(holds(&decoded.letters[0].original, "no JSON"));
}

#[test]
fn a_record_under_the_name_of_another_format_dies_whole() {
    let timber = Bytes::from_static(
        b"\x0a\x0c\x0a\x04shop\x22\x04shop\x12\x142025-09-03T00:11:52Z\x1a\x0d\x0a\x0b\x0a\x03msg\x12\x04\x1a\x02hi",
    );
    let records = [stored(RecordFormat::TimberCollection, timber.clone(), 1)];
    let decoded = decode(&partition(), &records, &redactor(), RECEIVED);
    let [letter] = &decoded.letters[..] else { unreachable!("one record, one letter: {decoded:?}") };
    assert_eq!((letter.reason.code.as_str(), &letter.original), (code::UNDECODABLE_RECORD, &timber));
    assert!(decoded.records.is_empty());
}
