//! Counters of the journal; the roles register them as metrics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::HashMap;

use crate::seam::{Loss, LossReason};

/// Upper bounds of the buckets of [`Stats::group_sizes`]; a last bucket takes the rest.
pub const GROUP_SIZES: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Upper bounds, in microseconds, of the buckets of [`Stats::commit_times`]; a last bucket takes the rest.
pub const COMMIT_MICROS: [u64; 8] = [250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];

/// What the journal did since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records that became durable.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of their values as they came.
    pub value_bytes: u64,
    /// Bytes of their values as stored.
    pub stored_bytes: u64,
    /// Durable groups of appends: syncs of the writer.
    pub commits: u64,
    /// Time in them.
    pub commit_time: Duration,
    /// How many groups had at most as many records as [`GROUP_SIZES`] says.
    pub group_sizes: [u64; 9],
    /// How many groups took at most as long as [`COMMIT_MICROS`] says.
    pub commit_times: [u64; 9],
    /// Appends refused because there was no space.
    pub refused_full: u64,
    /// Files of the journal.
    pub files: u64,
    /// Bytes of the values in them, as stored.
    pub retained_bytes: u64,
    /// Files put aside at open because they could not be read at all.
    pub quarantined_files: u64,
    /// Files removed by retention.
    pub removed_files: u64,
    /// Files that are over a limit but are held back by a group.
    pub held_files: u64,
    /// What subscriptions were told is lost, by reason.
    pub losses: Vec<LossCount>,
}

/// Losses of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossCount {
    /// Why.
    pub reason: LossReason,
    /// Ranges of offsets.
    pub ranges: u64,
    /// Events in them, where known.
    pub events: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) records: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) value_bytes: AtomicU64,
    pub(super) stored_bytes: AtomicU64,
    pub(super) commits: AtomicU64,
    commit_micros: AtomicU64,
    group_sizes: [AtomicU64; 9],
    commit_times: [AtomicU64; 9],
    pub(super) refused_full: AtomicU64,
    pub(super) quarantined_files: AtomicU64,
    pub(super) removed_files: AtomicU64,
    pub(super) held_files: AtomicU64,
    losses: Mutex<HashMap<LossReason, (u64, u64)>>,
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn committed(&self, records: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.commits, 1);
        add(&self.commit_micros, micros);
        count_in(&self.group_sizes, &GROUP_SIZES, records);
        count_in(&self.commit_times, &COMMIT_MICROS, micros);
    }

    pub(super) fn lost(&self, losses: &[Loss]) {
        if losses.is_empty() {
            return;
        }
        let mut counts = self.losses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for loss in losses {
            let (ranges, events) = counts.entry(loss.reason).or_default();
            *ranges += 1;
            *events += loss.events.unwrap_or(0);
        }
    }

    pub(super) fn snapshot(&self, files: u64, retained_bytes: u64) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = self.losses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let losses = [LossReason::Expired, LossReason::Damaged, LossReason::Cut]
            .into_iter()
            .filter_map(|reason| {
                counts.get(&reason).map(|&(ranges, events)| LossCount { reason, ranges, events })
            })
            .collect();
        Stats {
            records: get(&self.records),
            events: get(&self.events),
            value_bytes: get(&self.value_bytes),
            stored_bytes: get(&self.stored_bytes),
            commits: get(&self.commits),
            commit_time: Duration::from_micros(get(&self.commit_micros)),
            group_sizes: self.group_sizes.each_ref().map(get),
            commit_times: self.commit_times.each_ref().map(get),
            refused_full: get(&self.refused_full),
            files,
            retained_bytes,
            quarantined_files: get(&self.quarantined_files),
            removed_files: get(&self.removed_files),
            held_files: get(&self.held_files),
            losses,
        }
    }
}

fn count_in(buckets: &[AtomicU64; 9], bounds: &[u64; 8], value: u64) {
    let at = bounds.partition_point(|bound| *bound < value);
    if let Some(bucket) = buckets.get(at) {
        add(bucket, 1);
    }
}
