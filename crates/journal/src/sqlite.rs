//! The journal in SQLite files of its own.
//!
//! A directory of mode 0700 holds
//!
//! * `journal-000001.db`, `journal-000002.db`, …: the records, oldest first. Only the last is written; it is
//!   completed at a size or an age, and whole files are removed by retention. `file` describes the tables.
//! * `groups.db`: how far each group is.
//! * `lock`: who owns the directory.
//! * `*.quarantined-<n>`: files that could not be opened, kept for people.
//!
//! One thread writes: it takes all appends that wait, makes them durable with one sync, shows them to
//! readers and answers their callers. Callers compress and sum their own records before. Readers have
//! connections of their own and verify every record; a subscription that keeps up gets records from memory
//! as soon as they are durable.
//!
//! # Formats
//!
//! Every file carries SQLite's `application_id` ("weir", "weig" for the groups) and its format in
//! `user_version`. A newer format is refused by name. Files of format 1 have no marks; one that is written on becomes
//! one of format 2.

mod catalog;
mod condition;
mod disk;
mod feed;
mod file;
mod frame;
mod groups;
mod inspect;
mod inventory;
mod journal;
mod maintenance;
mod marks;
mod queue;
mod reader;
mod recovery;
mod retention;
mod row;
mod section;
mod stats;
mod subscription;
mod writer;

pub use catalog::Stretch;
pub use condition::{Condition, JournalFailed};
pub use disk::{Disk, SystemDisk};
#[doc(hidden)]
pub use frame::value_of_frame;
pub use inspect::{CheckReport, FileReport, Inspector, PartitionReport, StreamReport, quarantined};
pub use journal::SqliteJournal;
pub use recovery::JUMP;
pub use section::{Codec, JournalSection, Retention, Settings, Undelivered};
pub use stats::{COMMIT_MICROS, GROUP_SIZES, LossCount, Stats};
