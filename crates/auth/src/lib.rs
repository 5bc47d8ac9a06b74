//! Who is who in a fleet, and the keys that show it. Knows no HTTP, gRPC, storage, clocks: time is an argument.
//!
//! * [`secret`]: random texts that are shown once, of which only hashes are kept.
//! * [`access_key`]: the one text that a node needs to join.
//! * [`pki`]: the certificates of an instance of weir, for its servers and agents.
//! * [`tls`]: connections between those who have such certificates.
//! * [`token`]: access tokens, bound to a certificate.
//! * [`pass`]: by which processes of one instance know each other.
//! * [`seal`]: a cipher for payloads, for ways on which TLS ends before the server.
//!
//! Keys and secrets are in no `Debug`, no `Display` and no error of this crate, and are wiped from memory where
//! the libraries below allow it: ring keeps the scalars of its keys until the memory is used again.

pub mod access_key;
mod identity;
pub mod pass;
pub mod pki;
mod random;
pub mod seal;
pub mod secret;
mod text;
pub mod tls;
pub mod token;

pub use identity::{AgentIdentity, AgentName, IllegalSubject, InstanceId, Subject};
