//! What every store must do, as plain functions over a factory of empty stores.
//!
//! An implementation runs all of [`CASES`] in its tests. A function panics where a guarantee of [`State`] is broken.

mod committing;
mod fixtures;
mod reading;
mod telling;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::seam::State;

pub use committing::{
    a_commit_is_whole_or_nothing, expectations_are_kept, of_many_writers_one_wins,
    racing_counters_lose_nothing, versions_do_not_come_back, what_is_illegal_is_refused,
    what_is_kept_is_looked_at,
};
pub use reading::{
    changes_are_those_since_a_revision, documents_come_back_as_they_went_in,
    forgotten_deletions_make_it_whole, kinds_are_apart, lists_are_in_order, reads_see_whole_commits,
};
pub use telling::{a_commit_that_changes_nothing_is_not_told, commits_are_told, what_is_told_can_be_read};

/// Makes stores to try.
#[async_trait]
pub trait Factory: Send + Sync + fmt::Debug {
    /// Two handles of one new, empty store, as two processes would have them.
    async fn make(&self) -> [Arc<dyn State>; 2];
}

/// One function of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// Runs it; panics if it fails.
    pub run: for<'a> fn(&'a dyn Factory) -> BoxFuture<'a, ()>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: |make| Box::pin($name(make)) }),*]
    };
}

/// The whole suite.
pub const CASES: &[Case] = suite![
    documents_come_back_as_they_went_in,
    kinds_are_apart,
    lists_are_in_order,
    changes_are_those_since_a_revision,
    forgotten_deletions_make_it_whole,
    reads_see_whole_commits,
    expectations_are_kept,
    a_commit_is_whole_or_nothing,
    versions_do_not_come_back,
    what_is_kept_is_looked_at,
    what_is_illegal_is_refused,
    of_many_writers_one_wins,
    racing_counters_lose_nothing,
    commits_are_told,
    a_commit_that_changes_nothing_is_not_told,
    what_is_told_can_be_read,
];
