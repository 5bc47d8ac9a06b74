use std::fmt;

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::asn1_rs::{FromDer as _, Oid};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use super::certificate::Pin;

/// The public key of a request for a certificate (PKCS#10), whose sender has shown that he has the private one.
/// Whatever else he asked for is forgotten here.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedRequest {
    point: [u8; POINT],
}

/// A request that gets no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request has {length} bytes, the limit is {LONGEST}")]
    TooLarge { length: usize },
    #[error("it is no request for a certificate (PKCS#10, DER)")]
    Malformed,
    #[error("there is no `CERTIFICATE REQUEST` in it (PEM)")]
    NoPem,
    #[error("its key is not on the curve P-256")]
    KeyType,
    #[error("it is not signed with its key by ECDSA and SHA-256")]
    BadSignature,
}

/// Ours have 190 bytes; those of other tools hardly more than a thousand.
const LONGEST: usize = 4 << 10;

/// Bytes of a point on P-256 that is not compressed.
const POINT: usize = 65;

impl CheckedRequest {
    /// Reads DER.
    pub fn read(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > LONGEST {
            return Err(RequestError::TooLarge { length: der.len() });
        }
        let malformed = |_| RequestError::Malformed;
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(malformed)?;
        let info = &request.certification_request_info;
        if !rest.is_empty() || info.version != X509Version::V1 {
            return Err(RequestError::Malformed);
        }
        let point = point(&info.subject_pki).ok_or(RequestError::KeyType)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|_unspecified| RequestError::BadSignature)?;
        Ok(Self { point })
    }

    /// Reads PEM (RFC 7468), of which the first request counts.
    pub fn read_pem(pem: &str) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
        Self::read(&der.map_err(|_error| RequestError::NoPem)?)
    }

    /// What [`Certificate::pin`](super::Certificate::pin) will be for its certificate.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_public_key(&self.subject_public_key_info())
    }
}

fn point(key: &SubjectPublicKeyInfo<'_>) -> Option<[u8; POINT]> {
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| Oid::try_from(curve.clone()).ok());
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return None;
    }
    key.subject_public_key.data.as_ref().try_into().ok()
}

impl fmt::Debug for CheckedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckedRequest({})", self.pin())
    }
}

impl PublicKeyData for CheckedRequest {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
