use std::fmt;

use rcgen::{
    CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::certificate::Pin;
use crate::text;

/// A private key on the curve P-256, of an authority, a server or an agent. Its PKCS#8 form is wiped from memory when
/// it is dropped.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
}

/// Bytes that are no private key on the curve P-256 in PKCS#8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no private key on the curve P-256 in PKCS#8 form")]
pub struct UnusableKey;

impl PrivateKey {
    #[must_use]
    pub fn generate() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .expect("the kernel has random bytes for every running process");
        Self::from_pkcs8(pkcs8.as_ref()).expect("it was made for this curve")
    }

    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, UnusableKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new());
        let pair = pair.map_err(|_rejected| UnusableKey)?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), pair })
    }

    /// The secret itself, for whoever keeps it.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The secret itself, for other programs (RFC 7468).
    #[must_use]
    pub fn pem(&self) -> Zeroizing<String> {
        text::pem("PRIVATE KEY", &self.pkcs8)
    }

    /// What [`Certificate::pin`](super::Certificate::pin) is for a certificate of this key.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_public_key(&self.subject_public_key_info())
    }

    /// A signature of `message`, which [`Certificate::has_signed`](super::Certificate::has_signed) takes: ECDSA with SHA-256, as DER.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature.expect("the kernel has random bytes for every running process").as_ref().to_vec()
    }

    /// A request for a certificate (PKCS#10, DER), which says nothing but the public key.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name = DistinguishedName::new();
        let request = wanted.serialize_request(self).expect("a key that signs, and nothing asked for");
        request.der().to_vec()
    }

    /// The same as PEM (RFC 7468).
    #[must_use]
    pub fn request_pem(&self) -> String {
        text::pem("CERTIFICATE REQUEST", &self.request()).to_string()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_unspecified| rcgen::Error::RingUnspecified)?.as_ref().to_vec())
    }
}
