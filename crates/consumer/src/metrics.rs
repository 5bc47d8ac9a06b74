//! What delivery counts.
//!
//! `barito_*` names have the meaning that they had in barito-flow (spec B section 14); the values of `status`
//! and `result` are where their names say, which they were not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use weir_foundation::metrics::{Builder, Counter, Family, Gauge, Histogram, LATENCY_SECONDS, Plain};
use weir_journal::{LossReason, ReadBatch};
use weir_model::{IndexPrefix, StreamPartition};
use weir_store::DeadLetter;

use crate::decode::code;

/// The counters of delivery. Clones share them.
#[derive(Debug, Clone)]
pub struct ConsumerMetrics {
    indexes: Indexes,
    records: Family<Topic, Counter>,
    convert_errors: Family<Index, Plain>,
    stored: Family<Stored, Counter>,
    delivered: Family<Stream, Counter>,
    dead: Family<Dead, Counter>,
    lost: Family<Lost, Counter>,
    lag_records: Family<Partition, Gauge<u64, AtomicU64>>,
    lag_events: Family<Partition, Gauge<u64, AtomicU64>>,
    batch_seconds: Histogram,
    retries: Counter,
    commits: Counter,
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
struct Stored {
    index: String,
    /// As an HTTP status.
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
            indexes: Indexes::default(),
            records: Family::default(),
            convert_errors: Family::default(),
            stored: Family::default(),
            delivered: Family::default(),
            dead: Family::default(),
            lost: Family::default(),
            lag_records: Family::default(),
            lag_events: Family::default(),
            batch_seconds: Histogram::new(LATENCY_SECONDS),
            retries: Counter::default(),
            commits: Counter::default(),
        };
        metrics.register_barito(builder);
        metrics.register_weir(builder);
        metrics
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
            self.stored.clone(),
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
            let stored = Stored { index, status: "201", result: "created", error: "" };
            self.stored.get_or_create(&stored).inc_by(*events);
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
            let stored = Stored { index, status: "400", result: "rejected", error };
            self.stored.get_or_create(&stored).inc_by(events);
        } else {
            self.convert_errors.get_or_create(&Index { index }).add(events);
        }
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
    use weir_model::{Incarnation, PartitionIndex, StreamName};

    use super::*;

    #[test]
    fn clients_can_not_make_series_without_end() {
        let mut builder = Builder::new();
        let metrics = ConsumerMetrics::register(&mut builder);
        let partition = StreamPartition {
            stream: StreamName::new("shop_logs").expect("legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        };
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
