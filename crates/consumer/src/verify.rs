//! The proof by positions: every event that the journal still holds is in the store's rows or a dead letter,
//! exactly once, and the store has no row that the journal does not know.
//!
//! A store that keeps a list of its rows is compared with [`verify`]; one that keeps none is asked for each event by
//! its position, with [`verify_by_id`], and may have rows that nobody asks for.
//!
//! Memory is bounded by one read of the journal and one answer of the store to
//! [`positions`](weir_store::Inventory::positions) or [`holds`](weir_store::IndexStore::holds). Rows of records that
//! the journal removed after delivery can not be compared; the [audit](crate::audit) counts them.

mod compare;
mod rows;
mod walk;

use weir_model::StreamPartition;
use weir_store::PositionRun;

pub use self::compare::{Comparison, Difference};
pub use self::walk::{VerifyError, verify, verify_by_id};

/// What a comparison of one partition found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProof {
    pub partition: StreamPartition,
    /// Events whose position was found once where it belongs, in a row or as a dead letter.
    pub found: u64,
    /// How many of `found` are dead letters.
    pub dead: u64,
    /// Events in ranges that the journal lost, which can not be compared.
    pub unreadable: u64,
    pub missing: Runs,
    pub surplus: Runs,
    /// How many of `missing` may be explained: rows that the store's retention removed, and purged dead letters.
    pub explained: u64,
}

/// What became of the events of one partition that the journal still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fates {
    /// Of those that are delivered.
    pub proof: PartitionProof,
    /// Events that are not delivered yet.
    pub waiting: u64,
}

/// Runs of positions: all of them counted, the first of them kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    pub events: u64,
    pub first: Vec<PositionRun>,
}

/// How many runs of each kind are kept for people to look at.
const KEPT: usize = 100;

impl Runs {
    fn add(&mut self, run: PositionRun) {
        self.events += u64::from(run.count);
        let follows = |last: &PositionRun| {
            last.offset == run.offset && last.first_index + last.count == run.first_index
        };
        if let Some(last) = self.first.last_mut().filter(|last| follows(last)) {
            last.count += run.count;
        } else if self.first.len() < KEPT {
            self.first.push(run);
        }
    }
}

impl PartitionProof {
    /// Whether every readable position is there exactly once, as far as anything can tell.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.surplus.events == 0 && self.missing.events <= self.explained
    }
}
