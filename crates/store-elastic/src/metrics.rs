//! What the store counts. `barito_*` names have the meaning that they had in barito-flow.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use weir_foundation::metrics::{Builder, Counter, Family, Gauge, Histogram, LATENCY_SECONDS, Plain};

/// The counters of the store. Clones share them.
#[derive(Debug, Clone)]
pub struct ElasticMetrics {
    failures: Family<Phase, Plain>,
    requests: Family<Outcome, Counter>,
    documents: Family<Verdict, Counter>,
    seconds: Histogram,
    sent_bytes: Counter,
    denied: Counter,
    waiting_bytes: Gauge<u64, AtomicU64>,
    sending: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
    error: &'static str,
}

impl ElasticMetrics {
    /// Adds them to the metrics of the process.
    #[must_use]
    pub fn register(builder: &mut Builder) -> Self {
        let metrics = Self {
            failures: Family::default(),
            requests: Family::default(),
            documents: Family::default(),
            seconds: Histogram::new(LATENCY_SECONDS),
            sent_bytes: Counter::default(),
            denied: Counter::default(),
            waiting_bytes: Gauge::default(),
            sending: Gauge::default(),
        };
        builder.raw().register(
            "barito_consumer_elasticsearch_client_failed",
            "Requests without an answer",
            metrics.failures.clone(),
        );
        let registry = builder.weir().sub_registry_with_prefix("elastic");
        registry.register("requests", "Requests with documents, by how they ended", metrics.requests.clone());
        registry.register("documents", "Verdicts on documents", metrics.documents.clone());
        registry.register("request_seconds", "From a request to its answer", metrics.seconds.clone());
        registry.register(
            "sent_bytes",
            "Bodies of requests with documents, as sent",
            metrics.sent_bytes.clone(),
        );
        registry.register(
            "denied",
            "Answers that weir may not write: somebody has to act",
            metrics.denied.clone(),
        );
        registry.register(
            "waiting_bytes",
            "Memory of documents without a verdict",
            metrics.waiting_bytes.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests with documents being answered",
            metrics.sending.clone(),
        );
        metrics
    }

    pub(crate) fn unanswered(&self) {
        self.failures.get_or_create(&Phase { phase: "retry" }).add(1);
    }

    pub(crate) fn request(&self, outcome: &'static str, took: Duration, bytes: usize) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
        self.seconds.observe(took.as_secs_f64());
        self.sent_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn documents(&self, verdict: &'static str, error: &'static str, count: u64) {
        if count > 0 {
            self.documents.get_or_create(&Verdict { verdict, error }).inc_by(count);
        }
    }

    pub(crate) fn denied(&self) {
        self.denied.inc();
    }

    pub(crate) fn load(&self, bytes: usize, requests: usize) {
        self.waiting_bytes.set(bytes as u64);
        self.sending.set(requests as u64);
    }
}
