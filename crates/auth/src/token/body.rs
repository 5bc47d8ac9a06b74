//! The JSON of a token.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use weir_model::AppName;

use super::{Audience, Claims};
use crate::identity::{AgentName, Subject};

/// The whole header.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: Option<String>,
    pub(super) kid: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Body {
    iss: String,
    sub: String,
    app: String,
    aud: Vec<String>,
    cnf: Confirmation,
    iat: u64,
    exp: u64,
    jti: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate: String,
}

impl From<&Claims> for Body {
    fn from(claims: &Claims) -> Self {
        Self {
            iss: Subject::Authority(claims.issuer.clone()).to_string(),
            sub: claims.agent.to_string(),
            app: claims.app.to_string(),
            aud: claims.audiences.iter().map(|audience| audience.as_str().to_owned()).collect(),
            cnf: Confirmation { certificate: claims.certificate.to_string() },
            iat: seconds(claims.issued),
            exp: seconds(claims.expires),
            jti: claims.id.to_string(),
        }
    }
}

impl Body {
    /// None if a value is none of its kind. An audience that is not known here is left out.
    pub(super) fn claims(self) -> Option<Claims> {
        let Subject::Authority(issuer) = self.iss.parse().ok()? else { return None };
        let known = [Audience::Ingest, Audience::Control];
        Some(Claims {
            issuer,
            agent: AgentName::new(&self.sub).ok()?,
            app: AppName::new(&self.app).ok()?,
            audiences: known
                .into_iter()
                .filter(|known| self.aud.iter().any(|aud| aud == known.as_str()))
                .collect(),
            certificate: self.cnf.certificate.parse().ok()?,
            issued: time(self.iat)?,
            expires: time(self.exp)?,
            id: self.jti.parse().ok()?,
        })
    }
}

/// Before 1970 there are no tokens.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn time(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
