//! Certificates for what is taken for a server, and is none: proxies that end TLS in front of it.

use std::time::Duration;

use weir_auth::pki::{Certificate, CheckedRequest, IssueError, RequestError};
use weir_model::Timestamp;

use crate::authority::Keys;
use crate::codes;
use crate::failure::{Nature, failures};
use crate::fleet::Fleet;
use crate::names::OperatorName;
use crate::rotation::{RotationStage, RotationStatus};

/// What an operator wants a certificate for.
#[derive(Debug, Clone, Copy)]
pub struct ServerRequest<'a> {
    /// PKCS#10, PEM. Nothing of it counts but the public key.
    pub csr: &'a str,
    /// DNS names and addresses, for clients that look at them; agents do not.
    pub names: &'a [String],
    /// Absent: that of a server's own certificate.
    pub life: Option<Duration>,
}

/// A certificate for somebody else's key.
#[derive(Debug, Clone)]
pub struct CertifiedServer {
    /// Its own first, with the root at the end, for nodes that know nothing but its pin.
    pub chain: Vec<Certificate>,
    /// By which agents are known.
    pub roots: Vec<Certificate>,
}

#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    #[error("could not use the request for a certificate")]
    Request(#[from] RequestError),
    #[error("a certificate of a server has 1 to {MOST_NAMES} names")]
    Names,
    #[error("could not issue a certificate for a server")]
    Issue(#[from] IssueError),
}

/// With these a certificate is a tenth of what is read of one.
const MOST_NAMES: usize = 32;

impl CertifyError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Request(_) | Self::Names | Self::Issue(IssueError::Name(_)) => {
                Nature::Refused(codes::BAD_CSR)
            }
            Self::Issue(_) => Nature::Broken,
        }
    }
}
failures!(CertifyError);

impl Fleet {
    /// A certificate with which who has the key of the request is taken for a server by agents. It ends when the authority
    /// does that issues it at the latest, and nothing takes it back before.
    ///
    /// It is below the root that everybody knows: while the root is changed that is the old one as long as somebody needs
    /// it, and then the new one.
    pub fn certify_server(
        &self,
        request: ServerRequest<'_>,
        by: &OperatorName,
    ) -> Result<CertifiedServer, CertifyError> {
        let ServerRequest { csr, names, life } = request;
        let csr = CheckedRequest::read_pem(csr)?;
        if names.is_empty() || names.len() > MOST_NAMES {
            return Err(CertifyError::Names);
        }
        let RotationStatus { stage, missing, keys: old_keys, .. } = self.rotation_status();
        let is_switched = matches!(stage, RotationStage::Switched { .. });
        let keys: &Keys = &self.snapshot().keys;
        let authority = match is_switched && missing.is_empty() && old_keys.is_empty() {
            true => keys.newest(),
            false => keys.oldest(),
        };
        let life = life.unwrap_or(self.settings().server_life);
        let certificate = authority.certify_server(&csr, names, self.now(), life)?;
        tracing::info!(
            %by,
            serial = %certificate.serial(),
            names = names.join(","),
            until = %Timestamp::from(certificate.not_after()),
            "a certificate was issued for what ends TLS in front of servers"
        );
        let chain = [certificate].into_iter().chain(authority.chain().iter().cloned()).collect();
        Ok(CertifiedServer { chain, roots: keys.roots() })
    }
}
