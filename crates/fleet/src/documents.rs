//! What is written into the state: JSON, one document each.
//!
//! | kind | name | |
//! |---|---|---|
//! | `instance` | `instance` | the keys of the instance |
//! | `operator` | its name | [`Operator`] |
//! | `app` | its name | [`App`] |
//! | `access-key` | its id | [`AccessKey`] |
//! | `agent` | its name | [`Agent`] |
//! | `joined` | id of the access key, `.`, pin of the public key | [`Joined`]: who joined with it |
//! | `configuration` | its revision, 20 digits | [`Configuration`] |
//! | `assignment` | SHA-256 of its selector, hexadecimal | [`Assignment`] |
//! | `counter` | `configuration` | [`Counter`]: the last revision |
//! | `report` | the name of an agent | [`Report`](crate::reports) |
//! | `log-request` | random | [`LogRequestDocument`](crate::logs): who wants what of an agent's log |
//!
//! Times are microseconds since 1970, binary values are base64. A field that is not known makes a document unreadable,
//! so that a newer weir's is not written back without it; but for what agents say, which they say again.

mod encoding;
mod instance;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_auth::AgentName;
use weir_auth::access_key::KeyId;
use weir_auth::pki::{Pin, Thumbprint};
use weir_auth::secret::SecretHash;
use weir_model::{AppName, IndexPrefix};
use weir_state::{Entry, Expect, Key, Kind, Write};

use crate::configurations::ConfigurationHash;
use crate::failure::Damaged;
use crate::labels::{Labels, Selector};
use crate::names::{OperatorName, Title};

pub(crate) use encoding::{moment, optional_moment, optional_text, text, texts};
pub(crate) use instance::{Der, Instance, Intermediate, KeyBytes, Root, Rotation, SigningKey};

pub(crate) trait Document: Serialize + DeserializeOwned {
    const KIND: Kind;
}

/// A document with the version at which it was read.
#[derive(Debug, Clone)]
pub(crate) struct Versioned<D> {
    pub(crate) version: u64,
    pub(crate) document: D,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    #[serde(with = "text")]
    pub(crate) hash: SecretHash,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    #[serde(with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub(crate) made_by: Option<OperatorName>,
    #[serde(with = "optional_moment", default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<SystemTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    /// The newest last; at most two.
    #[serde(with = "texts")]
    pub(crate) secrets: Vec<SecretHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_tps: Option<NonZeroU32>,
    #[serde(with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub(crate) index_prefix: Option<IndexPrefix>,
    pub(crate) enabled: bool,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    #[serde(with = "text")]
    pub(crate) made_by: OperatorName,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessKey {
    #[serde(with = "text")]
    pub(crate) title: Title,
    #[serde(with = "text")]
    pub(crate) hash: SecretHash,
    #[serde(with = "texts")]
    pub(crate) apps: Vec<AppName>,
    #[serde(with = "text")]
    pub(crate) labels: Labels,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    #[serde(with = "text")]
    pub(crate) made_by: OperatorName,
    #[serde(with = "optional_moment", default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<SystemTime>,
    /// Absent if there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uses: Option<u32>,
    pub(crate) used: u32,
    #[serde(with = "optional_moment", default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<SystemTime>,
    #[serde(with = "optional_moment", default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<SystemTime>,
    /// Whether its agents seal payloads.
    pub(crate) seal: bool,
    /// The numbers of the roots whose pins are in it.
    pub(crate) roots: Vec<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    #[serde(with = "texts")]
    pub(crate) apps: Vec<AppName>,
    #[serde(with = "text")]
    pub(crate) labels: Labels,
    #[serde(with = "text")]
    pub(crate) access_key: KeyId,
    pub(crate) seal: bool,
    /// This life of the name began then.
    #[serde(with = "moment")]
    pub(crate) joined: SystemTime,
    /// The public key that it joined with.
    #[serde(with = "text")]
    pub(crate) first_pin: Pin,
    /// Of the newest certificate; the first has 1.
    pub(crate) generation: u64,
    /// Those of this life of the name that may still be shown, the newest last.
    pub(crate) certificates: Vec<IssuedCertificate>,
    /// Number of the newest bundle of roots that was given to it.
    pub(crate) bundle: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<Revoked>,
    /// It is not listed any more, and whoever joins may have its name.
    pub(crate) forgotten: bool,
}

/// A certificate that an agent was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuedCertificate {
    pub(crate) generation: u64,
    #[serde(with = "text")]
    pub(crate) pin: Pin,
    #[serde(with = "text")]
    pub(crate) thumbprint: Thumbprint,
    pub(crate) serial: String,
    #[serde(with = "moment")]
    pub(crate) issued: SystemTime,
    #[serde(with = "moment")]
    pub(crate) not_after: SystemTime,
    /// Number of the root at the end of its chain.
    pub(crate) root: u64,
}

