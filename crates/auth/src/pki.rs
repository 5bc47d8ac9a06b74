//! The certificates of an instance: X.509, keys on the curve P-256.
//!
//! A root, which may rest, vouches for an intermediate authority, and that for servers and agents. Whom a certificate
//! is about stands in its one URI ([`crate::Subject`]) and nowhere else: subjects of servers and agents are empty.
//! Nothing is taken from whoever asks for a certificate but the public key.

mod authority;
mod certificate;
mod identity;
mod key;
mod request;

pub use authority::{Authority, AuthorityError, BACK, IssueError};
pub use certificate::{Certificate, CertificateError, IllegalDigest, Pin, Serial, Thumbprint};
pub use identity::{Identity, IdentityError};
pub use key::{PrivateKey, UnusableKey};
pub use request::{CheckedRequest, RequestError};

#[cfg(test)]
mod tests;
