//! Who is at the other end of a stream, and what he may send.

use std::time::SystemTime;

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use weir_auth::AgentName;
use weir_auth::pki::Thumbprint;
use weir_auth::seal::{Opener, SealPublic, ServerRandom};
use weir_auth::token::Audience;
use weir_fleet::{Admitted, AgentState, Fleet};
use weir_foundation::failure::{Failure as _, chain};
use weir_foundation::http::Peer;
use weir_foundation::settings::Secret;
use weir_model::SourceId;
use weir_wire::proto::ingest::{Batch, Hello};
use xxhash_rust::xxh3::Xxh3;

use super::AgentsFrom;
use crate::apps::{AppRefused, Apps, Known};
use crate::codes;

/// The longest name of an agent, in bytes.
const NAME: usize = 200;

/// Who sends.
#[derive(Debug)]
pub(super) enum Visitor {
    /// Somebody on this machine, who may send as any client there.
    Local {
        name: String,
    },
    Agent(Box<Pass>),
}

/// An agent with a token.
#[derive(Debug)]
pub(super) struct Pass {
    fleet: Fleet,
    agent: AgentName,
    apps: Vec<String>,
    certificate: Thumbprint,
    expires: SystemTime,
    seals: bool,
    opener: Option<Opener>,
}

/// Whose place it is and whose sources they are. What an agent is called without a token is another name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Local(String),
    Agent(String),
}

/// A stream that has begun, before its Hello.
#[derive(Debug)]
pub(super) enum Caller {
    Local,
    Agent(Box<Pass>),
}

impl Caller {
    /// By the certificate and the token that are shown.
    pub(super) fn identify(from: &AgentsFrom, peer: &Peer, metadata: &MetadataMap) -> Result<Self, Status> {
        if let Some(nobody) = &peer.refused {
            return Err(refused(Code::Unauthenticated, nobody.code(), &chain(nobody).to_string()));
        }
        let Some(certificate) = peer.certificate.as_deref() else {
            return match from {
                AgentsFrom { local: true, .. } => Ok(Self::Local),
                AgentsFrom { local: false, .. } => Err(refused(
                    Code::Unauthenticated,
                    codes::NO_CERTIFICATE,
                    "agents show a certificate here",
                )),
            };
        };
        let Some(fleet) = &from.fleet else {
            return Err(refused(Code::Unauthenticated, codes::NO_CERTIFICATE, "nobody is known here"));
        };
        let token = bearer(metadata)?;
        Ok(Self::Agent(Box::new(Pass::new(fleet, Thumbprint::of(certificate), &token)?)))
    }

    /// The agent, if it is one of the instance.
    pub(super) fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Local => None,
            Self::Agent(pass) => Some(&pass.agent),
        }
    }

    /// The visitor that says so, and what he needs to know to seal.
    pub(super) fn greets(self, hello: &Hello) -> Result<(Visitor, Option<ServerRandom>), Status> {
        let Hello { agent, seal_public, .. } = hello;
        match self {
            Self::Local => {
                let is_legal = !agent.is_empty() && agent.len() <= NAME && !agent.contains(char::is_control);
                if !is_legal {
                    let message = format!("the name of an agent has 1 to {NAME} bytes");
                    return Err(Status::invalid_argument(message));
                }
                Ok((Visitor::Local { name: agent.clone() }, None))
            }
            Self::Agent(pass) if pass.agent.as_str() != agent => {
                Err(refused(Code::PermissionDenied, codes::OTHER_AGENT, "the token is that of another agent"))
            }
            Self::Agent(mut pass) => {
                let random = pass.agree(seal_public)?;
                Ok((Visitor::Agent(pass), random))
            }
        }
    }
}

