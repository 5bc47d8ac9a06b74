use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use weir_foundation::settings::Secret;

use super::body::Body;
use super::{Claims, provider};
use crate::secret::sha256;
use crate::text;

/// The type of an access token, RFC 9068.
pub(super) const TYPE: &str = "at+jwt";

/// A key that signs tokens. Its PKCS#8 form is wiped from memory when it is dropped.
pub struct SigningKey {
    key: EncodingKey,
    public: VerifyingKey,
    header: Header,
}

/// The public half of a [`SigningKey`], with its id.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    bytes: [u8; 32],
    id: String,
}

/// Bytes that are no Ed25519 key pair in PKCS#8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no Ed25519 key pair in PKCS#8 form")]
pub struct UnusableKey;

impl SigningKey {
    #[must_use]
    pub fn generate() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .expect("the kernel has random bytes for every running process");
        Self::from_pkcs8(pkcs8.as_ref()).expect("it was made for this algorithm")
    }

    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, UnusableKey> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_rejected| UnusableKey)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_other_length| UnusableKey)?;
        let public = VerifyingKey::from_bytes(bytes);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(public.id.clone());
        Ok(Self { key: EncodingKey::from_ed_der(pkcs8), public, header })
    }

    /// The secret itself, for whoever keeps it.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.key.as_bytes()
    }

    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// A token that says this. Parts of seconds are left out.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> Secret {
        provider::install();
        let token = jsonwebtoken::encode(&self.header, &Body::from(claims), &self.key);
        Secret::new(token.expect("texts and numbers have a JSON form, and the key was tried"))
    }
}

/// Shows its id only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

impl VerifyingKey {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text::base64(&bytes));
        Self { bytes, id: text::base64(&sha256(members.as_bytes())) }
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Its thumbprint as RFC 7638 and RFC 8037 have it: `kid` in the header of tokens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn to_decoding_key(&self) -> DecodingKey {
        DecodingKey::from_ed_der(&self.bytes)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id)
    }
}
