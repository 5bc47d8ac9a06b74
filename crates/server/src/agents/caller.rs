//! Who calls, and how he is refused.

use std::time::SystemTime;

use tonic::{Code, Request, Status};
use weir_auth::AgentName;
use weir_auth::pki::Certificate;
use weir_auth::token::Audience;
use weir_fleet::{AgentView, Fleet};
use weir_foundation::failure::{Audience as Whom, Disposition, Failure, chain};
use weir_foundation::http::Peer;
use weir_foundation::settings::Secret;

/// The certificate that was shown at the connection; the listener has checked it.
pub(super) fn certificate<T>(request: &Request<T>) -> Result<Certificate, Status> {
    let peer = request.extensions().get::<Peer>();
    if let Some(nobody) = peer.and_then(|peer| peer.refused.as_ref()) {
        return Err(status(nobody));
    }
    let shown = peer.and_then(|peer| peer.certificate.as_deref());
    let shown = shown.ok_or_else(|| Status::unauthenticated("agents show a certificate here"))?;
    Certificate::read(shown).map_err(|error| Status::unauthenticated(error.to_string()))
}

/// A caller with certificate and token.
pub(super) struct Caller {
    pub(super) certificate: Certificate,
    pub(super) agent: AgentView,
    /// When the token ends.
    pub(super) expires: SystemTime,
}

impl Caller {
    pub(super) fn of<T>(fleet: &Fleet, request: &Request<T>) -> Result<Self, Status> {
        let certificate = certificate(request)?;
        let token = bearer(request)?;
        Self::with(fleet, certificate, &token)
    }

    pub(super) fn with(fleet: &Fleet, certificate: Certificate, token: &Secret) -> Result<Self, Status> {
        let shown = Some(certificate.thumbprint());
        let admitted = fleet.admit(token, Audience::Control, shown).map_err(|error| status(&error))?;
        Ok(Self { certificate, agent: admitted.agent, expires: admitted.expires })
    }

    pub(super) fn name(&self) -> &AgentName {
        &self.agent.name
    }
}

fn bearer<T>(request: &Request<T>) -> Result<Secret, Status> {
    let value = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => Ok(Secret::new(token)),
        None => Err(Status::unauthenticated("agents show an access token")),
    }
}

/// What the fleet says, as gRPC has it; the code goes into the metadata `weir-code`.
pub(super) fn status<E: Failure + 'static>(error: &E) -> Status {
    let code = match (error.audience(), error.disposition(), error.code()) {
        (_, Disposition::ShuttingDown, _) => Code::Unavailable,
        (Whom::Caller, Disposition::RetryAfter(_), "state-unavailable") => Code::Unavailable,
        (Whom::Caller, Disposition::RetryAfter(_), _) => Code::ResourceExhausted,
        (Whom::Caller, _, "bad-csr") => Code::InvalidArgument,
        (
            Whom::Caller,
            _,
            "bad-token"
            | "token-expired"
            | "certificate-expired"
            | "certificate-superseded"
            | "distrusted-certificate"
            | "malformed-certificate"
            | "no-certificate",
        ) => Code::Unauthenticated,
        (Whom::Caller, _, _) => Code::PermissionDenied,
        (Whom::Ours | Whom::Dependency, _, _) => {
            tracing::error!(code = error.code(), error = %chain(error), "an agent could not be served");
            Code::Unavailable
        }
    };
    let message = match error.audience() {
        Whom::Caller => chain(error).to_string(),
        Whom::Ours | Whom::Dependency => error.to_string(),
    };
    let mut status = Status::new(code, message);
    if let Ok(word) = error.code().parse() {
        status.metadata_mut().insert("weir-code", word);
    }
    status
}
