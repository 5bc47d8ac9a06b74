//! What every journal must do, as plain functions over a factory of empty journals.
//!
//! An implementation runs all of [`cases`] in its tests. A function panics where a guarantee of
//! [`Journal`] is broken.

mod appending;
mod fixtures;
mod grouping;
mod reading;
mod subscribing;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::seam::Journal;

pub use appending::{
    a_key_stays_in_one_partition_in_order, a_source_has_a_mark_and_stays_in_order,
    appends_are_dense_and_ordered, callers_at_once_all_get_their_own_offset, creating_twice_is_existing,
    several_records_are_appended_at_once, unknown_streams_are_refused,
};
pub use grouping::{
    a_commit_beyond_the_end_moves_the_end, a_commit_never_goes_back, a_deleted_group_is_forgotten,
    a_group_has_one_member, a_live_group_is_not_deleted, groups_are_listed, tagged_batches_are_known,
};
pub use reading::{
    a_read_respects_its_budget, reading_at_the_end_is_empty, records_come_back_as_they_went_in,
    unknown_partitions_are_refused,
};
pub use subscribing::{
    a_cancelled_next_loses_nothing, a_paused_partition_waits_to_be_sought,
    a_subscription_delivers_everything_once, a_subscription_resumes_at_the_commit, a_subscription_wakes_up,
    busy_partitions_do_not_starve_others, changes_are_announced, new_streams_are_discovered,
    seeking_goes_back, the_pattern_selects_streams,
};

/// Makes journals to try.
#[async_trait]
pub trait Factory: Send + Sync + fmt::Debug {
    /// A new, empty journal whose streams get up to four partitions.
    async fn make(&self) -> Arc<dyn Journal>;

    /// Which of the freedoms the journals take.
    fn nature(&self) -> Nature {
        Nature::Embedded
    }

    /// Bytes of the largest value that the suite may append.
    fn largest_record(&self) -> usize {
        3 << 20
    }
}

/// The freedoms that a test has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Of one process: events are counted, a group has one member, batches with a tag are known again, a commit
    /// beyond the end moves the end, and partitions take turns batch by batch.
    Embedded,
    /// Of many processes: nothing of that, and a `Timber` of no known batch comes back with the time of its append.
    Shared,
}

/// One function of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The only nature of which it is true; absent means all.
    pub only: Option<Nature>,
    /// Runs it; panics if it fails.
    pub run: for<'a> fn(&'a dyn Factory) -> BoxFuture<'a, ()>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! suite {
    ($only:expr, [$($name:ident),* $(,)?]) => {
        [$(Case { name: stringify!($name), only: $only, run: |make| Box::pin($name(make)) }),*]
    };
}

/// The whole suite, as far as it concerns journals of that nature.
#[must_use]
pub fn cases(nature: Nature) -> Vec<Case> {
    let of_all = suite!(
        None,
        [
            appends_are_dense_and_ordered,
            several_records_are_appended_at_once,
            a_key_stays_in_one_partition_in_order,
            a_source_has_a_mark_and_stays_in_order,
            callers_at_once_all_get_their_own_offset,
            creating_twice_is_existing,
            unknown_streams_are_refused,
            records_come_back_as_they_went_in,
            a_read_respects_its_budget,
            reading_at_the_end_is_empty,
            unknown_partitions_are_refused,
            a_subscription_delivers_everything_once,
            a_subscription_resumes_at_the_commit,
            a_subscription_wakes_up,
            a_paused_partition_waits_to_be_sought,
            a_cancelled_next_loses_nothing,
            new_streams_are_discovered,
            the_pattern_selects_streams,
            seeking_goes_back,
            changes_are_announced,
            a_commit_never_goes_back,
            groups_are_listed,
            a_deleted_group_is_forgotten,
            a_live_group_is_not_deleted,
        ]
    );
    let of_embedded = suite!(
        Some(Nature::Embedded),
        [
            busy_partitions_do_not_starve_others,
            a_group_has_one_member,
            a_commit_beyond_the_end_moves_the_end,
            tagged_batches_are_known,
        ]
    );
    let all = of_all.into_iter().chain(of_embedded);
    all.filter(|case| case.only.is_none_or(|only| only == nature)).collect()
}
