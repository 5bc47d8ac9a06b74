//! The settings of delivery.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::retry::{Attempts, Backoff, BackoffError};
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_journal::StreamPattern;
use weir_model::ByteSize;

use crate::push::{PushSection, PushSettings};

/// Delivery from the journal to the stores, as written in the settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumerSection {
    /// The name under which the journal remembers what is delivered. Another name delivers everything that the
    /// journal still has from its start. Default: `weir-index`.
    pub group: Option<String>,
    /// Only streams whose full name starts so are delivered. Default: ``.
    pub stream_prefix: Option<String>,
    /// Only streams whose full name ends so are delivered. Default: `_logs`.
    pub stream_suffix: Option<String>,
    /// Bytes of records of one partition that are decoded and written at a time. Decoded events take several times as
    /// much memory. Default: `4MiB`.
    pub batch: Option<SizeText>,
    /// Bytes of records that may be read from the journal and not yet be delivered. A stream has at most half of what
    /// the others leave. Default: `32MiB`.
    pub in_flight: Option<SizeText>,
    /// Threads that decode and write, each for its own partitions. The embedded store needs no more than one.
    /// Default: `1`.
    pub threads: Option<u32>,
    /// The shortest time between two commits to the journal. Default: `1s`.
    pub commit_interval: Option<DurationText>,
    /// The longest first pause after a failure of a store or the journal. Default: `100ms`.
    pub retry_first: Option<DurationText>,
    /// Pauses double up to this and stay there; attempts never end. Default: `10s`.
    pub retry_longest: Option<DurationText>,
    /// Whether the labels `status` and `result` of `barito_consumer_log_stored_total` are as barito-flow has them:
    /// each has what the other one's name says. Default: `weir`.
    pub compat: Option<Compat>,
    /// Print a line a second to standard output that says how many events were stored. Default: `false`.
    pub print_rate: Option<bool>,
    pub push: PushSection,
}

/// Whose dashboards look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    #[default]
    Weir,
    Barito,
}

/// The validated [`ConsumerSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    pub group: String,
    pub streams: StreamPattern,
    pub batch: ByteSize,
    pub in_flight: ByteSize,
    pub threads: usize,
    pub commit_interval: Duration,
    pub retry: Backoff,
    pub compat: Compat,
    pub print_rate: bool,
    /// Absent if nobody is told.
    pub push: Option<PushSettings>,
}

const LEAST_BATCH: SizeText = SizeText::from_bytes(64 * 1024);
const GROUP_LIMIT: usize = 200;

impl ConsumerSettings {
    pub fn validate(raw: &ConsumerSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let group = raw.group.clone().unwrap_or_else(|| "weir-index".to_owned());
        if !legal_group(&group) {
            let message = format!("must be 1 to {GROUP_LIMIT} characters of `a-z A-Z 0-9 . _ -`");
            problems.push(Problem::at("group", message));
        }
        let batch = raw.batch.unwrap_or(SizeText::from_bytes(4 << 20));
        let in_flight = raw.in_flight.unwrap_or(SizeText::from_bytes(32 << 20));
        if batch < LEAST_BATCH {
            problems.push(Problem::at("batch", format!("must be at least `{LEAST_BATCH}`")));
        }
        if in_flight < batch {
            problems.push(Problem::at("in_flight", format!("must be at least `batch`, which is `{batch}`")));
        }
        let threads = count(raw.threads, 1, "threads", &mut problems);
        let commit_interval = raw.commit_interval.unwrap_or(DurationText::from_secs(1)).duration();
        let retry = problems.take("", retry(raw));
        let push = problems.take("push", PushSettings::validate(&raw.push)).flatten();
        match (problems.is_empty(), retry) {
            (true, Some(retry)) => Ok(Self {
                group,
                streams: StreamPattern {
                    prefix: raw.stream_prefix.clone().unwrap_or_default(),
                    suffix: raw.stream_suffix.clone().unwrap_or_else(|| "_logs".to_owned()),
                },
                batch: ByteSize(batch.bytes()),
                in_flight: ByteSize(in_flight.bytes()),
                threads,
                commit_interval,
                retry,
                compat: raw.compat.unwrap_or_default(),
                print_rate: raw.print_rate.unwrap_or_default(),
                push,
            }),
            _ => Err(problems),
        }
    }
}

fn count(given: Option<u32>, default: u32, field: &str, problems: &mut Problems) -> usize {
    let count = given.unwrap_or(default);
    if count == 0 {
        problems.push(Problem::at(field, "must be at least 1"));
    }
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn retry(raw: &ConsumerSection) -> Result<Backoff, Problems> {
    let first = raw.retry_first.unwrap_or(DurationText::from_millis(100)).duration();
    let longest = raw.retry_longest.unwrap_or(DurationText::from_secs(10)).duration();
    Backoff::new(first, longest, Attempts::Unlimited).map_err(|error| {
        let field = match error {
            BackoffError::ZeroFirst => "retry_first",
            BackoffError::LongestBelowFirst { .. } => "retry_longest",
        };
        Problem::at(field, error.to_string()).into()
    })
}

fn legal_group(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=GROUP_LIMIT).contains(&name.len()) && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &ConsumerSection, expected: &str) {
        let problems = ConsumerSettings::validate(raw).expect_err("is refused");
        assert_eq!(problems.to_string(), expected);
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: ConsumerSection = weir_foundation::settings::documented_defaults();
        assert_eq!(
            ConsumerSettings::validate(&documented),
            ConsumerSettings::validate(&ConsumerSection::default())
        );
    }

    #[test]
    fn names_every_problem() {
        check(
            &ConsumerSection {
                group: Some("a b".to_owned()),
                batch: Some(SizeText::from_bytes(1024)),
                in_flight: Some(SizeText::from_bytes(512)),
                retry_first: Some(DurationText::from_secs(0)),
                ..ConsumerSection::default()
            },
            "group: must be 1 to 200 characters of `a-z A-Z 0-9 . _ -`\n\
             batch: must be at least `64KiB`\n\
             in_flight: must be at least `batch`, which is `1KiB`\n\
             retry_first: the first delay is zero, so attempts would follow each other without pause\n",
        );
    }

    #[test]
    fn the_longest_pause_is_not_the_shortest() {
        let raw = ConsumerSection {
            retry_longest: Some(DurationText::from_millis(1)),
            ..ConsumerSection::default()
        };
        check(&raw, "retry_longest: the longest delay 1ms is shorter than the first 100ms\n");
    }
}
