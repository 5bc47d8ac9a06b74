//! Where events can be queried.
//!
//! [`IndexStore`] is the seam for search; [`segment`] keeps Parquet segments in a directory of its own,
//! [`memory`] keeps everything in memory and is the measure of what a query means. [`query`] is the one
//! query language of every implementation, [`conformance`] the suite that every implementation passes.
//! Nothing here knows how events arrived.

#![warn(missing_docs)]

pub mod conformance;
pub mod memory;
pub mod query;
pub mod segment;

mod dead_letter;
mod error;
mod json;
mod seam;
mod search;
mod top;

pub use dead_letter::{
    DeadLetter, DeadLetterEntry, DeadLetterFilter, DeadLetterKey, DeadLetterStore, DeadReason,
};
pub use error::{DeadLetterError, DropError, InspectError, SearchError, WriteError};
pub use json::{Members, append_json};
pub use seam::{
    IndexInfo, IndexStore, Inventory, NoInventory, PartitionAudit, PositionRun, Rejection, Verdicts,
    WriteBatch, WriteRecord,
};
pub use search::{
    Bucket, Count, Cursor, Histogram, Hit, IllegalCursor, IllegalInterval, Interval, SearchLimits,
    SearchRequest, SearchResponse, SearchStats, TopRequest, TopValue, Unreadable,
};
pub use top::values_under;
