//! What the doors count.
//!
//! The `barito_*` names are those of barito-flow with the same meaning, except that
//! `barito_producer_send_to_kafka_time_second`, a summary there, is a histogram here: histograms of several
//! processes can be added up. Labels that name a stream name only streams that exist, so that strangers can
//! not make up label values; what is refused for other names is counted under `other`.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use weir_foundation::metrics::{Builder, Counter, EncodeLabelSet, Family, Histogram, LATENCY_SECONDS, Plain};

use crate::budget::Budget;
use crate::window::BatchWindow;

/// All families; handles for hot paths come from here once per stream.
#[derive(Debug)]
pub(crate) struct Metrics {
    accepted_events: Family<OfStream, Counter>,
    accepted_bytes: Family<OfStream, Counter>,
    batches: Family<OfDoor, Counter>,
    refused: Family<OfReason, Counter>,
    pub(crate) duplicates: Counter,
    pub(crate) throttles: Counter,
    pub(crate) append_seconds: Histogram,
    barito_stored: Family<OfRecord, Counter>,
    barito_tps_exceeded: Family<OfTopic, Counter>,
    barito_produced_bytes: Family<OfApp, Plain>,
    barito_tps_exceeded_bytes: Family<OfApp, Plain>,
    barito_send_seconds: Family<OfTopic, Histogram, fn() -> Histogram>,
    others: StreamMetrics,
}

/// The counters of one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamMetrics {
    pub(crate) accepted_events: Counter,
    pub(crate) accepted_bytes: Counter,
    pub(crate) barito_stored: Counter,
    pub(crate) barito_tps_exceeded: Counter,
    pub(crate) barito_produced_bytes: Plain,
    pub(crate) barito_tps_exceeded_bytes: Plain,
    pub(crate) barito_send_seconds: Histogram,
}

