//! Queries of strangers, and behind a NUL the content that is asked about: what is parsed has a canonical form
//! that means the same, and its negation means the opposite.

use weir_model::{Content, EventBatch, IndexPrefix, RecordFormat, Timestamp};
use weir_store::query::Query;
use weir_wire::lines::{self, BodyFormat};
use weir_wire::{EventsBuilder, decode_record};

const CONTENT: &str = r#"{"message":"GET /a.b 10.0.0.1 Größe","status":500,"took":"1.5","ok":true,
    "none":null,"at":"2026-11-21T13:00:00Z","list":[1,{"a.b":"c"}],"":{}}"#;

pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (text, content) = text.split_once('\0').unwrap_or((text, CONTENT));
    let query = match Query::parse(text) {
        Ok(query) => query,
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column));
            assert_eq!(error.point(text).lines().count(), 2);
            return;
        }
    };
    let Some(batch) = batch(content) else { return };
    let content = || batch.get(0).and_then(|event| event.content.ok());
    check(text, &query, content);
}

fn check<'a>(text: &str, query: &Query, content: impl Fn() -> Option<Content<'a>>) {
    let form = query.to_string();
    // The canonical form may be longer than a query may be.
    let again = Query::parse(&form).ok();
    assert!(again.is_some() || form.len() > text.len(), "{form}");
    assert!(again.as_ref().is_none_or(|again| again == query), "{form}");
    let Some(asked) = content() else { return };
    let negated = Query::new(query.expr().clone().negated());
    let is_match = query.matches(asked);
    assert_eq!(content().map(|content| negated.matches(content)), Some(!is_match), "{form}");
}

fn batch(content: &str) -> Option<EventBatch> {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
    lines::parse(content.replace('\n', " ").as_bytes(), BodyFormat::JsonLines, u32::MAX, &mut events).ok()?;
    let (record, _) = events.finish();
    Some(decode_record(RecordFormat::Events, &record, Timestamp::default()).expect("just written"))
}
