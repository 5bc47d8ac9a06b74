//! The journal over Apache Kafka: a stream is a topic, a partition a partition, a record a message.
//!
//! [`KafkaJournal`] implements the seam [`weir_journal::Journal`] for many processes at once. This is the only
//! crate that knows Kafka; what the C library can do and its bindings can not is in one module, `native`.
//!
//! What a record looks like in Kafka, for everybody who reads or writes beside weir, is described in [`format`].

mod brokers;
mod catalog;
mod client;
mod cluster;
mod error;
pub mod format;
mod journal;
mod life;
mod marks;
mod member;
mod metrics;
mod native;
mod producer;
mod reader;
mod registry;
mod section;
mod shared;
mod tails;
mod topics;

pub use brokers::Brokers;
pub use error::KafkaOpenError;
pub use journal::KafkaJournal;
pub use section::{
    Assignor, GroupIds, KafkaSection, Retries, SaslMechanism, SaslSection, SaslSettings, Settings,
    TopicLimits,
};
