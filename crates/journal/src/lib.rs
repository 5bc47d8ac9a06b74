//! The journal: the durable log of all streams.
//!
//! [`Journal`] is the seam; [`sqlite`] keeps it in files of its own, [`memory`] in memory for tests of what
//! stands on it. [`conformance`] is the suite that every implementation passes. Nothing here looks into
//! the value of a record.

#![warn(missing_docs, clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod conformance;
pub mod memory;
pub mod sqlite;

mod error;
mod seam;

pub use error::{AppendError, CommitError, CreateStreamError, OpenError, ReadError, SubscribeError};
pub use seam::{
    Appended, Assignment, Commit, Creation, GroupInfo, GroupPosition, IfMissing, Journal, Keep, KnownBatch,
    Loss, LossReason, Origin, PartitionBounds, ReadBatch, ReadBudget, StoredRecord, StreamInfo,
    StreamPattern, StreamSpec, Subscription, SubscriptionEvent,
};