/// Through which door a batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    Grpc,
    Rest,
    Events,
    Ingest,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStream {
    stream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTopic {
    topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfApp {
    app_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRecord {
    topic: String,
    error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDoor {
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    door: &'static str,
    reason: &'static str,
}

/// Stands for all streams of which it is not known whether they exist.
pub(crate) const OTHER: &str = "other";

fn latency() -> Histogram {
    Histogram::new(LATENCY_SECONDS)
}

impl Metrics {
    pub(crate) fn register(
        builder: &mut Builder,
        budget: &Budget,
        limit: u64,
        window: &BatchWindow,
    ) -> Arc<Self> {
        let metrics = Self::new();
        let weir = builder.weir().sub_registry_with_prefix("producer");
        weir.register("accepted_events", "Events that were acknowledged", metrics.accepted_events.clone());
        weir.register(
            "accepted_bytes",
            "Bytes of the records of acknowledged batches",
            metrics.accepted_bytes.clone(),
        );
        weir.register(
            "batches",
            "Batches that were acknowledged, by the door they came through",
            metrics.batches.clone(),
        );
        weir.register(
            "refused_batches",
            "Batches that were not acknowledged, by reason",
            metrics.refused.clone(),
        );
        weir.register(
            "duplicate_batches",
            "Batches that were answered from the window of batch ids",
            metrics.duplicates.clone(),
        );
        weir.register(
            "throttles",
            "How often agents were told to send nothing for a while",
            metrics.throttles.clone(),
        );
        weir.register(
            "append_seconds",
            "Time from giving a record to the journal until it is durable",
            metrics.append_seconds.clone(),
        );
        weir.register_collector(Box::new(State { budget: budget.clone(), limit, window: window.clone() }));
        let raw = builder.raw();
        raw.register(
            "barito_producer_kafka_message_stored",
            "Records that were stored, or not: see error_type",
            metrics.barito_stored.clone(),
        );
        raw.register(
            "barito_producer_tps_exceeded",
            "Events that were refused because of the rate limit",
            metrics.barito_tps_exceeded.clone(),
        );
        raw.register(
            "barito_producer_produced_total_log_bytes",
            "Bytes of the stored records",
            metrics.barito_produced_bytes.clone(),
        );
        raw.register(
            "barito_producer_tps_exceeded_log_bytes",
            "Bytes of the batches that were refused because of the rate limit",
            metrics.barito_tps_exceeded_bytes.clone(),
        );
        raw.register(
            "barito_producer_send_to_kafka_time_second",
            "Seconds until a record was stored",
            metrics.barito_send_seconds.clone(),
        );
        Arc::new(metrics)
    }

    fn new() -> Self {
        let (accepted_events, accepted_bytes) = (Family::default(), Family::default());
        let (barito_stored, barito_tps_exceeded) = (Family::default(), Family::default());
        let (barito_produced_bytes, barito_tps_exceeded_bytes) = (Family::default(), Family::default());
        let barito_send_seconds = Family::new_with_constructor(latency as fn() -> Histogram);
        let others = StreamMetrics {
            accepted_events: Counter::default(),
            accepted_bytes: Counter::default(),
            barito_stored: Counter::default(),
            barito_tps_exceeded: Family::get_or_create_owned(
                &barito_tps_exceeded,
                &OfTopic { topic: OTHER.into() },
            ),
            barito_produced_bytes: Plain::default(),
            barito_tps_exceeded_bytes: Family::get_or_create_owned(
                &barito_tps_exceeded_bytes,
                &OfApp { app_name: OTHER.into() },
            ),
            barito_send_seconds: latency(),
        };
        Self {
            accepted_events,
            accepted_bytes,
            batches: Family::default(),
            refused: Family::default(),
            duplicates: Counter::default(),
            throttles: Counter::default(),
            append_seconds: latency(),
            barito_stored,
            barito_tps_exceeded,
            barito_produced_bytes,
            barito_tps_exceeded_bytes,
            barito_send_seconds,
            others,
        }
    }

    /// The handles of a stream that exists. `app` is its name without the suffix.
    pub(crate) fn of_stream(&self, stream: &str, app: &str) -> StreamMetrics {
        let of_stream = OfStream { stream: stream.to_owned() };
        let of_topic = OfTopic { topic: stream.to_owned() };
        let of_app = OfApp { app_name: app.to_owned() };
        let of_record = OfRecord { topic: stream.to_owned(), error_type: "" };
        StreamMetrics {
            accepted_events: self.accepted_events.get_or_create_owned(&of_stream),
            accepted_bytes: self.accepted_bytes.get_or_create_owned(&of_stream),
            barito_stored: self.barito_stored.get_or_create_owned(&of_record),
            barito_tps_exceeded: self.barito_tps_exceeded.get_or_create_owned(&of_topic),
            barito_produced_bytes: self.barito_produced_bytes.get_or_create_owned(&of_app),
            barito_tps_exceeded_bytes: self.barito_tps_exceeded_bytes.get_or_create_owned(&of_app),
            barito_send_seconds: self.barito_send_seconds.get_or_create_owned(&of_topic),
        }
    }

    /// The handles that all streams share of which it is not known whether they exist.
    pub(crate) fn of_new_streams(&self) -> StreamMetrics {
        self.others.clone()
    }

    /// A record that was not stored. `stream` is one that exists.
    pub(crate) fn barito_failed(&self, stream: &str, error_type: &'static str) {
        self.barito_stored.get_or_create(&OfRecord { topic: stream.to_owned(), error_type }).inc();
    }

    pub(crate) fn batches(&self, door: Door) -> Counter {
        self.batches.get_or_create_owned(&OfDoor { door: door.as_str() })
    }

    pub(crate) fn refused(&self, door: Door, reason: &'static str) {
        self.refused.get_or_create(&OfReason { door: door.as_str(), reason }).inc();
    }
}

impl Door {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Rest => "rest",
            Self::Events => "events",
            Self::Ingest => "ingest",
        }
    }
}

/// What is looked at when somebody asks.
#[derive(Debug)]
struct State {
    budget: Budget,
    limit: u64,
    window: BatchWindow,
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauges = [
            ("budget_used_bytes", "Bytes of batches in hand", self.budget.used()),
            ("budget_limit_bytes", "Most bytes of batches that may be in hand", self.limit),
            ("known_batch_ids", "Batch ids that are remembered", self.window.len() as u64),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
