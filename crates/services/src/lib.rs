//! The real servers that tests, benches and trials talk to: fetched from the package registries, kept in one ignored
//! folder, started on loopback with small heaps, without containers.
//!
//! Two ways to have one: a test that breaks its server starts an own one ([`Kafka::start`], …), which ends when it is
//! dropped; tests that only use a server share what `cargo xtask services up` started, by [`Home::address`].

#![expect(clippy::disallowed_methods, reason = "foreign processes live by the clock of the machine")]

mod error;
mod home;
mod install;
mod process;

mod consul;
mod kafka;
mod postgres;
mod redis;
mod search;

mod shared;

pub use consul::Consul;
pub use error::ServiceError;
pub use home::Home;
pub use kafka::{Guard, Guarded, Kafka};
pub use postgres::{Postgres, Shown};
pub use redis::Redis;
pub use search::{Engine, Search};
pub use shared::{Service, down, fetch, up};
