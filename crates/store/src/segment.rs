//! The embedded index store: Parquet segments in a directory.
//!
//! ```text
//! <directory>/manifest.db          what there is (see `manifest`)
//! <directory>/lock                 held by the process that has the store open
//! <directory>/<prefix>/<id>.parquet, <id>.filter    one segment (see `file`)
//! ```
//!
//! Events enter a head in memory, one per prefix, where they are searchable at once. The worker seals heads
//! into segments, merges small segments, and removes what retention says. A segment exists from the
//! transaction of the manifest that names it; that transaction also moves the watermarks of the partitions
//! whose rows it made durable. What is only in a head when the process ends is delivered again.
//!
//! Invariants:
//! * A row is in exactly one of: a head, a sealing, a segment that the manifest names.
//! * For each source the rows of one prefix are sealed in the order of their records, whole records at a
//!   time, so that one offset per prefix and source tells what to skip when records come again.
//! * Files that the manifest does not name are removed at open.

mod chunk;
mod column;
mod dead;
mod error;
mod field;
mod file;
mod filter;
mod gather;
mod head;
mod inspect;
mod json;
mod manifest;
mod merge;
mod open;
mod pages;
mod retention;
mod rows;
mod schema;
mod search;
mod section;
mod source;
mod state;
mod store;
mod text_page;
mod worker;

pub use error::OpenStoreError;
#[doc(hidden)]
pub use filter::pages_with_word;
#[doc(hidden)]
pub use pages::unpacked_page;
pub use section::{FilingWindow, Settings, StoreSection};
pub use store::{SegmentParts, SegmentStats, SegmentStore};
#[doc(hidden)]
pub use text_page::texts_of_page;
