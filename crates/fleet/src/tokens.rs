//! What agents show: their certificates, and the tokens that they are given for them.

use std::time::{Duration, SystemTime};

use weir_auth::AgentName;
use weir_auth::pki::{Certificate, Thumbprint};
use weir_auth::token::{Audience, Claims, Expectation, TokenError, TokenId};
use weir_foundation::failure::chain;
use weir_foundation::settings::Secret;
use weir_model::AppName;

use crate::agents::AgentView;
use crate::codes;
use crate::documents::{Agent, IssuedCertificate, RevocationReason};
use crate::failure::{Nature, failures};
use crate::fleet::Fleet;

/// The certificate of an agent is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefused {
    #[error("there is no agent `{0}`")]
    UnknownAgent(AgentName),
    #[error("the certificate is not one of the agent that it names")]
    UnknownCertificate,
    #[error("the agent was revoked")]
    Revoked(RevocationReason),
    #[error("the certificate has expired")]
    Expired,
    #[error("the agent was given another certificate")]
    Superseded,
    /// It may be one that another process has just let in.
    #[error("the agent is not known here, and the state can not be read now")]
    Unsure,
}

/// An access token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    #[error("could not take the access token")]
    Token(#[from] TokenError),
    #[error("there is no agent `{0}`")]
    UnknownAgent(AgentName),
    /// Of another life of its name, for example.
    #[error("the access token is for a certificate that the agent does not have")]
    UnknownCertificate,
    #[error("the agent was revoked")]
    Revoked(RevocationReason),
    /// Nor is there another reason: agents keep their apps.
    #[error("the agent does not send in the name of app `{0}`")]
    UnknownApp(AppName),
}

impl CertificateRefused {
    fn nature(&self) -> Nature<'_> {
        Nature::Refused(match self {
            Self::UnknownAgent(_) => codes::UNKNOWN_AGENT,
            Self::UnknownCertificate => codes::UNKNOWN_CERTIFICATE,
            Self::Revoked(_) => codes::AGENT_REVOKED,
            Self::Expired => codes::CERTIFICATE_EXPIRED,
            Self::Superseded => codes::CERTIFICATE_SUPERSEDED,
            Self::Unsure => return Nature::RefusedFor(codes::STATE_UNAVAILABLE, UNSURE),
        })
    }
}

impl TokenRefused {
    fn nature(&self) -> Nature<'_> {
        Nature::Refused(match self {
            Self::Token(TokenError::Expired { .. } | TokenError::NotYet { .. }) => codes::TOKEN_EXPIRED,
            Self::Token(_) => codes::BAD_TOKEN,
            Self::UnknownAgent(_) => codes::UNKNOWN_AGENT,
            Self::UnknownCertificate => codes::UNKNOWN_CERTIFICATE,
            Self::Revoked(_) => codes::AGENT_REVOKED,
            Self::UnknownApp(_) => codes::UNKNOWN_APP,
        })
    }
}
failures!(CertificateRefused, TokenRefused);

/// How far the clocks of the processes that issue and take tokens may be apart.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

/// An agent with a token.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub agent: AgentView,
    /// When the token ends.
    pub expires: SystemTime,
}

impl Agent {
    /// Since when a later certificate than this one is there.
    fn superseded(&self, shown: &IssuedCertificate) -> Option<SystemTime> {
        let later = self.certificates.iter().filter(|later| later.generation > shown.generation);
        later.map(|later| later.issued).min()
    }
}

/// How long the state is not asked again for those who are not known, after it could not be read.
const UNSURE: Duration = Duration::from_secs(1);

/// How long a pass is good.
const PASS_LIFE: Duration = Duration::from_secs(120);

impl Fleet {
    /// By which another process of the instance knows one of it, for two minutes: it may send in the name of any app,
    /// for what was taken before is not judged again.
    #[must_use]
    pub fn pass(&self) -> Secret {
        self.snapshot().keys.passes.issue(self.now() + PASS_LIFE)
    }

    /// Whether a process of the instance shows it.
    #[must_use]
    pub fn is_pass(&self, shown: &str) -> bool {
        // Clocks may be apart.
        let now = self.now();
        let keys = &self.snapshot().keys;
        keys.passes.is_good(shown, now) || keys.passes.is_good(shown, now - LEEWAY)
    }

