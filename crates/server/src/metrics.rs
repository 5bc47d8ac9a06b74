//! What the server counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use weir_foundation::metrics::LATENCY_SECONDS;

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) searches: Family<SearchLabels, Counter>,
    pub(crate) search_seconds: Histogram,
    pub(crate) tails: Gauge,
    pub(crate) tail_skipped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SearchLabels {
    /// `answered`, or the code of the error.
    pub(crate) outcome: &'static str,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            searches: Family::default(),
            search_seconds: Histogram::new(LATENCY_SECONDS),
            tails: Gauge::default(),
            tail_skipped: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("server");
        registry.register("searches", "Searches by outcome", metrics.searches.clone());
        registry.register(
            "search_seconds",
            "Time of a search, its wait in the queue included",
            metrics.search_seconds.clone(),
        );
        registry.register("tails", "Tails that are open", metrics.tails.clone());
        registry.register(
            "tail_skipped_events",
            "Events that a tail skipped because its reader was too slow",
            metrics.tail_skipped.clone(),
        );
        metrics
    }
}
