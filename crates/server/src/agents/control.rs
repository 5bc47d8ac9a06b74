//! What agents call.

use std::fmt;
use std::time::SystemTime;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weir_auth::AgentName;
use weir_foundation::crowd::Crowd;
use weir_wire::proto::control::control_server::Control;
use weir_wire::proto::control::{
    Instruction, RenewRequest, RenewResponse, Report, TokenRequest, TokenResponse,
};

use super::AgentParts;
use super::caller::{Caller, certificate, status};
use super::enrolment::renewed;
use super::session::Session;

pub(super) struct ControlDoor {
    parts: AgentParts,
    crowd: Crowd<AgentName>,
}

/// Streams of one agent that are open at once: others than the last are of connections that broke without this side being
/// told.
const STREAMS: usize = 8;

impl ControlDoor {
    pub(super) fn new(parts: AgentParts) -> Self {
        Self { parts, crowd: Crowd::new(STREAMS) }
    }
}

#[tonic::async_trait]
impl Control for ControlDoor {
    type AttendStream = ReceiverStream<Result<Instruction, Status>>;

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let caller = Caller::of(&self.parts.fleet, &request)?;
        let RenewRequest { certificate_request, generation } = request.into_inner();
        let request =
            weir_fleet::RenewRequest { shown: &caller.certificate, generation, csr: &certificate_request };
        let member = self.parts.fleet.renew(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(renewed(&member, &self.parts)))
    }

    async fn token(&self, request: Request<TokenRequest>) -> Result<Response<TokenResponse>, Status> {
        let shown = certificate(&request)?;
        let (token, expires) = self.parts.fleet.token(&shown).await.map_err(|error| status(&error))?;
        let now = self.parts.clock.now();
        let left = expires.duration_since(now).unwrap_or_default();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Response::new(TokenResponse {
            token: token.reveal().to_owned(),
            expires_in_millis: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            now_millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }))
    }

    async fn attend(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let caller = Caller::of(&self.parts.fleet, &request)?;
        let member = self.crowd.enter(caller.name().clone()).ok_or_else(|| {
            Status::resource_exhausted(format!("`{}` attends {STREAMS} times already", caller.name()))
        })?;
        let instructions = Session::start(&self.parts, caller, member, request.into_inner());
        Ok(Response::new(ReceiverStream::new(instructions)))
    }
}

impl fmt::Debug for ControlDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlDoor").finish_non_exhaustive()
    }
}
