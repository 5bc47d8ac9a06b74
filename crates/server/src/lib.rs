//! The role that answers: search, tail, audit, dead letters and the fleet of agents over HTTP, under `/api/v1`.
//!
//! [`Server::router`] is served by `weir`, merged with the producer's. What the server needs of the roles it
//! must not know comes in as [`Door`] and [`Auditor`]. [`api`] holds the types of every request and answer.

pub mod api;

mod admission;
pub mod agents;
mod audit;
mod codes;
mod dead;
mod door;
mod failure;
mod fleet;
mod groups;
mod hit;
mod indices;
mod journal;
mod metrics;
mod names;
mod openapi;
mod operator;
mod parcel;
mod question;
mod records;
mod route;
mod search;
mod section;
mod server;
mod streams;
mod tail;

pub use codes::CODES;
pub use door::{AuditDepth, AuditFailed, Auditor, Door, Refused, Remedy};
pub use journal::{CHECK_BUDGET, DUMP_BYTES, Tally, describe};
pub use names::StreamNames;
pub use openapi::{DOCUMENT as OPENAPI, document as openapi};
pub use section::{ServerSection, ServerSettings};
pub use server::{JournalFiles, Parts, Reach, Server, not_found};
