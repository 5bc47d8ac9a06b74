//! A cipher for payloads, for ways on which TLS ends at somebody between an agent and its server.
//!
//! The instance has an X25519 key ([`SealKey`]) whose public half is in access keys. For each stream an agent makes a
//! key of its own ([`SealOffer`]) and sends the public half; the server answers with random bytes
//! ([`ServerRandom`]). From then on
//!
//! ```text
//! key   = HKDF-SHA256(ikm: X25519 of both, salt: the server's random bytes,
//!                     info: "weir payload 1", one byte length and text of the instance, the same of the agent,
//!                           public key of the agent, public key of the instance)
//! nonce = 4 bytes zero, the sequence of the payload in the stream as 8 bytes big-endian
//! sealed payload = AES-256-GCM(key, nonce, additional data, payload) followed by its tag of 16 bytes
//! ```
//!
//! The random bytes make the key one of this stream even if an agent would send the same half twice: what was
//! recorded of one stream opens in no other. Who has the instance's key can read what was recorded. Who sent a payload
//! is not shown by this, but by the token or the certificate of the stream.

use std::fmt;
use std::str::FromStr;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

use crate::identity::AgentIdentity;
use crate::{random, text};

/// The key with which an instance opens payloads. Wiped from memory when it is dropped.
pub struct SealKey(StaticSecret);

/// The public half of a key: as text 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealPublic([u8; 32]);

/// A text or bytes that are no [`SealPublic`] or [`ServerRandom`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has not 32 bytes")]
pub struct IllegalLength;

/// The key of an agent for one stream.
pub struct SealOffer(StaticSecret);

/// What the server adds to the key of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerRandom([u8; 32]);

/// Seals the payloads of a stream, on the side of the agent.
pub struct Sealer(Course);

/// Opens the payloads of a stream, on the side of the server.
pub struct Opener(Course);

struct Course {
    key: LessSafeKey,
    last: Option<u64>,
}

/// A public key with which there is no secret: of low order, chosen so that everybody knows the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no secret can be agreed upon with this public key")]
pub struct WeakKey;

/// A payload was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("sequence {sequence} does not come after {last}, the last one that was sealed")]
    OutOfOrder { sequence: u64, last: u64 },
    #[error("a payload of {length} bytes is too large to be sealed")]
    TooLarge { length: usize },
}

/// A payload was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("sequence {sequence} does not come after {last}, the last one that was opened")]
    OutOfOrder { sequence: u64, last: u64 },
    #[error("the payload was not sealed for this stream, sequence and additional data")]
    Foreign,
}

/// Bytes that a sealed payload is longer than the payload.
pub const OVERHEAD: usize = 16;

impl SealKey {
    #[must_use]
    pub fn generate() -> Self {
        Self(StaticSecret::from(*random::bytes()))
    }

    /// A key that was kept.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// The secret itself, for whoever keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    #[must_use]
    pub fn public(&self) -> SealPublic {
        SealPublic(PublicKey::from(&self.0).to_bytes())
    }
}

impl SealOffer {
    #[must_use]
    pub fn generate() -> Self {
        Self(StaticSecret::from(*random::bytes()))
    }

    /// What the server has to be told.
    #[must_use]
    pub fn public(&self) -> SealPublic {
        SealPublic(PublicKey::from(&self.0).to_bytes())
    }

    /// What seals the payloads of the stream, once the server has answered. `agent` is who sends.
    pub fn accepted(
        self,
        instance: &SealPublic,
        random: &ServerRandom,
        agent: &AgentIdentity,
    ) -> Result<Sealer, WeakKey> {
        let shared = self.0.diffie_hellman(&PublicKey::from(instance.0));
        let key = key(&shared, random, agent, &self.public(), instance)?;
        Ok(Sealer(Course { key, last: None }))
    }
}

