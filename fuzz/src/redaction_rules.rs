//! Rules of redaction: whatever they are, events stay events, and the same rules do the same.

use weir_model::{EventBatch, IndexPrefix, RecordFormat, Timestamp};
use weir_redaction::{DefaultRules, Document, Manner, RedactionMetrics, Redactor, ShortMatch, UnknownFields};
use weir_wire::{EventsBuilder, decode_record};

pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let ways = [
        (UnknownFields::Refuse, DefaultRules::Merge, ShortMatch::Hide),
        (UnknownFields::Ignore, DefaultRules::Replace, ShortMatch::Show),
    ];
    for (unknown, defaults, short_matches) in ways {
        let Ok(document) = Document::read(text, unknown) else { continue };
        let metrics = RedactionMetrics::default();
        let (redactor, _refused) = Redactor::by(&document, Manner { defaults, short_matches }, metrics);
        assert_eq!(redacted(&redactor), redacted(&redactor));
    }
}

fn redacted(redactor: &Redactor) -> Vec<String> {
    let mut batch = batch();
    redactor.redact(&mut batch);
    let text = |content: weir_model::Content<'_>| content.to_string();
    batch.events().map(|event| event.content.map(text).expect("it was one, and stays one")).collect()
}

fn batch() -> EventBatch {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is legal"));
    events.push_json(r#"{"email":"jane@example.com","n":4711,"a":[{"b":"ü\\u0001\""},null,1.5]}"#, None);
    events.push_line("hunter2 \u{1f600} \\", None);
    let (value, _) = events.finish();
    decode_record(RecordFormat::Events, &value, Timestamp::default()).expect("was made here")
}
