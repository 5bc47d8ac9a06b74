use std::fmt;
use std::time::SystemTime;

use super::certificate::Certificate;
use super::key::PrivateKey;

/// A certificate, those between it and its root, and its key: what one shows at a connection.
pub struct Identity {
    chain: Vec<Certificate>,
    key: PrivateKey,
}

/// Certificates and a key that are no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("there is no certificate")]
    Empty,
    #[error("the certificate is for another key")]
    OtherKey,
}

impl Identity {
    /// `chain` begins with the certificate of `key`.
    pub fn new(chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, IdentityError> {
        match chain.first() {
            None => Err(IdentityError::Empty),
            Some(certificate) if certificate.pin() != key.pin() => Err(IdentityError::OtherKey),
            Some(_) => Ok(Self { chain, key }),
        }
    }

    /// Its own first.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The last second at which it can be shown.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.chain.iter().map(Certificate::not_after).min().unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Shows the certificates only.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain).finish_non_exhaustive()
    }
}
