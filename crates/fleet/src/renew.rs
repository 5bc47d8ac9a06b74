//! Renewal: from a certificate to the next one, and how copies of an agent are found out.

use std::time::{Duration, SystemTime};

use weir_auth::AgentName;
use weir_auth::pki::{BACK, Certificate, CheckedRequest, IssueError, Pin, RequestError};

use crate::authority::is_ahead;
use crate::codes;
use crate::documents::{Agent, IssuedCertificate, RevocationReason, Revoked, Versioned, replace};
use crate::enrol::{Membership, membership};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};

/// What an agent says that renews.
#[derive(Debug, Clone, Copy)]
pub struct RenewRequest<'a> {
    /// What it showed at the connection, and TLS found good.
    pub shown: &'a Certificate,
    /// That came with the certificate.
    pub generation: u64,
    /// For another public key than before. An agent keeps this key before it asks, and asks with the same again until
    /// it has an answer: who comes with another one is taken for a copy.
    pub csr: &'a [u8],
}

#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("the request for a certificate can not be used: {0}")]
    Request(#[from] RequestError),
    #[error("a renewal needs another public key")]
    SameKey,
    #[error("there is no agent `{0}`")]
    UnknownAgent(AgentName),
    #[error("the certificate is not one of the agent that it names")]
    UnknownCertificate,
    #[error("the certificate has expired")]
    Expired,
    #[error("the agent was revoked")]
    Revoked(RevocationReason),
    /// It is locked now.
    #[error("two have the key of the agent: {0}")]
    Cloned(&'static str),
    #[error("the agent has a new certificate already")]
    TooEarly { wait: Duration },
    #[error("could not issue a certificate")]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RenewError {
    pub(crate) fn nature(&self) -> Nature<'_> {
        match self {
            Self::Request(_) | Self::SameKey => Nature::Refused(codes::BAD_CSR),
            Self::UnknownAgent(_) => Nature::Refused(codes::UNKNOWN_AGENT),
            Self::UnknownCertificate => Nature::Refused(codes::UNKNOWN_CERTIFICATE),
            Self::Expired => Nature::Refused(codes::CERTIFICATE_EXPIRED),
            Self::Revoked(_) => Nature::Refused(codes::AGENT_REVOKED),
            Self::Cloned(_) => Nature::Refused(codes::CLONE_DETECTED),
            Self::TooEarly { wait } => Nature::RefusedFor(codes::TOO_EARLY, *wait),
            Self::Issue(_) => Nature::Broken,
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(RenewError);
store_failures!(RenewError);

/// What part of a certificate's life has to be over before the next.
const EARLIEST: u32 = 1000;

/// A certificate that was shown.
#[derive(Debug, Clone, Copy)]
struct Shown<'a> {
    /// As it is noted, if it is.
    noted: Option<&'a IssuedCertificate>,
    issued: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Next,
    /// The answer was lost.
    Again,
    SameKey,
    /// Of another life of the name.
    Foreign,
    Clone(&'static str),
}

/// What becomes of those who show a certificate that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Refused,
    Renewed,
}

/// As certificates name times.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// What to do about an agent that shows this, says that it is of this generation, and wants this public key.
fn judge(agent: &Agent, shown: Shown<'_>, said: u64, wanted: Pin) -> Verdict {
    let Some(noted) = shown.noted else {
        return if shown.issued >= whole_seconds(agent.joined) {
            Verdict::Clone("it showed a certificate that was followed by others long ago")
        } else {
            Verdict::Foreign
        };
    };
    let (own, current) = (noted.generation, agent.generation);
    if said != own {
        return Verdict::Clone("it said another generation than its certificate has");
    }
    let newest = agent.certificate().map(|newest| newest.pin);
    if own == current {
        let is_known = agent.certificates.iter().any(|certificate| certificate.pin == wanted);
        return if is_known { Verdict::SameKey } else { Verdict::Next };
    }
    if own + 1 == current && newest == Some(wanted) {
        return Verdict::Again;
    }
    Verdict::Clone("it renewed a certificate that another had renewed with another key")
}

impl Fleet {
    /// The next certificate for an agent. Where somebody else has its key too, it is locked.
    pub async fn renew(&self, request: RenewRequest<'_>) -> Result<Membership, RenewError> {
        self.renew_one(request, Ended::Refused).await
    }

    pub(crate) async fn renew_one(
        &self,
        request: RenewRequest<'_>,
        ended: Ended,
    ) -> Result<Membership, RenewError> {
        let csr = CheckedRequest::read(request.csr)?;
        let name = self.name_of(request.shown).ok_or(RenewError::UnknownCertificate)?;
        let outcome = self.change(|| self.decide_renewal(&request, &name, &csr, ended)).await?;
        match &outcome {
            Ok(membership) => {
                tracing::info!(agent = %name, generation = membership.generation, "an agent renewed its certificate");
            }
            Err(RenewError::Cloned(how)) => {
                tracing::error!(agent = %name, how, "two have the key of an agent: it is locked, both are out");
            }
            Err(_) => {}
        }
        outcome
    }

    /// The agent that a certificate of this instance is about.
    pub(crate) fn name_of(&self, shown: &Certificate) -> Option<AgentName> {
        let identity = shown.agent().ok()?;
        (&identity.instance == self.snapshot().keys.instance()).then(|| identity.agent.clone())
    }

    async fn decide_renewal(
        &self,
        request: &RenewRequest<'_>,
        name: &AgentName,
        csr: &CheckedRequest,
        ended: Ended,
    ) -> Result<Decision<Result<Membership, RenewError>>, RenewError> {
        let now = self.now();
        let agent = self.find::<Agent>(name.as_str()).await?;
        let mut agent = agent.ok_or_else(|| RenewError::UnknownAgent(name.clone()))?;
        let noted = agent.document.issued(request.shown.thumbprint());
        let issued = request.shown.not_before().checked_add(BACK).unwrap_or(now);
        let verdict = judge(&agent.document, Shown { noted, issued }, request.generation, csr.pin());
        if verdict == Verdict::Foreign {
            return Err(RenewError::UnknownCertificate);
        }
        if let Some(revoked) = agent.document.revoked {
            return Err(RenewError::Revoked(revoked.reason));
        }
        if ended == Ended::Refused && request.shown.not_after() < now {
            return Err(RenewError::Expired);
        }
        let generation = match verdict {
            Verdict::Next => {
                self.check_not_too_early(&agent, now)?;
                agent.document.generation + 1
            }
            Verdict::Again => agent.document.generation,
            Verdict::SameKey => return Err(RenewError::SameKey),
            Verdict::Foreign => return Err(RenewError::UnknownCertificate),
            Verdict::Clone(how) => return Ok(lock(name, agent, how, now)),
        };
        let keys = self.snapshot().keys.clone();
        let issued = keys.issue(name, generation, csr, now, self.settings().certificate_life)?;
        agent.document.take(&keys, issued.note.clone(), now);
        let writes = vec![replace(name.as_str(), agent.version, &agent.document), keys.unchanged()];
        Ok(Decision { writes, outcome: Ok(membership(name, &agent.document, &keys, issued)) })
    }

    fn check_not_too_early(&self, agent: &Versioned<Agent>, now: SystemTime) -> Result<(), RenewError> {
        let newest = agent.document.certificate().map(|newest| newest.issued);
        let newest = newest.filter(|issued| !is_ahead(*issued, now));
        let from = newest.and_then(|issued| issued.checked_add(self.settings().certificate_life / EARLIEST));
        match from.and_then(|from| from.duration_since(now).ok()) {
            Some(wait) if !wait.is_zero() => Err(RenewError::TooEarly { wait }),
            _ => Ok(()),
        }
    }
}

fn lock(
    name: &AgentName,
    mut agent: Versioned<Agent>,
    how: &'static str,
    now: SystemTime,
) -> Decision<Result<Membership, RenewError>> {
    agent.document.revoked =
        Some(Revoked { at: now, reason: RevocationReason::Cloned { how: how.to_owned() } });
    let writes = vec![replace(name.as_str(), agent.version, &agent.document)];
    Decision { writes, outcome: Err(RenewError::Cloned(how)) }
}

#[cfg(test)]
mod tests;
