use bytes::Bytes;
use weir_foundation::metrics::{Builder, Metrics};
use weir_model::{EventBatch, IndexPrefix, RecordFormat, Timestamp};
use weir_redaction::{
    Compat, DefaultRules, Document, Manner, RedactionMetrics, Redactor, RefusedRule, ShortMatch,
    UnknownFields,
};
use weir_wire::{EventsBuilder, decode_record};

/// A redactor, what it counts, and what it refused.
pub(crate) struct World {
    pub(crate) redactor: Redactor,
    pub(crate) metrics: Metrics,
    pub(crate) refused: Vec<RefusedRule>,
}

impl World {
    pub(crate) fn new(rules: &str) -> Self {
        Self::as_in(rules, Compat::Weir)
    }

    pub(crate) fn as_in(rules: &str, compat: Compat) -> Self {
        let (manner, unknown) = match compat {
            Compat::Weir => {
                let manner = Manner { defaults: DefaultRules::Merge, short_matches: ShortMatch::Hide };
                (manner, UnknownFields::Refuse)
            }
            Compat::Barito => {
                let manner = Manner { defaults: DefaultRules::Replace, short_matches: ShortMatch::Show };
                (manner, UnknownFields::Ignore)
            }
        };
        let document = Document::read(rules, unknown).expect("is a map of apps");
        let mut builder = Builder::new();
        let metrics = RedactionMetrics::register(&mut builder);
        let (redactor, refused) = Redactor::by(&document, manner, metrics);
        Self { redactor, metrics: builder.build(), refused }
    }

    /// The content of an event after it was redacted.
    pub(crate) fn content(&self, prefix: &str, json: &str) -> String {
        let mut batch = batch(prefix, &[json]);
        self.redactor.redact(&mut batch);
        contents(&batch).remove(0)
    }

    /// What a rule has redacted.
    pub(crate) fn redacted(&self, app: &str, rule: &str) -> u64 {
        let name = format!("weir_redaction_redacted_total{{app=\"{app}\",rule=\"{rule}\"}} ");
        let exposition = self.metrics.exposition();
        let value = exposition.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse().expect("is a number"))
    }
}

pub(crate) fn batch(prefix: &str, contents: &[&str]) -> EventBatch {
    let mut events = EventsBuilder::new(&IndexPrefix::new(prefix).expect("is legal"));
    contents.iter().for_each(|content| events.push_json(content, None));
    let (value, _) = events.finish();
    decode(RecordFormat::Events, &value)
}

pub(crate) fn decode(format: RecordFormat, value: &Bytes) -> EventBatch {
    decode_record(format, value, Timestamp::from_micros(1)).expect("was made here")
}

pub(crate) fn contents(batch: &EventBatch) -> Vec<String> {
    batch.events().map(|event| event.content.map_or_else(ToString::to_string, |c| c.to_string())).collect()
}
