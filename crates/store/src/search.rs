//! What is asked of an index store and what it answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use weir_model::{EventId, IndexPrefix, Timestamp};

use crate::query::{Query, TimeRange};

/// One search over the indices of one prefix.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// Which indices.
    pub prefix: IndexPrefix,
    /// Which events.
    pub query: Query,
    /// Which times.
    pub range: TimeRange,
    /// How many hits, newest first; 0 if only the rest of the answer is wanted.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Cursor>,
    /// Whether all matching events are to be counted.
    pub count: Count,
    /// Matching events per interval of time.
    pub histogram: Option<Interval>,
    /// The most frequent values of a field.
    pub top: Option<TopRequest>,
    /// What the search may cost.
    pub limits: SearchLimits,
}

/// Whether [`SearchResponse::total`] is wanted, which may need every matching event to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// It is not.
    No,
    /// It is, exactly.
    Exact,
}

/// What a search may cost; beyond it the search fails with an error that names the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchLimits {
    /// Time from the start of the search, its wait in the queue included.
    pub timeout: Duration,
    /// Bytes of working memory.
    pub memory: usize,
}

/// The width of a histogram's buckets; at least a millisecond, aligned to 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    micros: i64,
}

/// Which field to count the values of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopRequest {
    /// The path of the field, as in a query.
    pub field: String,
    /// How many values.
    pub limit: usize,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResponse {
    /// Newest first; of one time, the greater id first.
    pub hits: Vec<Hit>,
    /// Where the next page starts; absent if there is none.
    pub next: Option<Cursor>,
    /// How many events match, if asked for.
    pub total: Option<u64>,
    /// In order of time, empty buckets left out.
    pub histogram: Option<Histogram>,
    /// The most frequent first; of one frequency, the lesser value first.
    pub top: Option<Vec<TopValue>>,
    /// What the answer is without, because it is damaged; empty if the answer is whole.
    pub unreadable: Vec<Unreadable>,
    /// What it took.
    pub stats: SearchStats,
}

/// An event that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its identity; the stream is part of it.
    pub id: EventId,
    /// Its own time.
    pub time: Timestamp,
    /// When the door took it.
    pub received: Timestamp,
    /// A JSON object, compact.
    pub content: String,
}

/// Matching events per interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// The width of a bucket.
    pub interval: Interval,
    /// In order of time, none of them empty.
    pub buckets: Vec<Bucket>,
}

/// One interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its start, inclusive.
    pub start: Timestamp,
    /// How many events.
    pub count: u64,
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopValue {
    /// As JSON text: a string in quotes, a number bare.
    pub value: String,
    /// How many matching events have it.
    pub count: u64,
}

/// A part of the index with events that could not be looked at, some or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The time of its earliest event.
    pub from: Timestamp,
    /// The time of its latest event.
    pub to: Timestamp,
    /// Which part, and what is wrong with it.
    pub reason: String,
}

/// What a search looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchStats {
    /// Rows whose values were looked at.
    pub rows_scanned: u64,
    /// Segments (or shards) asked.
    pub segments: u64,
}

/// A place in the order of hits; its text form is opaque and stays valid while the events do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Time of the last hit of the page.
    pub time: Timestamp,
    /// Its id.
    pub id: EventId,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
/// The text was not made by this version of weir.
#[error("`{0}` is no cursor; a cursor is what the page before answered as `next`")]
pub struct IllegalCursor(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
/// The width can not be used.
#[error("an interval is at least 1ms and at most 10000 days, not {}us", .0.as_micros())]
pub struct IllegalInterval(Duration);

impl Interval {
    /// A bucket width.
    pub fn new(width: Duration) -> Result<Self, IllegalInterval> {
        let legal = Duration::from_millis(1)..=Duration::from_secs(86_400 * 10_000);
        match i64::try_from(width.as_micros()) {
            Ok(micros) if legal.contains(&width) => Ok(Self { micros }),
            _ => Err(IllegalInterval(width)),
        }
    }

    /// The width in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// The start of the bucket that a time falls in.
    #[must_use]
    pub const fn bucket(self, time: Timestamp) -> Timestamp {
        Timestamp::from_micros(time.micros().saturating_sub(time.micros().rem_euclid(self.micros)))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.time.micros(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = IllegalCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (time, id) = text.split_once('~')?;
            Some(Self { time: Timestamp::from_micros(time.parse().ok()?), id: id.parse().ok()? })
        };
        parse().ok_or_else(|| IllegalCursor(text.to_owned()))
    }
}
