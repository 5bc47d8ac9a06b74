//! The state of the control plane in Postgres 13 or newer, for instances whose roles run on several machines.
//!
//! [`PostgresState`] is the seam [`weir_state::State`] over one schema of one database. Any number of processes may have
//! it open, each with at most four connections; each looks several times a second whether others wrote.
//!
//! # Format
//!
//! Format 1 has two tables:
//!
//! * `document`: kind, name, version, value. A value that is null says that the document was deleted at this version;
//!   that is forgotten after some thousand deletions more. Kinds and names are compared by their bytes.
//! * `store`, of one row: the format, the revision of the store, and the version up to which deletions are forgotten.
//!
//! A schema of a newer format, or of something else, is refused as it is.
//!
//! # How guarantees are kept
//!
//! * A commit locks the row of `store` before it looks at a document, and keeps it until it is durable: commits happen
//!   one after the other, whoever makes them. Postgres undoes what is not committed when its connection ends, and ends by
//!   itself a connection that holds the row while nothing comes through it: a machine that dies keeps nobody waiting
//!   for longer than twice [`PostgresSettings::timeout`].
//! * A commit is asked for last, by itself. What fails before that is not stored; where the answer to that is lost,
//!   the outcome is not known.
//! * After such a commit this state is written and read on, unlike a file: what a disk holds and what is read from it
//!   can not be different things for the one who opened it, because there is one server that answers everybody. A commit
//!   that was lost on its way may still arrive until `timeout` has passed twice; no other commit is made before that is
//!   decided.
//! * A read is one statement, and sees what had been committed when it began.
//!
//! All of this is what one Postgres keeps. Where another server takes over it must have everything that was acknowledged
//! (`synchronous_standby_names`); read replicas must not be behind the address.
//!
//! Documents are there as they are, private keys among them: who may read the tables, the files or the backups of the
//! server has them. Where Postgres logs slow or all statements, their values are in its log unless
//! `log_parameter_max_length` is 0.
//!
//! A pooler in front of Postgres may give out connections by the transaction: nothing is kept in a connection.

mod client;
mod error;
mod pool;
mod rows;
mod schema;
mod section;
mod state;

pub use error::OpenError;
pub use section::{Encryption, PostgresSection, PostgresSettings, Schema};
pub use state::PostgresState;
