//! The document of the instance.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weir_auth::InstanceId;
use zeroize::Zeroizing;

use super::encoding::{decode_bytes, encode_bytes};
use super::{moment, optional_moment, text};
use crate::names::OperatorName;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instance {
    #[serde(with = "text")]
    pub(crate) id: InstanceId,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    /// Grows with every change of the set of roots.
    pub(crate) bundle: u64,
    /// One, or the present and the next one.
    pub(crate) roots: Vec<Root>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotation: Option<Rotation>,
    /// The newest last.
    pub(crate) signing: Vec<SigningKey>,
    /// With which payloads are opened.
    pub(crate) seal: KeyBytes,
}

/// A root with the authority below it that issues.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    /// The first bundle that it is in: no other root of the instance has or had it.
    pub(crate) number: u64,
    pub(crate) certificate: Der,
    pub(crate) key: KeyBytes,
    pub(crate) intermediate: Intermediate,
    /// Certificates of those before it, as long as one that they issued can be good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former: Vec<Der>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Intermediate {
    pub(crate) certificate: Der,
    pub(crate) key: KeyBytes,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    #[serde(with = "moment")]
    pub(crate) not_after: SystemTime,
}

/// The change from the first of two roots to the second.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    #[serde(with = "moment")]
    pub(crate) begun: SystemTime,
    #[serde(with = "text")]
    pub(crate) begun_by: OperatorName,
    /// From then on certificates of agents are issued below the second.
    #[serde(with = "optional_moment", default, skip_serializing_if = "Option::is_none")]
    pub(crate) switched: Option<SystemTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SigningKey {
    pub(crate) key: KeyBytes,
    #[serde(with = "moment")]
    pub(crate) made: SystemTime,
    /// From then on tokens are signed with it.
    #[serde(with = "moment")]
    pub(crate) used_from: SystemTime,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Der(pub(crate) Vec<u8>);

/// A private key: not shown, and wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct KeyBytes(pub(crate) Zeroizing<Vec<u8>>);

impl KeyBytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl Instance {
    /// The root below which certificates of agents are issued.
    pub(crate) fn issuing(&self) -> usize {
        usize::from(self.rotation.as_ref().is_some_and(|rotation| rotation.switched.is_some()))
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for KeyBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encode_bytes(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Zeroizing::new(decode_bytes(deserializer)?)))
    }
}

impl Serialize for Der {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encode_bytes(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(decode_bytes(deserializer)?))
    }
}
