//! From a node to an agent.

use std::time::SystemTime;

use tonic::{Request, Response, Status};
use weir_auth::access_key::KeyId;
use weir_auth::pki::Certificate;
use weir_fleet::{Membership, RecoverRequest as Recover};
use weir_foundation::settings::Secret;
use weir_wire::proto::control::enrolment_server::Enrolment;
use weir_wire::proto::control::{Credentials, EnrolRequest, EnrolResponse, RecoverRequest, RenewResponse};

use super::AgentParts;
use super::caller::status;
use crate::admission::Admission;

/// Requests that are worked on at a time: each takes a signature and a write to the state.
const RUNNING: usize = 4;

/// Those that wait. Whoever comes beyond them is told to come again.
const WAITING: usize = 256;

#[derive(Debug)]
pub(super) struct EnrolmentDoor {
    parts: AgentParts,
    places: Admission,
}

impl EnrolmentDoor {
    pub(super) fn new(parts: AgentParts) -> Self {
        Self { parts, places: Admission::new(RUNNING, WAITING) }
    }
}

#[tonic::async_trait]
impl Enrolment for EnrolmentDoor {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let _place = self.places.enter().await.map_err(|_crowded| crowded())?;
        let EnrolRequest { key_id, secret, name, certificate_request, version } = request.into_inner();
        let secret = Secret::new(secret);
        // What can be no id is answered as one that is not known.
        let key = KeyId::new(&key_id).unwrap_or_else(|_illegal| KeyId::random());
        let request =
            weir_fleet::EnrolRequest { key: &key, secret: &secret, name: &name, csr: &certificate_request };
        let fleet = &self.parts.fleet;
        let member = fleet.enrol(request).await.map_err(|error| status(&error))?;
        tracing::info!(agent = %member.agent, key = %key, version, "a node is an agent now");
        Ok(Response::new(EnrolResponse {
            instance: fleet.instance().id.to_string(),
            agent: member.agent.to_string(),
            servers: self.parts.servers.to_vec(),
            apps: member.apps.iter().map(ToString::to_string).collect(),
            seal: member.seal.map_or_else(Vec::new, |key| key.as_bytes().to_vec()),
            credentials: Some(credentials(&member)),
        }))
    }

    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RenewResponse>, Status> {
        let _place = self.places.enter().await.map_err(|_crowded| crowded())?;
        let RecoverRequest { certificate, generation, certificate_request, signature } = request.into_inner();
        let certificate = Certificate::read(&certificate)
            .map_err(|error| Status::invalid_argument(format!("the certificate can not be read: {error}")))?;
        let request =
            Recover { lost: &certificate, generation, csr: &certificate_request, signature: &signature };
        let member = self.parts.fleet.recover(request).await.map_err(|error| status(&error))?;
        tracing::info!(agent = %member.agent, "an agent whose certificate had ended has a new one");
        Ok(Response::new(renewed(&member, &self.parts)))
    }
}

pub(super) fn renewed(member: &Membership, parts: &AgentParts) -> RenewResponse {
    RenewResponse { credentials: Some(credentials(member)), servers: parts.servers.to_vec() }
}

fn credentials(member: &Membership) -> Credentials {
    let ders = |certificates: &[Certificate]| certificates.iter().map(|der| der.der().to_vec()).collect();
    let not_after = member.chain.first().map(|own| own.not_after().duration_since(SystemTime::UNIX_EPOCH));
    Credentials {
        chain: ders(&member.chain),
        roots: ders(&member.roots),
        generation: member.generation,
        not_after: not_after.and_then(Result::ok).map_or(0, |since| since.as_secs()),
    }
}

fn crowded() -> Status {
    Status::resource_exhausted("too many nodes enrol at once; try again in a moment")
}
