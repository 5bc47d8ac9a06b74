//! Agents: who they are, and how they are sent away.

use std::time::SystemTime;

use weir_auth::AgentName;
use weir_auth::access_key::KeyId;
use weir_auth::pki::{Pin, Thumbprint};
use weir_model::AppName;
use weir_state::{Expect, Write};

use crate::codes;
use crate::documents::{
    Agent, IssuedCertificate, Joined, RevocationReason, Revoked, joined_name, key, replace,
};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::labels::{Labels, Marked};
use crate::names::OperatorName;
use crate::reports::{ReportDocument, ReportView};

#[derive(Debug, Clone)]
pub struct AgentView {
    pub name: AgentName,
    pub state: AgentState,
    /// It sends in the name of the first if it does not say in whose.
    pub apps: Vec<AppName>,
    pub labels: Labels,
    /// Whether it seals payloads.
    pub seal: bool,
    /// With which it joined.
    pub access_key: KeyId,
    pub joined: SystemTime,
    /// Of its newest certificate.
    pub generation: u64,
    pub certificate: Option<CertificateView>,
    /// What it last said; absent if it was never seen.
    pub report: Option<ReportView>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentState {
    Good,
    Revoked(Revoked),
}

/// The newest certificate of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    pub serial: String,
    pub thumbprint: Thumbprint,
    pub pin: Pin,
    pub issued: SystemTime,
    pub not_after: SystemTime,
}

#[derive(Debug, thiserror::Error)]
pub enum RevokeAgentError {
    #[error("there is no agent `{0}`")]
    Unknown(AgentName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error("there is no agent `{0}`")]
    Unknown(AgentName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RevokeAgentError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_AGENT),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl ForgetError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_AGENT),
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(RevokeAgentError, ForgetError);
store_failures!(RevokeAgentError, ForgetError);

/// Longest note of a revocation, in bytes.
const LONGEST_NOTE: usize = 500;

impl Agent {
    pub(crate) fn state(&self) -> AgentState {
        self.revoked.clone().map_or(AgentState::Good, AgentState::Revoked)
    }

    pub(crate) fn marked<'a>(&'a self, name: &'a AgentName) -> Marked<'a> {
        Marked { agent: name, apps: &self.apps, labels: &self.labels }
    }

    /// The last moment at which it can show a certificate.
    pub(crate) fn ends(&self) -> SystemTime {
        let ends = self.certificates.iter().map(|certificate| certificate.not_after).max();
        ends.unwrap_or(self.joined)
    }

    pub(crate) fn issued(&self, thumbprint: Thumbprint) -> Option<&IssuedCertificate> {
        self.certificates.iter().find(|certificate| certificate.thumbprint == thumbprint)
    }

    fn view(&self, name: &AgentName, report: Option<ReportView>) -> AgentView {
        AgentView {
            name: name.clone(),
            state: self.state(),
            apps: self.apps.clone(),
            labels: self.labels.clone(),
            seal: self.seal,
            access_key: self.access_key.clone(),
            joined: self.joined,
            generation: self.generation,
            certificate: self.certificate().map(|certificate| CertificateView {
                serial: certificate.serial.clone(),
                thumbprint: certificate.thumbprint,
                pin: certificate.pin,
                issued: certificate.issued,
                not_after: certificate.not_after,
            }),
            report,
        }
    }
}

impl Fleet {
    /// Needs no I/O. Those that were forgotten are not there.
    #[must_use]
    pub fn agent(&self, name: &AgentName) -> Option<AgentView> {
        let snapshot = self.snapshot();
        let agent = snapshot.tables.agents.get(name).filter(|agent| !agent.forgotten)?;
        Some(self.view(name, agent))
    }

    /// All but those that were forgotten, by name.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentView> {
        let snapshot = self.snapshot();
        let agents = snapshot.tables.agents.iter().filter(|(_, agent)| !agent.forgotten);
        agents.map(|(name, agent)| self.view(name, agent)).collect()
    }

    pub(crate) fn view(&self, name: &AgentName, agent: &Agent) -> AgentView {
        agent.view(name, self.report_of(name, agent).map(|report| report.view(self.now())))
    }

    /// The agent is refused from now on, wherever it comes. One that is out already stays so for its first reason.
    pub async fn revoke_agent(
        &self,
        name: &AgentName,
        note: &str,
        by: &OperatorName,
    ) -> Result<(), RevokeAgentError> {
        let note = crate::reports::cut(note, LONGEST_NOTE);
        self.revoke(name, RevocationReason::Operator { by: by.clone(), note }).await
    }

    pub(crate) async fn revoke(
        &self,
        name: &AgentName,
        reason: RevocationReason,
    ) -> Result<(), RevokeAgentError> {
        let revoked = Revoked { at: self.now(), reason };
        let revoked = &revoked;
        let changed = self.change(|| async move {
            let found = self.find::<Agent>(name.as_str()).await?;
            let found = found.filter(|found| !found.document.forgotten);
            let mut found = found.ok_or_else(|| RevokeAgentError::Unknown(name.clone()))?;
            if found.document.revoked.is_some() {
                return Ok::<_, RevokeAgentError>(Decision::nothing(false));
            }
            found.document.revoked = Some(revoked.clone());
            let writes = vec![replace(name.as_str(), found.version, &found.document)];
            Ok(Decision { writes, outcome: true })
        });
        if changed.await? {
            let by = revoked.reason.by().map(ToString::to_string);
            tracing::warn!(agent = %name, by, reason = %revoked.reason, "revoked an agent");
        }
        Ok(())
    }

    /// The agent is out and not listed any more, and whoever joins may have its name.
    pub async fn forget_agent(&self, name: &AgentName, by: &OperatorName) -> Result<(), ForgetError> {
        let now = self.now();
        self.change(|| async move {
            let found = self.find::<Agent>(name.as_str()).await?;
            let found = found.filter(|found| !found.document.forgotten);
            let mut found = found.ok_or_else(|| ForgetError::Unknown(name.clone()))?;
            // Its certificates are good for a while, and must not be taken for those of another life.
            found.document.forgotten = true;
            let reason = RevocationReason::Forgotten { by: by.clone() };
            found.document.revoked.get_or_insert(Revoked { at: now, reason });
            let writes = vec![
                replace(name.as_str(), found.version, &found.document),
                key::<ReportDocument>(name.as_str()).delete(Expect::Any),
            ];
            Ok::<_, ForgetError>(Decision { writes, outcome: () })
        })
        .await?;
        self.reports().forget(name);
        tracing::info!(agent = %name, %by, "forgot an agent");
        Ok(())
    }

    /// Removes everything that is known of an agent, if it is still as `because` wants it.
    pub(crate) async fn remove_agent(
        &self,
        name: &AgentName,
        because: impl Fn(&Agent) -> bool + Sync,
    ) -> Result<(), StoreError> {
        let because = &because;
        self.change(|| async move {
            let found = self.find::<Agent>(name.as_str()).await?;
            let Some(found) = found.filter(|found| because(&found.document)) else {
                return Ok(Decision::nothing(()));
            };
            let writes = vec![
                key::<Agent>(name.as_str()).delete(Expect::Version(found.version)),
                key::<ReportDocument>(name.as_str()).delete(Expect::Any),
                forget_joined(&found.document),
            ];
            Ok::<_, StoreError>(Decision { writes, outcome: () })
        })
        .await?;
        self.reports().forget(name);
        Ok(())
    }
}

/// Nobody joined with its first public key any more.
fn forget_joined(agent: &Agent) -> Write {
    key::<Joined>(joined_name(&agent.access_key, &agent.first_pin)).delete(Expect::Any)
}
