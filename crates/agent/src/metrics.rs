use prometheus_client::registry::Registry;
use weir_foundation::metrics::{Counter, EncodeLabelSet, Family, Gauge};

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

/// What the spools of an agent count. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct SpoolMetrics {
    kept: Family<OfSpool, Counter>,
    sent: Family<OfSpool, Counter>,
    dropped: Family<Dropped, Counter>,
    waiting: Family<OfSpool, Gauge>,
    disk_bytes: Family<OfSpool, Gauge>,
    oldest_seconds: Family<OfSpool, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSpool {
    input: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    input: String,
    reason: &'static str,
}

/// Those of one spool.
#[derive(Debug)]
pub(crate) struct SpoolMeters {
    input: String,
    all: SpoolMetrics,
    pub(crate) kept: Counter,
    pub(crate) sent: Counter,
    pub(crate) waiting: Gauge,
    pub(crate) disk_bytes: Gauge,
    pub(crate) oldest_seconds: Gauge,
}

impl SpoolMetrics {
    /// Once, under the prefix of weir.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let spool = registry.sub_registry_with_prefix("agent").sub_registry_with_prefix("spool");
        spool.register("kept_events", "Events that were made durable on the node", metrics.kept.clone());
        spool.register("sent_events", "Events that the server has, by its word", metrics.sent.clone());
        spool.register(
            "dropped_events",
            "Events that were dropped: there was no room, they were too old, damaged, or too large for the server",
            metrics.dropped.clone(),
        );
        spool.register("waiting_events", "Events that the server does not have yet", metrics.waiting.clone());
        spool.register(
            "disk_bytes",
            "Bytes of the disk, when they were last counted",
            metrics.disk_bytes.clone(),
        );
        spool.register(
            "oldest_seconds",
            "How long the oldest of the events that wait has waited, when that was last looked at",
            metrics.oldest_seconds.clone(),
        );
        metrics
    }

    pub(crate) fn of(&self, input: &str) -> SpoolMeters {
        let label = OfSpool { input: input.to_owned() };
        SpoolMeters {
            input: input.to_owned(),
            all: self.clone(),
            kept: self.kept.get_or_create_owned(&label),
            sent: self.sent.get_or_create_owned(&label),
            waiting: self.waiting.get_or_create_owned(&label),
            disk_bytes: self.disk_bytes.get_or_create_owned(&label),
            oldest_seconds: self.oldest_seconds.get_or_create_owned(&label),
        }
    }
}

impl SpoolMeters {
    pub(crate) fn dropped(&self, reason: &'static str) -> Counter {
        self.all.dropped.get_or_create_owned(&Dropped { input: self.input.clone(), reason })
    }
}
