//! What every store must do, as plain functions that each implementation runs.
//!
//! [`conformance_suite!`](crate::conformance_suite) makes one test of each case:
//!
//! ```ignore
//! mod mine {
//!     weir_store::conformance_suite!(MySubject::new().await);
//! }
//! ```

#![expect(clippy::panic, reason = "that is how a case fails")]

pub mod contents;
pub mod dead_letters;
pub mod fixture;
pub mod json;
pub mod keeping;
pub mod remote;
pub mod searching;
pub mod totals;
pub mod writing;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::dead_letter::DeadLetterStore;
use crate::seam::IndexStore;

/// An index store under test, empty at first.
#[async_trait]
pub trait Subject: Send + Sync + fmt::Debug {
    /// Its index.
    fn index(&self) -> Arc<dyn IndexStore>;

    /// Lets the process that has the store die, and opens the store in another: what was not durable may
    /// be gone.
    async fn reopen(&mut self);
}

/// One that keeps dead letters besides.
#[async_trait]
pub trait DeadLetterSubject: Subject {
    /// Its dead letters.
    fn dead_letters(&self) -> Arc<dyn DeadLetterStore>;
}

/// Makes a test of every case of the suite for an embedded store, which keeps positions and dead letters and
/// refuses nothing; the argument is an expression for a new, empty
/// [`DeadLetterSubject`](crate::conformance::DeadLetterSubject) and may await.
#[macro_export]
macro_rules! conformance_suite {
    ($subject:expr) => {
        $crate::conformance_suite! { @cases $subject;
            writing: nothing_is_known_of_a_new_partition, a_record_written_again_changes_nothing,
                a_gap_is_refused, losses_are_passed, durable_is_contiguous_and_survives,
                what_was_not_durable_can_be_written_again, progress_is_announced,
                partitions_and_lives_are_apart, faulty_events_are_passed_over,
                many_partitions_are_kept_apart;
            contents: scalars_keep_their_types, nesting_comes_back, odd_keys_come_back, numbers_are_exact,
                type_conflicts_drop_nothing, ten_thousand_keys_come_back, a_late_key_may_occur_twice,
                odd_numbers_hide_nothing, the_deepest_nesting_comes_back, large_texts_come_back, contents_survive_a_restart;
            searching: hits_are_newest_first, pages_are_stable_under_new_writes, ranges_are_half_open,
                prefixes_are_apart, the_query_examples_hold, a_search_without_time_times_out,
                a_search_without_memory_is_refused, an_unknown_prefix_is_empty, odd_times_are_searchable;
            totals: a_count_ignores_the_page, a_histogram_counts_by_interval, top_values_by_type,
                top_values_of_arrays_count_an_event_once, top_values_break_ties_by_text,
                totals_are_the_same_after_a_flush;
            keeping: indices_are_days_of_prefixes, odd_times_are_filed_by_receipt, dropped_days_are_gone,
                what_it_holds_is_answered, dropped_days_are_counted, positions_are_runs, an_audit_counts_rows;
        }
        $crate::dead_letter_suite!($subject);
    };
    (@cases $subject:expr; $($area:ident: $($case:ident),+;)+) => {
        $(mod $area {
            #[allow(unused_imports, reason = "what the subject's expression needs")]
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let mut subject = $subject;
                $crate::conformance::$area::$case(&mut subject).await;
            })+
        })+
    };
}

/// The cases of dead letters alone, for what keeps nothing else.
#[macro_export]
macro_rules! dead_letter_suite {
    ($subject:expr) => {
        $crate::conformance_suite! { @cases $subject;
            dead_letters: letters_are_kept_once, letters_are_listed_in_pages, the_newest_key_bounds_a_walk,
                letters_are_filtered, purged_letters_stay_counted, kept_letters_are_counted,
                letters_survive_a_restart, a_letter_comes_before_older_rows_are_durable;
        }
    };
}

/// The same for a store over a foreign system, which is a [`Subject`](crate::conformance::Subject): it keeps no
/// positions, may refuse an event for its shape, and goes on where the group committed.
#[macro_export]
macro_rules! remote_conformance_suite {
    ($subject:expr) => {
        $crate::conformance_suite! { @cases $subject;
            writing: nothing_is_known_of_a_new_partition, a_record_written_again_changes_nothing,
                a_gap_is_refused, losses_are_passed, durable_is_contiguous_and_survives,
                what_was_not_durable_can_be_written_again, progress_is_announced,
                partitions_and_lives_are_apart, faulty_events_are_passed_over,
                many_partitions_are_kept_apart;
            contents: large_texts_come_back;
            searching: hits_are_newest_first, pages_are_stable_under_new_writes, ranges_are_half_open,
                prefixes_are_apart, a_search_without_time_times_out, a_search_without_memory_is_refused,
                an_unknown_prefix_is_empty, odd_times_are_searchable;
            totals: a_count_ignores_the_page, a_histogram_counts_by_interval, top_values_break_ties_by_text,
                totals_are_the_same_after_a_flush;
            keeping: indices_are_days_of_prefixes, odd_times_are_filed_by_receipt, dropped_days_are_gone,
                what_it_holds_is_answered;
            remote: it_goes_on_where_the_group_committed, contents_come_back_or_are_refused,
                the_query_examples_hold_for_what_is_taken;
        }
    };
}
