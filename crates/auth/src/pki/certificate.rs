use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

use crate::identity::{AgentIdentity, InstanceId, Subject};
use crate::secret::sha256;
use crate::text;

/// A certificate that could be read. That it can be trusted is another matter: see [`crate::tls`].
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: Subject,
    serial: Serial,
    not_before: SystemTime,
    not_after: SystemTime,
    pin: Pin,
    thumbprint: Thumbprint,
}

/// SHA-256 of a certificate: as text 43 characters of base64url, as RFC 8705 has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint([u8; 32]);

/// SHA-256 of a public key (its SubjectPublicKeyInfo): as text `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin([u8; 32]);

/// The number of a certificate, as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Arc<str>);

/// Bytes that are no certificate of an instance of weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("it has {length} bytes, more than any certificate of weir")]
    TooLarge { length: usize },
    #[error("it is no X.509 certificate")]
    Malformed,
    #[error("it does not name exactly one member of an instance of weir")]
    NoSubject,
    #[error("it is about somebody else than {0}")]
    OtherSubject(&'static str),
}

/// A text that is no [`Thumbprint`] or [`Pin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a digest of 32 bytes in its text form")]
pub struct IllegalDigest;

/// Ours have 500 bytes; that of a server has more by its names.
const LONGEST: usize = 16 << 10;

impl Certificate {
    /// Reads DER.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let validity = certificate.validity();
        Ok(Self {
            subject: subject(&certificate)?,
            serial: Serial(text::hex(certificate.raw_serial()).into()),
            not_before: time(validity.not_before).ok_or(CertificateError::Malformed)?,
            not_after: time(validity.not_after).ok_or(CertificateError::Malformed)?,
            pin: Pin::of_public_key(certificate.public_key().raw),
            thumbprint: Thumbprint::of(der),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// RFC 7468, for other programs.
    #[must_use]
    pub fn pem(&self) -> String {
        text::pem("CERTIFICATE", &self.der).to_string()
    }

    pub(crate) fn to_rustls(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The agent that it is about.
    pub fn agent(&self) -> Result<&AgentIdentity, CertificateError> {
        match &self.subject {
            Subject::Agent(agent) => Ok(agent),
            Subject::Server(_) | Subject::Authority(_) => Err(CertificateError::OtherSubject("an agent")),
        }
    }

    /// The instance about one of whose servers it is.
    pub fn server(&self) -> Result<&InstanceId, CertificateError> {
        match &self.subject {
            Subject::Server(instance) => Ok(instance),
            Subject::Agent(_) | Subject::Authority(_) => Err(CertificateError::OtherSubject("a server")),
        }
    }

    /// The instance about one of whose authorities it is.
    pub fn authority(&self) -> Result<&InstanceId, CertificateError> {
        match &self.subject {
            Subject::Authority(instance) => Ok(instance),
            Subject::Agent(_) | Subject::Server(_) => Err(CertificateError::OtherSubject("an authority")),
        }
    }

    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The last second at which it is good.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whether who has the key of this certificate has signed `message`: [`PrivateKey::sign`](super::PrivateKey::sign).
    /// That the certificate can be trusted is another matter.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(certificate) = parse(&self.der) else { return false };
        let key = certificate.public_key().subject_public_key.data.as_ref();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
    }
}

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > LONGEST {
        return Err(CertificateError::TooLarge { length: der.len() });
    }
    match X509Certificate::from_der(der).map_err(malformed)? {
        (&[], certificate) => Ok(certificate),
        _ => Err(CertificateError::Malformed),
    }
}

fn malformed<E>(_: E) -> CertificateError {
    CertificateError::Malformed
}

fn subject(certificate: &X509Certificate<'_>) -> Result<Subject, CertificateError> {
    let names = certificate.subject_alternative_name().map_err(malformed)?;
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let mut uris = names.filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse().map_err(|_illegal| CertificateError::NoSubject),
        _ => Err(CertificateError::NoSubject),
    }
}

fn time(time: ASN1Time) -> Option<SystemTime> {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    if time.timestamp() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    }
}

/// Shows whom it is about and which one it is.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, serial, .. } = self;
        write!(f, "Certificate({subject}, {serial})")
    }
}

impl Thumbprint {
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(sha256(der))
    }
}

impl FromStr for Thumbprint {
    type Err = IllegalDigest;

    fn from_str(text: &str) -> Result<Self, IllegalDigest> {
        let bytes = text::from_base64(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(IllegalDigest)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::base64(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl Pin {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of a SubjectPublicKeyInfo.
    pub(crate) fn of_public_key(der: &[u8]) -> Self {
        Self(sha256(der))
    }
}

impl FromStr for Pin {
    type Err = IllegalDigest;

    fn from_str(text: &str) -> Result<Self, IllegalDigest> {
        let digits = text.strip_prefix("sha256:").ok_or(IllegalDigest)?;
        text::from_hex(digits).map(Self).ok_or(IllegalDigest)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", text::hex(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}
