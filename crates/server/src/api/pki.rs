use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::DurationText;

use super::time::Time;

/// The keys of the instance, without the keys themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pki {
    pub instance: String,
    pub made: Time,
    /// Those to trust. Servers' certificates are below the first.
    pub roots: Vec<RootCertificate>,
    /// When the authority ends that issues certificates of agents; it is renewed long before.
    pub issuing_until: Time,
    /// What signs access tokens, did, or will.
    pub signing_keys: Vec<SigningKey>,
    pub rotation: Rotation,
}

/// A root of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RootCertificate {
    /// `sha256:` and the SHA-256 of its public key, in hexadecimal; by this access keys know it.
    pub pin: String,
    pub expires: Time,
}

/// A key that signs access tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKey {
    pub id: String,
    pub made: Time,
    /// It is known before it signs.
    pub used_from: Time,
}

/// Where the change of the root is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rotation {
    pub stage: RotationStage,
    /// Since when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Agents that can go on without the old root.
    pub ready: u64,
    /// Agents that can not. Those that were revoked or not seen for a day do not count.
    pub missing: Vec<MissingAgent>,
    /// Ids of access keys that can be used and know the old root only.
    pub keys: Vec<String>,
}

/// The steps of the change of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotationStage {
    /// There is one root.
    Idle,
    /// Everybody is being given the new one.
    Begun,
    /// Agents are being given certificates below the new one.
    Switched,
}

/// An agent that would be cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingAgent {
    pub agent: String,
    pub reason: MissingReason,
    pub seen: Time,
}

/// Why an agent would be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReason {
    /// It was not given the new root.
    Root,
    /// Its certificate is below the old root.
    Certificate,
    /// It was given what it needs, and did not show that it got it.
    Unconfirmed,
}

/// How the change of the root is to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishRotation {
    /// Whoever is not ready has to join anew.
    #[serde(default)]
    pub force: bool,
}

/// What is to be a certificate that agents take for that of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertifyServer {
    /// A request for a certificate (PKCS#10) as PEM, of a key on the curve P-256. Nothing of it counts but the public key.
    pub csr: String,
    /// 1 to 32 DNS names and IP addresses. Agents do not look at them.
    pub names: Vec<String>,
    /// How long the certificate is good, such as `30d`, which is the default; it ends with the authority that issues it at
    /// the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
}

/// A certificate that agents take for that of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertifiedServer {
    /// PEM: the certificate, and those that vouch for it up to the root. All of it has to be shown to agents.
    pub certificate: String,
    /// PEM: by which certificates of agents are checked.
    pub roots: String,
    pub expires: Time,
}
