//! The state in a file of SQLite.
//!
//! A directory of mode 0700 holds `state.db`, of mode 0600, with what SQLite keeps beside it, and `lock`, which is
//! held by whoever opens or makes the file. Several processes may have it open; each looks several times a second
//! whether others wrote.
//!
//! # Format
//!
//! The file carries SQLite's `application_id` "weis" and its format in `user_version`. A file of another application or
//! of a newer format is refused as it is. Format 1 has the tables
//!
//! * `document`: kind, name, version, value. A value that is null says that the document was deleted at this version;
//!   that is forgotten after some thousand deletions more.
//! * `store`, of one row: the revision of the store, and the version up to which deletions are forgotten.

mod file;
mod rows;
mod state;

pub use file::SqliteSettings;
pub use state::SqliteState;