    /// Who showed this certificate at a connection whose TLS found it good, if he is welcome. Reads the state if he is
    /// not known here yet.
    pub async fn check_certificate(&self, shown: &Certificate) -> Result<AgentView, CertificateRefused> {
        match self.certified(shown) {
            Err(CertificateRefused::UnknownAgent(_) | CertificateRefused::UnknownCertificate) => {
                // He may have been given it by another process a moment ago.
                if !self.look_again().await {
                    return Err(CertificateRefused::Unsure);
                }
                self.certified(shown)
            }
            known => known,
        }
    }

    /// Reads the state for somebody who is not known here; whether it could be read. Many may come at once, and the state
    /// may take long to say that it does not answer.
    async fn look_again(&self) -> bool {
        let mut failed = self.failed_look().lock().await;
        let is_recent = |at: SystemTime| self.now().duration_since(at).is_ok_and(|ago| ago < UNSURE);
        if failed.is_some_and(is_recent) {
            return false;
        }
        let looked = self.refresh().await;
        if let Err(error) = &looked {
            tracing::warn!(error = %chain(error), "an agent is not known here, and the state can not be read");
        }
        *failed = looked.is_err().then(|| self.now());
        looked.is_ok()
    }

    fn certified(&self, shown: &Certificate) -> Result<AgentView, CertificateRefused> {
        let (snapshot, now) = (self.snapshot(), self.now());
        let name = self.name_of(shown).ok_or(CertificateRefused::UnknownCertificate)?;
        let unknown = || CertificateRefused::UnknownAgent(name.clone());
        let agent = snapshot.tables.agents.get(&name).ok_or_else(unknown)?;
        let noted = agent.issued(shown.thumbprint()).ok_or(CertificateRefused::UnknownCertificate)?;
        if let Some(revoked) = &agent.revoked {
            return Err(CertificateRefused::Revoked(revoked.reason.clone()));
        }
        if noted.not_after < now {
            return Err(CertificateRefused::Expired);
        }
        let overlap = self.settings().overlap;
        let superseded = agent.superseded(noted);
        if superseded.is_some_and(|since| now.duration_since(since).is_ok_and(|ago| ago > overlap)) {
            return Err(CertificateRefused::Superseded);
        }
        self.reports().saw(&name, agent.joined, noted.generation, now);
        Ok(self.view(&name, agent))
    }

    /// An access token for who showed this certificate, good for a few minutes, for this certificate only, and for
    /// everything that an agent does.
    pub async fn token(&self, shown: &Certificate) -> Result<(Secret, SystemTime), CertificateRefused> {
        let agent = self.check_certificate(shown).await?;
        // Nobody joins without an app.
        let nobody = || CertificateRefused::UnknownAgent(agent.name.clone());
        let app = agent.apps.first().cloned().ok_or_else(nobody)?;
        let (keys, now) = (self.snapshot().keys.clone(), self.now());
        let expires = now.checked_add(self.settings().token_life).unwrap_or(now);
        let claims = Claims {
            issuer: keys.instance().clone(),
            agent: agent.name,
            app,
            audiences: vec![Audience::Ingest, Audience::Control],
            certificate: shown.thumbprint(),
            issued: now,
            expires,
            id: TokenId::random(),
        };
        Ok((keys.signing(now).sign(&claims), expires))
    }

    /// The agent whose access token it is, with all of its apps, whether these may send or not; and when the token ends.
    /// `shown` is the certificate of the connection, absent where TLS ended before. Needs no I/O.
    pub fn admit(
        &self,
        token: &Secret,
        audience: Audience,
        shown: Option<Thumbprint>,
    ) -> Result<Admitted, TokenRefused> {
        let (snapshot, now) = (self.snapshot(), self.now());
        let issuer = snapshot.keys.instance().clone();
        let expectation = Expectation { issuer, audience, certificate: shown, leeway: LEEWAY };
        let claims = snapshot.keys.verifier.verify(token.reveal(), &expectation, now)?;
        let unknown = || TokenRefused::UnknownAgent(claims.agent.clone());
        let agent = snapshot.tables.agents.get(&claims.agent).ok_or_else(unknown)?;
        if let Some(revoked) = &agent.revoked {
            return Err(TokenRefused::Revoked(revoked.reason.clone()));
        }
        let noted = agent.issued(claims.certificate).ok_or(TokenRefused::UnknownCertificate)?;
        if !agent.apps.contains(&claims.app) {
            return Err(TokenRefused::UnknownApp(claims.app));
        }
        self.reports().saw(&claims.agent, agent.joined, noted.generation, now);
        Ok(Admitted { agent: self.view(&claims.agent, agent), expires: claims.expires })
    }
}
