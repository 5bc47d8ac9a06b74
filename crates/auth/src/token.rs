//! Access tokens: JSON Web Tokens (RFC 7519) signed by Ed25519 (RFC 8037), for the holder of a certificate (RFC 8705).
//!
//! ```json
//! {"typ": "at+jwt", "alg": "EdDSA", "kid": "<thumbprint of the key, RFC 7638>"}
//! {"iss": "spiffe://<instance>", "sub": "<agent>", "app": "<app>", "aud": ["weir:ingest"],
//!  "cnf": {"x5t#S256": "<thumbprint of the certificate>"}, "iat": 1700000000, "exp": 1700000600, "jti": "<id>"}
//! ```
//!
//! A header has these three fields and no other, and `EdDSA` is the only algorithm: nothing of a header decides more
//! than which of the known keys is tried.

mod body;
mod key;
mod provider;
mod verifier;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use weir_model::AppName;

use crate::identity::{AgentName, InstanceId};
use crate::pki::Thumbprint;
use crate::{random, text};

pub use self::key::{SigningKey, UnusableKey, VerifyingKey};
pub use self::verifier::Verifier;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// To send events: `weir:ingest`.
    Ingest,
    /// To be told configurations, and to report: `weir:control`.
    Control,
}

/// What a token says. Times are to the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The instance that issued it.
    pub issuer: InstanceId,
    /// The agent that it was issued to.
    pub agent: AgentName,
    /// The app in whose name the agent sends.
    pub app: AppName,
    pub audiences: Vec<Audience>,
    /// The certificate of the agent: only who holds its key may use the token.
    pub certificate: Thumbprint,
    pub issued: SystemTime,
    /// The first second at which it is no longer good.
    pub expires: SystemTime,
    pub id: TokenId,
}

/// Tells a token from all others: as text 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 16]);

/// A text that is no [`TokenId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a token has 32 hexadecimal digits")]
pub struct IllegalId;

/// What a token has to be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    pub issuer: InstanceId,
    pub audience: Audience,
    /// The certificate that was shown at the connection. Absent where TLS ended before: then whoever has the token may
    /// use it.
    pub certificate: Option<Thumbprint>,
    /// By how much the clocks of this side and of the issuer may differ.
    pub leeway: Duration,
}

/// A token that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no access token of weir")]
    Malformed,
    #[error("access tokens are signed by `EdDSA`, not by `{name}`", name = .0.escape_default())]
    WrongAlgorithm(String),
    #[error("the key that signed the access token is not known")]
    UnknownKey,
    #[error("the signature of the access token is wrong")]
    BadSignature,
    #[error("the access token expired {ago:?} ago")]
    Expired { ago: Duration },
    #[error("the access token is of a time {ahead:?} from now")]
    NotYet { ahead: Duration },
    #[error("the access token is for another purpose")]
    WrongAudience,
    #[error("the access token is of another instance")]
    WrongIssuer,
    #[error("the access token is for the holder of another certificate")]
    WrongCertificate,
}

impl Audience {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "weir:ingest",
            Self::Control => "weir:control",
        }
    }
}

impl TokenId {
    #[must_use]
    pub fn random() -> Self {
        Self(*random::bytes())
    }
}

impl FromStr for TokenId {
    type Err = IllegalId;

    fn from_str(text: &str) -> Result<Self, IllegalId> {
        text::from_hex(text).map(Self).ok_or(IllegalId)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

#[cfg(test)]
mod tests;
