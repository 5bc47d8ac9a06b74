//! How a node becomes an agent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tonic::{Code, Request, Status};
use weir_auth::access_key::AccessKey;
use weir_auth::tls::{self, TlsError};
use weir_foundation::clock::Clock;
use weir_wire::proto::control::enrolment_client::EnrolmentClient;
use weir_wire::proto::control::{EnrolRequest, RecoverRequest, RenewResponse};

use crate::dial::{DialError, Pings, dial};
use crate::identity::{Candidate, IdentityError, IdentityFile};
use crate::patience::{Patience, Silent, Step};

/// A node could not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("could not prepare a connection")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the server refused: {message}", message = .0.message())]
    Refused(Status),
    #[error("the server could not be asked")]
    Status(#[source] Status),
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error("the access key names no server")]
    Nowhere,
}

impl EnrolError {
    /// Whether what the node has of an agent can not be used, so that there is nothing to wait for.
    #[must_use]
    pub fn is_final(&self) -> bool {
        use IdentityError::{Key, Malformed, Newer, Read};
        matches!(self, Self::Identity(Read { .. } | Malformed { .. } | Newer { .. } | Key(_)))
    }

    /// Whether somebody has to act: asking again is of no use.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Nowhere => true,
            Self::Identity(_) | Self::Tls(_) => true,
            Self::Dial(_) | Self::Status(_) | Self::Silent(_) => false,
        }
    }
}

impl From<Status> for EnrolError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::FailedPrecondition => Self::Refused(status),
            _ => Self::Status(status),
        }
    }
}

/// What enrolling takes.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// Where the agent keeps who it is.
    pub folder: &'a Path,
    /// Absent for a node that has been an agent before.
    pub key: Option<&'a AccessKey>,
    /// What the agent would like to be called.
    pub name: &'a str,
    pub clock: Arc<dyn Clock>,
    /// How long an answer of a server may take.
    pub patience: Duration,
}

/// What a certificate that has ended is made good with.
pub(crate) struct Lost {
    /// As DER.
    pub(crate) certificate: Vec<u8>,
    pub(crate) generation: u64,
    pub(crate) request: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Enrolment<'_> {
    /// Who the agent of the folder is: it is enrolled with the key if it was not before. None without either.
    ///
    /// Each attempt asks another one of the servers that the key names. Whoever is interrupted goes on by asking again.
    pub async fn ask(&self, attempt: usize) -> Result<Option<IdentityFile>, EnrolError> {
        let Some(mut candidate) = Candidate::open(self.folder, self.key)? else { return Ok(None) };
        if let Some(key) = self.key.filter(|_| !candidate.is_enrolled()) {
            let address = key.enrol.get(attempt % key.enrol.len().max(1)).ok_or(EnrolError::Nowhere)?;
            self.enrol(&mut candidate, key, address).await?;
        }
        Ok(Some(candidate.file(Arc::clone(&self.clock), self.patience)?))
    }

    async fn enrol(
        &self,
        candidate: &mut Candidate,
        key: &AccessKey,
        address: &str,
    ) -> Result<(), EnrolError> {
        let tls = tls::client_pinned(&key.pins, Arc::clone(&self.clock))?;
        let patience = Patience::new(&*self.clock, self.patience);
        let channel = patience.wait(Step::Connect, dial(address, tls, Pings::default())).await??;
        let mut client = EnrolmentClient::new(channel);
        let request = EnrolRequest {
            key_id: key.id.to_string(),
            secret: key.secret.reveal().to_owned(),
            name: self.name.to_owned(),
            certificate_request: candidate.request()?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let asking = client.enrol(Request::new(request));
        let answer = patience.wait(Step::Enrol, asking).await??.into_inner();
        candidate.enrolled(answer, key, self.clock.now())?;
        Ok(())
    }
}

impl Lost {
    pub(crate) async fn ask(
        self,
        address: &str,
        tls: ClientConfig,
        patience: Patience<'_>,
    ) -> Result<RenewResponse, EnrolError> {
        let Self { certificate, generation, request, signature } = self;
        let channel = patience.wait(Step::Connect, dial(address, tls, Pings::default())).await??;
        let mut client = EnrolmentClient::new(channel);
        let request = RecoverRequest { certificate, generation, certificate_request: request, signature };
        let asking = client.recover(Request::new(request));
        Ok(patience.wait(Step::Recover, asking).await??.into_inner())
    }
}
