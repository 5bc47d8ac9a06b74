//! What delivery counts.
//!
//! `barito_*` names have the meaning that they had in barito-flow. The values of `status` and
//! `result` are where their names say, which they were not there, unless its place is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use weir_foundation::metrics::{Builder, Counter, Family, Gauge, Histogram, LATENCY_SECONDS, Plain};
use weir_journal::{LossReason, ReadBatch};
use weir_model::{IndexPrefix, StreamPartition};
use weir_store::{DeadLetter, Verdicts};

use crate::decode::code;
use crate::section::{Compat, ConsumerSettings};
use crate::tally::{Sheet, Tally};

/// The counters of delivery. Clones share them.
#[derive(Debug, Clone)]
pub struct ConsumerMetrics {
    labels: Labels,
    tally: Tally,
    /// Whether somebody is told what was stored.
    tallied: bool,
    indexes: Indexes,
    records: Family<Topic, Counter>,
    convert_errors: Family<Index, Plain>,
    by_answer: Family<Stored, Counter>,
    delivered: Family<Stream, Counter>,
    dead: Family<Dead, Counter>,
    lost: Family<Lost, Counter>,
    lag_records: Family<Partition, Gauge<u64, AtomicU64>>,
    lag_events: Family<Partition, Gauge<u64, AtomicU64>>,
    batch_seconds: Histogram,
    retries: Counter,
    commits: Counter,
    redacted_bytes: Family<App, Plain>,
    pushes: Family<Push, Counter>,
}

/// How series are labelled.
#[derive(Debug, Clone, Default)]
struct Labels {
    compat: Compat,
    /// What is taken off the name of a stream to have the name of its app.
    suffix: Arc<str>,
}

/// The index prefixes that have series of their own: the first ones. Clients name them as they like, so that
/// without a bound anyone could fill the memory.
#[derive(Debug, Clone, Default)]
struct Indexes(Arc<Mutex<BTreeSet<IndexPrefix>>>);

