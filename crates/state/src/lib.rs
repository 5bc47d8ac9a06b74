//! What the control plane remembers: small documents with versions.
//!
//! * [`State`]: the seam, with its suite in [`conformance`].
//! * [`sqlite`]: a file of one machine, for as many processes as have it open.
//! * [`memory`]: as long as the process lives, for tests.
//!
//! `weir-state-postgres` has another implementation, for many machines. Nothing here looks into a document.

pub mod conformance;
mod error;
pub mod memory;
mod seam;
pub mod sqlite;

pub use error::{CommitError, IllegalWrite, OpenError, StateError};
pub use seam::{
    Change, Changes, Edit, Entry, Expect, Key, Kind, MAX_NAME, MAX_VALUE, MAX_WRITES, State, TOMBSTONES,
    Write, check,
};
