//! A new certificate for an agent whose certificate has ended, as when it was switched off for long.
//!
//! It shows that it has the key of the ended certificate by signing the request for the next one. Whoever repeats what he
//! has overheard gets a certificate for a key that he does not have.

use weir_auth::pki::{Certificate, CheckedRequest};

use crate::codes;
use crate::enrol::Membership;
use crate::failure::{Nature, failures};
use crate::fleet::Fleet;
use crate::renew::{Ended, RenewError, RenewRequest};

/// An agent that can not connect any more.
#[derive(Debug, Clone, Copy)]
pub struct RecoverRequest<'a> {
    /// Its newest certificate.
    pub lost: &'a Certificate,
    pub generation: u64,
    /// For another public key, as with [`RenewRequest::csr`].
    pub csr: &'a [u8],
    /// Of the request, by the key of the lost certificate.
    pub signature: &'a [u8],
}

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("the request is not signed with the key of the certificate")]
    Signature,
    #[error(transparent)]
    Renew(#[from] RenewError),
}

impl RecoverError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Signature => Nature::Refused(codes::UNKNOWN_CERTIFICATE),
            Self::Renew(error) => error.nature(),
        }
    }
}
failures!(RecoverError);

impl Fleet {
    /// The next certificate for an agent whose own has ended, for as long as it is not forgotten.
    pub async fn recover(&self, request: RecoverRequest<'_>) -> Result<Membership, RecoverError> {
        let RecoverRequest { lost, generation, csr, signature } = request;
        CheckedRequest::read(csr).map_err(RenewError::from)?;
        if !lost.has_signed(csr, signature) {
            return Err(RecoverError::Signature);
        }
        // That it was issued here is seen by its thumbprint, which is noted.
        let request = RenewRequest { shown: lost, generation, csr };
        Ok(self.renew_one(request, Ended::Renewed).await?)
    }
}
