//! The proof by counts: per partition, accepted = delivered + dead + waiting + expired + lost.
//!
//! Each count has a source of its own, so that none can hide a mistake of another: *accepted* is counted by
//! the journal at the door; *delivered* are the store's rows, those that the store's retention removed later
//! included; *dead*, *expired* and *lost* are dead letters, purged ones included; *waiting* is what the
//! journal took at and behind the offset that the store expects next.
//!
//! Where others write to the journal and the store as well, nobody counts: [`audit_shared`] says what is known all
//! the same, and the [proof by ids](crate::verify::verify_by_id) what is not.

mod gather;
mod shared;

use std::collections::BTreeMap;

use weir_journal::PartitionBounds;
use weir_model::{StreamName, StreamPartition};
use weir_store::PartitionAudit;

pub use self::gather::{AuditError, audit};
pub use self::shared::{SharedReport, audit_shared};

/// What is known of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub bounds: PartitionBounds,
    /// Absent if the store knows nothing of the partition.
    pub store: Option<PartitionAudit>,
    /// How many events the partition took before the offset that the store expects next; absent if the journal
    /// does not know any more.
    pub passed: Option<u64>,
    /// Events of dead letters below that offset, losses and purged letters included.
    pub dead: u64,
    pub expired: u64,
    pub lost: u64,
}

/// The counts of one partition, or the sum of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Absent if the journal does not count events.
    pub accepted: Option<u64>,
    pub delivered: u64,
    /// Of `delivered`, what the store's retention removed.
    pub dropped: u64,
    pub dead: u64,
    /// Absent if the journal does not count events.
    pub waiting: Option<u64>,
    /// Removed by the journal's retention before it was delivered.
    pub expired: u64,
    /// Damaged or cut off in the journal before it was delivered.
    pub lost: u64,
}

/// Whether the counts agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Balanced,
    /// So many events are nowhere.
    Missing(u64),
    /// So many events are somewhere that nobody accepted.
    Surplus(u64),
    /// The journal does not count events, so that there is nothing to compare with.
    Uncounted,
}

/// The audit of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    pub stream: StreamName,
    pub partitions: BTreeMap<StreamPartition, Account>,
    /// Rows of partitions that the journal does not have, such as those of an earlier life of the stream.
    pub foreign: BTreeMap<StreamPartition, u64>,
}

impl Account {
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let Evidence { bounds, store, passed, dead, expired, lost } = evidence;
        let (stored, dropped) = store.as_ref().map_or((0, 0), |store| (store.stored, store.dropped));
        // The journal forgets below its start only: what can be read is waiting, what can not shows as missing
        // until the consumer has written the loss down.
        let passed = bounds.end_event.zip(passed.or(bounds.start_event)).map(|(end, passed)| passed.min(end));
        Self {
            accepted: bounds.end_event,
            delivered: stored + dropped,
            dropped,
            dead: dead.saturating_sub(expired + lost),
            waiting: bounds.end_event.zip(passed).map(|(end, passed)| end - passed),
            expired: *expired,
            lost: *lost,
        }
    }

    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let (Some(accepted), Some(waiting)) = (self.accepted, self.waiting) else {
            return Verdict::Uncounted;
        };
        let found = self.delivered + self.dead + waiting + self.expired + self.lost;
        match accepted.checked_sub(found) {
            Some(0) => Verdict::Balanced,
            Some(missing) => Verdict::Missing(missing),
            None => Verdict::Surplus(found - accepted),
        }
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            accepted: self.accepted.zip(other.accepted).map(|(a, b)| a + b),
            delivered: self.delivered + other.delivered,
            dropped: self.dropped + other.dropped,
            dead: self.dead + other.dead,
            waiting: self.waiting.zip(other.waiting).map(|(a, b)| a + b),
            expired: self.expired + other.expired,
            lost: self.lost + other.lost,
        }
    }
}

impl StreamReport {
    #[must_use]
    pub fn total(&self) -> Account {
        let nothing = Account { accepted: Some(0), waiting: Some(0), ..Account::default() };
        self.partitions.values().fold(nothing, |sum, account| sum.plus(account))
    }

    /// Whether every partition is balanced by itself; missing here and surplus there do not make up. What the
    /// journal does not count is not balanced.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.foreign.is_empty()
            && self.partitions.values().all(|account| account.verdict() == Verdict::Balanced)
    }
}

#[cfg(test)]
mod tests;
