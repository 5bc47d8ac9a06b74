use prometheus_client::registry::Registry;
use weir_foundation::metrics::{Counter, Gauge};

/// What the agent counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) lines: Counter,
    pub(crate) bytes: Counter,
    pub(crate) mended: Counter,
    pub(crate) stored_bytes: Counter,
    pub(crate) truncated: Counter,
    pub(crate) errors: Counter,
    pub(crate) open_files: Gauge,
    pub(crate) lag_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let agent = registry.sub_registry_with_prefix("agent");
        agent.register("lines", "Lines that were sent, also again", metrics.lines.clone());
        agent.register("bytes", "Bytes of files that were sent, also again", metrics.bytes.clone());
        agent.register("mended_lines", "Lines with bytes that were no UTF-8", metrics.mended.clone());
        agent.register(
            "stored_bytes",
            "Bytes of files that the server has, by its word",
            metrics.stored_bytes.clone(),
        );
        agent.register("truncated_files", "Files that were written anew in place", metrics.truncated.clone());
        agent.register("file_errors", "Files or patterns that could not be read", metrics.errors.clone());
        agent.register("open_files", "Files that are read", metrics.open_files.clone());
        agent.register(
            "lag_bytes",
            "Bytes of files that the server does not have",
            metrics.lag_bytes.clone(),
        );
        metrics
    }
}