impl ServerRandom {
    #[must_use]
    pub fn generate() -> Self {
        Self(*random::bytes())
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Sealer {
    /// Seals a payload of the stream. Sequences have to grow, so that none is used twice. The additional data is not
    /// sent: the server has to know it, and opens nothing if it differs.
    pub fn seal(&mut self, sequence: u64, additional: &[u8], payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let Course { key, last } = &mut self.0;
        if let Some(last) = last.filter(|last| sequence <= *last) {
            return Err(SealError::OutOfOrder { sequence, last });
        }
        // Before it is tried: whatever happens, the nonce was used.
        *last = Some(sequence);
        let mut sealed = Vec::with_capacity(payload.len() + OVERHEAD);
        sealed.extend_from_slice(payload);
        key.seal_in_place_append_tag(nonce(sequence), Aad::from(additional), &mut sealed)
            .map_err(|_unspecified| SealError::TooLarge { length: payload.len() })?;
        Ok(sealed)
    }
}

impl Opener {
    /// What opens the payloads of a stream of this agent, which sent `offer` and was answered `random`.
    pub fn new(
        key: &SealKey,
        offer: &SealPublic,
        random: &ServerRandom,
        agent: &AgentIdentity,
    ) -> Result<Self, WeakKey> {
        let shared = key.0.diffie_hellman(&PublicKey::from(offer.0));
        let key = self::key(&shared, random, agent, offer, &key.public())?;
        Ok(Self(Course { key, last: None }))
    }

    /// The payload. One that was refused changes nothing; after one that was opened, only later sequences are.
    pub fn open(&mut self, sequence: u64, additional: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let Course { key, last } = &mut self.0;
        if let Some(last) = last.filter(|last| sequence <= *last) {
            return Err(OpenError::OutOfOrder { sequence, last });
        }
        let mut payload = sealed.to_vec();
        let length = key
            .open_in_place(nonce(sequence), Aad::from(additional), &mut payload)
            .map_err(|_unspecified| OpenError::Foreign)?
            .len();
        payload.truncate(length);
        *last = Some(sequence);
        Ok(payload)
    }
}

fn key(
    shared: &SharedSecret,
    random: &ServerRandom,
    agent: &AgentIdentity,
    offer: &SealPublic,
    instance: &SealPublic,
) -> Result<LessSafeKey, WeakKey> {
    if !shared.was_contributory() {
        return Err(WeakKey);
    }
    let AgentIdentity { instance: id, agent } = agent;
    let (id, agent) = (id.as_str().as_bytes(), agent.as_str().as_bytes());
    let length = |name: &[u8]| [u8::try_from(name.len()).expect("names have at most 200 bytes")];
    let info: [&[u8]; 7] = [b"weir payload 1", &length(id), id, &length(agent), agent, &offer.0, &instance.0];
    let key = Salt::new(HKDF_SHA256, &random.0).extract(shared.as_bytes());
    let key = key.expand(&info, &AES_256_GCM).expect("HKDF gives 32 bytes");
    Ok(LessSafeKey::new(UnboundKey::from(key)))
}

fn nonce(sequence: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

macro_rules! public_bytes {
    ($($name:ident),*) => {$(
        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IllegalLength;

            fn try_from(bytes: &[u8]) -> Result<Self, IllegalLength> {
                bytes.try_into().map(Self).map_err(|_other_length| IllegalLength)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), text::base64(&self.0))
            }
        }
    )*};
}
public_bytes!(SealPublic, ServerRandom);

impl SealPublic {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for SealPublic {
    type Err = IllegalLength;

    fn from_str(text: &str) -> Result<Self, IllegalLength> {
        text::from_base64(text).ok_or(IllegalLength)?.as_slice().try_into()
    }
}

impl fmt::Display for SealPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::base64(&self.0))
    }
}

macro_rules! never_shown {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    )*};
}
never_shown!(SealKey, SealOffer, Sealer, Opener);

#[cfg(test)]
mod tests;
