use prometheus_client::registry::Registry;
use weir_foundation::metrics::{Counter, Gauge};

use crate::files::Counts;

/// What the agent counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) lines: Counter,
    pub(crate) bytes: Counter,
    pub(crate) mended: Counter,
    pub(crate) unfit: Counter,
    pub(crate) timeless: Counter,
    pub(crate) dropped: Counter,
    pub(crate) left_out: Counter,
    pub(crate) stored_bytes: Counter,
    pub(crate) truncated: Counter,
    pub(crate) scans: Counter,
    pub(crate) lost: Counter,
    pub(crate) register_errors: Counter,
    pub(crate) errors: Counter,
    pub(crate) open_files: Gauge,
    pub(crate) lag_bytes: Gauge,
    pub(crate) lag_seconds: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let agent = registry.sub_registry_with_prefix("agent");
        agent.register("lines", "Lines that were sent or left out, also again", metrics.lines.clone());
        agent.register(
            "bytes",
            "Bytes of files that were sent or left out, also again",
            metrics.bytes.clone(),
        );
        agent.register("mended_lines", "Lines with bytes that were no text", metrics.mended.clone());
        agent.register(
            "unfit_events",
            "Events that the format or the parser did not fit, sent as they are",
            metrics.unfit.clone(),
        );
        agent.register("timeless_events", "Events whose time could not be read", metrics.timeless.clone());
        agent.register(
            "dropped_events",
            "Events that a condition of `drop` held for",
            metrics.dropped.clone(),
        );
        agent.register("left_out_events", "Events that `sample` left out", metrics.left_out.clone());
        agent.register(
            "stored_bytes",
            "Bytes of files that the server has, by its word",
            metrics.stored_bytes.clone(),
        );
        agent.register("truncated_files", "Files that were written anew in place", metrics.truncated.clone());
        agent.register("scans", "How often everything was looked at", metrics.scans.clone());
        agent.register(
            "lost_files",
            "Files that were gone before they were read to their end: too many had to be open",
            metrics.lost.clone(),
        );
        agent.register(
            "register_errors",
            "How often it could not be written down how far files are read",
            metrics.register_errors.clone(),
        );
        agent.register("file_errors", "Files or patterns that could not be read", metrics.errors.clone());
        agent.register("open_files", "Files that are read", metrics.open_files.clone());
        agent.register(
            "lag_bytes",
            "Bytes of files that the server does not have",
            metrics.lag_bytes.clone(),
        );
        agent.register(
            "lag_seconds",
            "How long the oldest of these bytes has been seen, a last line without an end left out",
            metrics.lag_seconds.clone(),
        );
        metrics
    }

    /// So many bytes of a file were sent, of which there was so much.
    pub(crate) fn sent(&self, bytes: u64, counts: Counts) {
        self.bytes.inc_by(bytes);
        self.lines.inc_by(counts.lines);
        self.mended.inc_by(counts.mended);
        self.unfit.inc_by(counts.unfit);
        self.timeless.inc_by(counts.timeless);
        self.dropped.inc_by(counts.dropped);
        self.left_out.inc_by(counts.left_out);
    }
}
