//! Code generated from `proto/` by `cargo xtask codegen`: for clients, tests and reflection. The hot paths
//! do not use it.

use std::fmt;

/// The door that clients of barito-flow know, with a client that is generic over its transport.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
#[rustfmt::skip]
#[path = "generated/producer.rs"]
pub mod producer;

/// weir's own record format.
#[allow(clippy::all, clippy::pedantic, unused_qualifications, unreachable_pub, reason = "generated")]
#[rustfmt::skip]
#[path = "generated/weir.v1.rs"]
pub mod v1;

/// The stream of an agent, with client and server.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
#[rustfmt::skip]
#[path = "generated/weir.ingest.v1.rs"]
pub mod ingest;

/// Enrolment and control of agents, with client and server.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
#[rustfmt::skip]
#[path = "generated/weir.control.v1.rs"]
pub mod control;

/// The secret shows as `***`.
impl fmt::Debug for producer::TimberContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.app_secret.is_empty() { "" } else { "***" };
        f.debug_struct("TimberContext")
            .field("kafka_topic", &self.kafka_topic)
            .field("kafka_partition", &self.kafka_partition)
            .field("kafka_replication_factor", &self.kafka_replication_factor)
            .field("es_index_prefix", &self.es_index_prefix)
            .field("es_document_type", &self.es_document_type)
            .field("app_max_tps", &self.app_max_tps)
            .field("app_secret", &secret)
            .field("disable_app_tps", &self.disable_app_tps)
            .field("app_group_max_tps", &self.app_group_max_tps)
            .finish()
    }
}

/// Shows nothing of the token.
impl fmt::Debug for ingest::Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Shows nothing of the token.
impl fmt::Debug for control::Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Shows nothing of the secret.
impl fmt::Debug for control::EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest")
            .field("key_id", &self.key_id)
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Shows nothing of the token.
impl fmt::Debug for control::TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in_millis", &self.expires_in_millis)
            .field("now_millis", &self.now_millis)
            .finish_non_exhaustive()
    }
}

/// A serialized `google.protobuf.FileDescriptorSet` of everything in `proto/`.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.binpb");