impl Visitor {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Local { name } => name,
            Self::Agent(pass) => pass.agent.as_str(),
        }
    }

    pub(super) fn whose(&self) -> Whose {
        match self {
            Self::Local { name } => Whose::Local(name.clone()),
            Self::Agent(pass) => Whose::Agent(pass.agent.to_string()),
        }
    }

    /// What the instance says about the app, in whose name he may send.
    pub(super) fn may_send(&self, apps: &Apps, app: &str) -> Result<Known, AppRefused> {
        match self {
            Self::Local { .. } => apps.of_client(app, None),
            Self::Agent(pass) if !pass.apps.iter().any(|own| own == app) => {
                Err(AppRefused::Foreign { agent: pass.agent.to_string(), app: app.to_owned() })
            }
            Self::Agent(_) => apps.of_agent(app),
        }
    }

    /// Takes another token.
    pub(super) fn renew(&mut self, token: &str) -> Result<(), Status> {
        match self {
            Self::Local { .. } => Ok(()),
            Self::Agent(pass) => {
                let next = Pass::new(&pass.fleet, pass.certificate, &Secret::new(token))?;
                if next.agent != pass.agent {
                    let message = "the token is that of another agent";
                    return Err(refused(Code::PermissionDenied, codes::OTHER_AGENT, message));
                }
                (pass.apps, pass.expires) = (next.apps, next.expires);
                Ok(())
            }
        }
    }

    /// When the token ends; never for who needs none.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        match self {
            Self::Local { .. } => None,
            Self::Agent(pass) => Some(pass.expires),
        }
    }

    /// Fails once the agent is none of the instance any more.
    pub(super) fn check(&self) -> Result<(), Status> {
        match self {
            Self::Local { .. } => Ok(()),
            Self::Agent(pass) => pass.check(),
        }
    }

    /// Opens what is sealed. Fails, and ends the stream with it, for what was changed on its way or comes again.
    pub(super) fn open(&mut self, batch: &mut Batch) -> Result<(), Status> {
        let Self::Agent(pass) = self else { return Ok(()) };
        let Pass { agent, opener: Some(opener), .. } = &mut **pass else { return Ok(()) };
        if batch.payload.is_empty() && batch.events == 0 {
            return Ok(());
        }
        let bound = weir_wire::sealing::bound(agent.as_str(), batch);
        let opened = opener.open(batch.sequence, &bound, &batch.payload);
        batch.payload = opened
            .map_err(|error| {
                refused(Code::InvalidArgument, codes::BAD_SEAL, &format!("batch {}: {error}", batch.sequence))
            })?
            .into();
        Ok(())
    }
}

impl Pass {
    fn new(fleet: &Fleet, certificate: Thumbprint, token: &Secret) -> Result<Self, Status> {
        let admitted = fleet.admit(token, Audience::Ingest, Some(certificate)).map_err(|error| {
            let code = match error.code() {
                "agent-revoked" | "clone-detected" => Code::PermissionDenied,
                _ => Code::Unauthenticated,
            };
            refused(code, error.code(), &error.to_string())
        })?;
        let Admitted { agent, expires } = admitted;
        Ok(Self {
            fleet: fleet.clone(),
            apps: agent.apps.iter().map(ToString::to_string).collect(),
            agent: agent.name,
            certificate,
            expires,
            seals: agent.seal,
            opener: None,
        })
    }

    fn agree(&mut self, public: &[u8]) -> Result<Option<ServerRandom>, Status> {
        if !self.seals {
            return Ok(None);
        }
        let refused = |message: &str| refused(Code::FailedPrecondition, codes::BAD_SEAL, message);
        let public =
            SealPublic::try_from(public).map_err(|_length| refused("this agent has to seal its payloads"))?;
        let random = ServerRandom::generate();
        let opener = self.fleet.opener(&public, &random, &self.agent);
        self.opener = Some(opener.map_err(|weak| refused(&weak.to_string()))?);
        Ok(Some(random))
    }

    fn check(&self) -> Result<(), Status> {
        match self.fleet.agent(&self.agent).map(|agent| agent.state) {
            Some(AgentState::Good) => Ok(()),
            Some(AgentState::Revoked(_)) => {
                Err(refused(Code::PermissionDenied, "agent-revoked", "the agent was revoked"))
            }
            None => Err(refused(Code::PermissionDenied, "unknown-agent", "the agent is not known any more")),
        }
    }
}

impl Whose {
    /// One speaks of his own sources only.
    pub(super) fn source(&self, source: &[u8]) -> SourceId {
        let mut scoped = Xxh3::new();
        match self {
            Self::Local(name) => scoped.update(name.as_bytes()),
            // No local name begins so.
            Self::Agent(name) => {
                scoped.update(&[0]);
                scoped.update(name.as_bytes());
            }
        }
        scoped.update(&[0]);
        scoped.update(source);
        SourceId(scoped.digest128())
    }
}

fn bearer(metadata: &MetadataMap) -> Result<Secret, Status> {
    let value = metadata.get("authorization").and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => Ok(Secret::new(token)),
        None => Err(refused(Code::Unauthenticated, codes::NO_TOKEN, "agents show an access token")),
    }
}

/// With the code in the metadata, for programs.
fn refused(code: Code, word: &str, message: &str) -> Status {
    let mut status = Status::new(code, message);
    if let Ok(word) = word.parse() {
        status.metadata_mut().insert("weir-code", word);
    }
    status
}
