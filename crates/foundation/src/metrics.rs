//! Counters that Prometheus scrapes.
//!
//! A component registers its metrics in its constructor, on the [`Registry`] it is handed, and keeps the
//! handles (atomics; families by label set). Names under [`Builder::weir`] get the prefix `weir_`; names that
//! other dashboards know, such as `barito_*`, go to [`Builder::raw`] as they are.
//!
//! The exposition is OpenMetrics text, where the name of a [`Counter`] always ends in `_total`: it is appended
//! and must not be part of the registered name. A counter that has to keep another name is registered as
//! [`Plain`], which is exposed with type `unknown`.

mod plain;
mod process;

use std::sync::Arc;

pub use prometheus_client::encoding::EncodeLabelSet;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::{Registry, Unit};

pub use self::plain::Plain;
use self::process::ProcessCollector;

/// What a scrape answers with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Collects the metrics of all components while the process is put together.
#[derive(Debug)]
pub struct Builder {
    root: Registry,
}

/// All metrics of the process, complete. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
}

impl Builder {
    /// With the metrics of the process itself (`process_cpu_seconds_total` and others) registered.
    #[must_use]
    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(ProcessCollector));
        Self { root }
    }

    /// Where names get the prefix `weir_`. Components take a further prefix with
    /// [`Registry::sub_registry_with_prefix`].
    pub fn weir(&mut self) -> &mut Registry {
        self.root.sub_registry_with_prefix("weir")
    }

    /// Where names stay as they are.
    pub fn raw(&mut self) -> &mut Registry {
        &mut self.root
    }

    #[must_use]
    pub fn build(self) -> Metrics {
        Metrics { registry: Arc::new(self.root) }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics in the text form of OpenMetrics 1.0.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("formatting into a string fails only if a collector does, and ours do not");
        text
    }
}

/// Bucket bounds in seconds for things that take from half a millisecond to half a minute.
pub const LATENCY_SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_prefix_they_ask_for() {
        let mut builder = Builder::new();
        let ours = Counter::<u64>::default();
        let theirs = Plain::default();
        builder.weir().sub_registry_with_prefix("journal").register("appends", "Appends", ours.clone());
        builder.raw().register("barito_total_log_bytes", "Bytes", theirs.clone());
        let metrics = builder.build();
        ours.inc_by(3);
        theirs.add(5);
        let text = metrics.exposition();
        for line in ["weir_journal_appends_total 3", "barito_total_log_bytes 5"] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_is_measured() {
        let text = Builder::new().build().exposition();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no `{name}` in\n{text}")).parse().expect("is a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_start_time_seconds") > 1.7e9, "is after 2023");
        assert!(value("process_threads") >= 1.0);
    }
}