/// When and why an agent is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    #[serde(with = "moment")]
    pub at: SystemTime,
    pub reason: RevocationReason,
}

/// Why an agent is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RevocationReason {
    /// Two had its key: which of them is the right one is not known.
    Cloned {
        /// What showed it.
        how: String,
    },
    /// An operator said so.
    Operator {
        #[serde(with = "text")]
        by: OperatorName,
        note: String,
    },
    /// With the access key that it joined with.
    AccessKey {
        #[serde(with = "text")]
        by: OperatorName,
    },
    /// An operator forgot it.
    Forgotten {
        #[serde(with = "text")]
        by: OperatorName,
    },
}

impl RevocationReason {
    /// The operator who decided it.
    #[must_use]
    pub fn by(&self) -> Option<&OperatorName> {
        match self {
            Self::Cloned { .. } => None,
            Self::Operator { by, .. } | Self::AccessKey { by } | Self::Forgotten { by } => Some(by),
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cloned { how } => write!(f, "two had its key, and both are out: {how}"),
            Self::Operator { by, note } if note.is_empty() => write!(f, "revoked by `{by}`"),
            Self::Operator { by, note } => write!(f, "revoked by `{by}`: {note}"),
            Self::AccessKey { by } => {
                write!(f, "revoked by `{by}`, with the access key that it joined with")
            }
            Self::Forgotten { by } => write!(f, "forgotten by `{by}`"),
        }
    }
}

/// Who joined with an access key and a public key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joined {
    #[serde(with = "text")]
    pub(crate) agent: AgentName,
    /// Tells this life of the name from others.
    #[serde(with = "moment")]
    pub(crate) joined: SystemTime,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    #[serde(with = "text")]
    pub(crate) selector: Selector,
    #[serde(with = "text")]
    pub(crate) hash: ConfigurationHash,
    #[serde(with = "text")]
    pub(crate) text: Arc<str>,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    #[serde(with = "text")]
    pub(crate) made_by: OperatorName,
    pub(crate) note: String,
    /// The revision that it brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restores: Option<u64>,
}

/// Which configuration the agents of a selector have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    #[serde(with = "text")]
    pub(crate) selector: Selector,
    /// Revisions, the newest and present one last.
    pub(crate) revisions: Vec<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counter {
    pub(crate) last: u64,
}

macro_rules! documents {
    ($($document:ident $kind:ident $name:literal,)*) => {$(
        pub(crate) const $kind: Kind = Kind::new($name);
        impl Document for $document {
            const KIND: Kind = $kind;
        }
    )*};
}
pub(crate) const LOG_REQUEST: Kind = Kind::new("log-request");

documents! {
    Instance INSTANCE "instance",
    Operator OPERATOR "operator",
    App APP "app",
    AccessKey ACCESS_KEY "access-key",
    Agent AGENT "agent",
    Joined JOINED "joined",
    Configuration CONFIGURATION "configuration",
    Assignment ASSIGNMENT "assignment",
    Counter COUNTER "counter",
}

pub(crate) fn encode<D: Document>(document: &D) -> Vec<u8> {
    serde_json::to_vec(document).expect("texts and numbers have a JSON form")
}

/// What is wrong is told without what stands there, which may be a secret.
pub(crate) fn decode<D: Document>(name: &str, value: &[u8]) -> Result<D, Damaged> {
    serde_json::from_slice(value).map_err(|error| Damaged {
        key: D::KIND.key(name),
        line: error.line(),
        column: error.column(),
    })
}

impl<D: Document> Versioned<D> {
    pub(crate) fn of(entry: &Entry) -> Result<Self, Damaged> {
        Ok(Self { version: entry.version, document: decode(&entry.name, &entry.value)? })
    }
}

pub(crate) fn key<D: Document>(name: impl Into<String>) -> Key {
    D::KIND.key(name)
}

/// A document that is not there yet.
pub(crate) fn create<D: Document>(name: impl Into<String>, document: &D) -> Write {
    key::<D>(name).put(Expect::Absent, encode(document))
}

/// A document in place of one that was read.
pub(crate) fn replace<D: Document>(name: impl Into<String>, version: u64, document: &D) -> Write {
    key::<D>(name).put(Expect::Version(version), encode(document))
}

/// Which document says who joined with this access key and public key.
pub(crate) fn joined_name(access_key: &KeyId, public_key: &Pin) -> String {
    format!("{access_key}.{public_key}")
}

impl Agent {
    pub(crate) fn certificate(&self) -> Option<&IssuedCertificate> {
        self.certificates.last()
    }
}

#[cfg(test)]
mod tests;