const MOST_INDEXES: usize = 1_000;
/// Stands for all prefixes beyond them.
const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Topic {
    topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Index {
    index: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct App {
    app_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Push {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stored {
    index: String,
    status: &'static str,
    result: &'static str,
    error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stream {
    stream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dead {
    stream: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lost {
    stream: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partition {
    stream: String,
    partition: u32,
}

impl ConsumerMetrics {
    #[must_use]
    pub fn register(builder: &mut Builder) -> Self {
        let metrics = Self {
            labels: Labels::default(),
            tally: Tally::default(),
            tallied: false,
            indexes: Indexes::default(),
            records: Family::default(),
            convert_errors: Family::default(),
            by_answer: Family::default(),
            delivered: Family::default(),
            dead: Family::default(),
            lost: Family::default(),
            lag_records: Family::default(),
            lag_events: Family::default(),
            batch_seconds: Histogram::new(LATENCY_SECONDS),
            retries: Counter::default(),
            commits: Counter::default(),
            redacted_bytes: Family::default(),
            pushes: Family::default(),
        };
        metrics.register_barito(builder);
        metrics.register_weir(builder);
        metrics
    }

    /// The same, labelled as these settings want it, and counting what they want to be told.
    #[must_use]
    pub fn configured(self, settings: &ConsumerSettings) -> Self {
        let labels = Labels { compat: settings.compat, suffix: settings.streams.suffix.as_str().into() };
        Self { labels, tallied: settings.print_rate || settings.push.is_some(), ..self }
    }

    pub(crate) fn is_tallied(&self) -> bool {
        self.tallied
    }

    /// What was stored so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn register_barito(&self, builder: &mut Builder) {
        let registry = builder.raw();
        registry.register(
            "barito_consumer_kafka_message_incoming",
            "Records read from the journal",
            self.records.clone(),
        );
        registry.register(
            "barito_consumer_timber_convert_error",
            "Events that could not be decoded, by index prefix",
            self.convert_errors.clone(),
        );
        registry.register(
            "barito_consumer_log_stored",
            "Events given to the index store, by what it answered",
            self.by_answer.clone(),
        );
        registry.register(
            "barito_consumer_redact_produced_total_log_bytes",
            "Bytes of documents while there are rules of redaction",
            self.redacted_bytes.clone(),
        );
    }

    fn register_weir(&self, builder: &mut Builder) {
        let registry = builder.weir().sub_registry_with_prefix("consumer");
        registry.register("delivered_events", "Events that the index store took", self.delivered.clone());
        registry.register("dead_events", "Events that became dead letters", self.dead.clone());
        registry.register(
            "lost_events",
            "Events that the journal lost before they were delivered",
            self.lost.clone(),
        );
        registry.register("lag_records", "Records in the journal to be delivered", self.lag_records.clone());
        registry.register("lag_events", "Events in the journal to be delivered", self.lag_events.clone());
        registry.register(
            "batch_seconds",
            "Delivery of one batch, retries included",
            self.batch_seconds.clone(),
        );
        registry.register("retries", "Attempts that failed and were repeated", self.retries.clone());
        registry.register("commits", "Commits to the journal", self.commits.clone());
        registry.register("pushes", "Counts of stored events that were told", self.pushes.clone());
    }

    pub(crate) fn records_read(&self, batch: &ReadBatch) {
        let topic = Topic { topic: batch.partition.stream.to_string() };
        self.records.get_or_create(&topic).inc_by(batch.records.len() as u64);
    }

    pub(crate) fn delivered(
        &self,
        partition: &StreamPartition,
        taken: &BTreeMap<IndexPrefix, u64>,
        letters: &[DeadLetter],
        refusals: &[&'static str],
    ) {
        let stream = partition.stream.to_string();
        for (prefix, events) in taken {
            let index = self.indexes.label(prefix);
            let stored = self.labels.stored(index, "201", "created", "");
            self.by_answer.get_or_create(&stored).inc_by(*events);
            self.delivered.get_or_create(&Stream { stream: stream.clone() }).inc_by(*events);
        }
        let mut refusals = refusals.iter().copied();
        for letter in letters {
            self.died(&stream, letter, &mut refusals);
        }
    }

    fn died(&self, stream: &str, letter: &DeadLetter, refusals: &mut impl Iterator<Item = &'static str>) {
        let events = u64::from(letter.events);
        let dead = Dead { stream: stream.to_owned(), code: letter.reason.code.clone() };
        self.dead.get_or_create(&dead).inc_by(events);
        let prefix = letter.prefix.as_ref();
        let index = prefix.map_or_else(|| "no_index".to_owned(), |prefix| self.indexes.label(prefix));
        if letter.reason.code == code::REJECTED {
            let error = refusals.next().unwrap_or("undefined_error");
            let stored = self.labels.stored(index, "400", "rejected", error);
            self.by_answer.get_or_create(&stored).inc_by(events);
        } else {
            self.convert_errors.get_or_create(&Index { index }).add(events);
        }
    }

    /// What was written, as the store has judged it.
    pub(crate) fn stored(&self, partition: &StreamPartition, sheet: Sheet, verdicts: &Verdicts) {
        if let Some(bytes) = sheet.redacted {
            let stream = partition.stream.as_str();
            let app_name = stream.strip_suffix(&*self.labels.suffix).unwrap_or(stream).to_owned();
            self.redacted_bytes.get_or_create(&App { app_name }).add(bytes);
        }
        self.tally.stored(sheet, verdicts);
    }

    pub(crate) fn pushed(&self, outcome: &'static str) {
        self.pushes.get_or_create(&Push { outcome }).inc();
    }

    pub(crate) fn lost(&self, partition: &StreamPartition, reason: LossReason, events: u64) {
        let lost = Lost { stream: partition.stream.to_string(), reason: reason.as_str() };
        self.lost.get_or_create(&lost).inc_by(events);
    }

    pub(crate) fn lag(&self, partition: &StreamPartition, records: u64, events: Option<u64>) {
        let label = Partition { stream: partition.stream.to_string(), partition: partition.partition.0 };
        self.lag_records.get_or_create(&label).set(records);
        if let Some(events) = events {
            self.lag_events.get_or_create(&label).set(events);
        }
    }

    pub(crate) fn batch_took(&self, duration: Duration) {
        self.batch_seconds.observe(duration.as_secs_f64());
    }

    pub(crate) fn retry(&self) {
        self.retries.inc();
    }

    pub(crate) fn committed(&self) {
        self.commits.inc();
    }
}

impl Labels {
    /// `code` is as in HTTP; barito-flow has it where `result` is.
    fn stored(&self, index: String, code: &'static str, word: &'static str, error: &'static str) -> Stored {
        let (status, result) = match self.compat {
            Compat::Weir => (code, word),
            Compat::Barito => (word, code),
        };
        Stored { index, status, result, error }
    }
}

impl Indexes {
    fn label(&self, prefix: &IndexPrefix) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST_INDEXES {
            known.insert(prefix.clone());
        }
        if known.contains(prefix) { prefix.to_string() } else { OTHER.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Incarnation, Offset, PartitionIndex, StreamName};
    use weir_redaction::Redactor;
    use weir_store::WriteBatch;

    use super::*;
    use crate::section::ConsumerSection;

    fn partition() -> StreamPartition {
        StreamPartition {
            stream: StreamName::new("shop_logs").expect("legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        }
    }

    #[test]
    fn labels_are_swapped_where_barito_flow_was() {
        let check = |compat, expected: &str| {
            let section = ConsumerSection { compat: Some(compat), ..ConsumerSection::default() };
            let settings = ConsumerSettings::validate(&section).expect("is valid");
            let mut builder = Builder::new();
            let metrics = ConsumerMetrics::register(&mut builder).configured(&settings);
            let taken = BTreeMap::from([(IndexPrefix::new("shop").expect("legal"), 3)]);
            metrics.delivered(&partition(), &taken, &[], &[]);
            let text = builder.build().exposition();
            assert!(text.lines().any(|line| line == expected), "{text}");
        };
        let name = "barito_consumer_log_stored_total";
        check(Compat::Weir, &format!(r#"{name}{{index="shop",status="201",result="created",error=""}} 3"#));
        check(Compat::Barito, &format!(r#"{name}{{index="shop",status="created",result="201",error=""}} 3"#));
    }

    #[test]
    fn what_was_redacted_is_counted_by_the_name_of_the_app() {
        let section =
            ConsumerSection { stream_suffix: Some("_logs".to_owned()), ..ConsumerSection::default() };
        let settings = ConsumerSettings::validate(&section).expect("is valid");
        let mut builder = Builder::new();
        let metrics = ConsumerMetrics::register(&mut builder).configured(&settings);
        let (from, next) = (Offset(0), Offset(1));
        let empty = WriteBatch { partition: partition(), from, records: Vec::new(), next, more: false };
        let mut sheet = Sheet::of(&empty, &Redactor::off(), true);
        sheet.redacted = Some(12);
        metrics.stored(&partition(), sheet, &Verdicts::default());
        let text = builder.build().exposition();
        let expected = r#"barito_consumer_redact_produced_total_log_bytes{app_name="shop"} 12"#;
        assert!(text.lines().any(|line| line == expected), "{text}");
    }

    #[test]
    fn clients_can_not_make_series_without_end() {
        let mut builder = Builder::new();
        let metrics = ConsumerMetrics::register(&mut builder);
        let partition = partition();
        let prefix = |number: usize| IndexPrefix::new(&format!("prefix-{number}")).expect("legal");
        for number in 0..MOST_INDEXES + 50 {
            metrics.delivered(&partition, &BTreeMap::from([(prefix(number), 1)]), &[], &[]);
        }
        metrics.delivered(&partition, &BTreeMap::from([(prefix(0), 1)]), &[], &[]);
        let text = builder.build().exposition();
        let stored: Vec<_> =
            text.lines().filter(|line| line.starts_with("barito_consumer_log_stored")).collect();
        assert_eq!(stored.len(), MOST_INDEXES + 1);
        let has = |index: &str, events: &str| {
            let label = format!("index=\"{index}\"");
            stored.iter().any(|line| line.contains(&label) && line.ends_with(events))
        };
        assert!(has("prefix-0", " 2") && has(OTHER, " 50"), "{text}");
    }
}
