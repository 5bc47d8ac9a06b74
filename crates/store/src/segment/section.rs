//! Settings of the segment store.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_model::ByteSize;

/// Settings of the embedded index store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// Memory for events that are searchable but not yet in a segment. Default: `48MiB`; at least `4MiB`.
    pub head_memory: Option<SizeText>,
    /// How long an event may stay in memory only (the journal keeps it all the while). Default: `2m`.
    pub seal_after: Option<DurationText>,
    /// Memory for footers and token filters of segments, which searches keep between them. Default: `256MiB`.
    pub search_cache: Option<SizeText>,
    /// Free space on the disk below which nothing new is written. Default: `64MiB`.
    pub free_space_reserve: Option<SizeText>,
    /// How old events may become, by the day that they are filed under. Default: kept for ever.
    pub keep_for: Option<DurationText>,
    /// How large the index may become; beyond it the oldest day of the prefix that is most over its share
    /// goes first. Default: no limit.
    pub keep_bytes: Option<SizeText>,
    /// How long before its receipt an event's time may lie and still name the day that it is filed under.
    /// Default: `365d`.
    pub oldest_time: Option<DurationText>,
    /// How long after its receipt an event's time may lie and still name its day. Default: `1d`.
    pub newest_time: Option<DurationText>,
}

/// Validated settings of the segment store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where segments and manifest are.
    pub directory: PathBuf,
    /// Memory for rows that are not yet in a segment.
    pub head_memory: ByteSize,
    /// How long a row may stay in memory only.
    pub seal_after: Duration,
    /// Memory for what searches keep of segments between them.
    pub search_cache: ByteSize,
    /// Free space below which nothing is written.
    pub free_space_reserve: ByteSize,
    /// Age limit by day.
    pub keep_for: Option<Duration>,
    /// Size limit.
    pub keep_bytes: Option<ByteSize>,
    /// Which times name a day.
    pub filing: FilingWindow,
}

/// Times that name the day that an event is filed under; any other is filed under the day of its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilingWindow {
    /// How long before the receipt.
    pub before: Duration,
    /// How long after the receipt.
    pub after: Duration,
}

const LEAST_HEAD: ByteSize = ByteSize::mib(4);

impl Settings {
    /// Checks the section; `directory` is where segments and manifest go.
    pub fn validate(raw: &StoreSection, directory: PathBuf) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let head_memory = size(raw.head_memory, ByteSize::mib(48));
        if head_memory < LEAST_HEAD {
            let message = format!("must be at least {LEAST_HEAD}, is {head_memory}");
            problems.push(Problem::at("head_memory", message));
        }
        let seal_after = duration(raw.seal_after, Duration::from_secs(120));
        if seal_after < Duration::from_secs(1) {
            problems.push(Problem::at("seal_after", "must be at least 1s: every seal makes a file"));
        }
        let filing = FilingWindow::default();
        problems.or(Self {
            directory,
            head_memory,
            seal_after,
            search_cache: size(raw.search_cache, ByteSize::mib(256)),
            free_space_reserve: size(raw.free_space_reserve, ByteSize::mib(64)),
            keep_for: raw.keep_for.map(|text| text.duration()),
            keep_bytes: raw.keep_bytes.map(|text| ByteSize(text.bytes())),
            filing: FilingWindow {
                before: duration(raw.oldest_time, filing.before),
                after: duration(raw.newest_time, filing.after),
            },
        })
    }
}

fn size(text: Option<SizeText>, default: ByteSize) -> ByteSize {
    text.map_or(default, |text| ByteSize(text.bytes()))
}

fn duration(text: Option<DurationText>, default: Duration) -> Duration {
    text.map_or(default, |text| text.duration())
}

impl Default for FilingWindow {
    fn default() -> Self {
        Self { before: Duration::from_secs(365 * 86_400), after: Duration::from_secs(86_400) }
    }
}

impl FilingWindow {
    /// The day that an event is filed under.
    #[must_use]
    pub fn day(self, time: weir_model::Timestamp, received: weir_model::Timestamp) -> weir_model::Day {
        let accepted = received.saturating_sub(self.before)..=received.saturating_add(self.after);
        if accepted.contains(&time) { time.day() } else { received.day() }
    }
}
