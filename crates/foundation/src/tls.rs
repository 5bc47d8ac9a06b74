//! TLS material of clients: whom to trust, and who one is.
//!
//! One provider of cryptography for the whole process, ring; connections are TLS 1.2 or 1.3.

mod server;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::server::VERSIONS;
use crate::settings::{Problem, Problems};

/// How to connect to a server by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// A PEM file with the certificates of those who may vouch for the server. Default: those that the system
    /// trusts.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate to show to the server, and those between it and its CA. Default: none.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the private key of `cert_file`. Default: none.
    pub key_file: Option<PathBuf>,
}

/// The validated [`TlsSection`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Absent: the system's.
    pub ca_file: Option<PathBuf>,
    pub identity: Option<IdentityFiles>,
}

/// Where a client's certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// TLS can not be used as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read `{path}`")]
    File { path: PathBuf, source: pem::Error },
    #[error("`{path}` has no certificate")]
    NoCertificate { path: PathBuf },
    #[error("could not use the certificates")]
    Rejected(#[from] rustls::Error),
}

/// One side does not trust the other, as a client that breaks off the handshake with a server; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Distrust {
    pub kind: DistrustKind,
    reason: String,
}

/// What one side does not like about the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistrustKind {
    /// Nobody whom the client trusts vouches for the certificate.
    Stranger,
    /// The certificate is for other names.
    OtherName,
    /// The certificate has ended.
    Expired,
    /// The certificate has not begun.
    NotYet,
    /// Something else is wrong with the certificate.
    Unfit,
    /// What the server said is no TLS.
    NoTls,
}

impl Distrust {
    /// Looks for it among the causes of an error of a connection.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref() {
                return Self::of_rustls(error);
            }
            // Such an error tells the causes of what is in it, and not what is in it.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = inner.and_then(|inner| Self::of(inner)) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// What a verifier of certificates says.
    pub(crate) fn of_verifier(error: &rustls::Error) -> Self {
        let unfit = || Self { kind: DistrustKind::Unfit, reason: error.to_string() };
        Self::of_rustls(error).unwrap_or_else(unfit)
    }

    fn of_rustls(error: &rustls::Error) -> Option<Self> {
        let (kind, reason) = match error {
            rustls::Error::InvalidCertificate(error) => of_certificate(error),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                (DistrustKind::NoTls, "no TLS is spoken there".to_owned())
            }
            _ => return None,
        };
        Some(Self { kind, reason })
    }
}

fn of_certificate(error: &CertificateError) -> (DistrustKind, String) {
    match error {
        // One who has the name of an authority that is trusted, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            (DistrustKind::Stranger, "nobody who is trusted vouches for its certificate".to_owned())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (DistrustKind::OtherName, error.to_string())
        }
        CertificateError::Expired => (DistrustKind::Expired, error.to_string()),
        CertificateError::ExpiredContext { time, not_after } => (
            DistrustKind::Expired,
            format!("its certificate ended at {}, and now is {}", at(not_after), at(time)),
        ),
        CertificateError::NotValidYet => (DistrustKind::NotYet, error.to_string()),
        CertificateError::NotValidYetContext { time, not_before } => (
            DistrustKind::NotYet,
            format!("its certificate begins at {}, and now is {}", at(not_before), at(time)),
        ),
        CertificateError::Other(error) => (DistrustKind::Unfit, error.to_string()),
        _ => (DistrustKind::Unfit, error.to_string()),
    }
}

fn at(time: &UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "a time that no calendar has".to_owned(), |time| time.to_string())
}

impl TlsSettings {
    pub fn validate(raw: &TlsSection) -> Result<Self, Problems> {
        let identity = match (&raw.cert_file, &raw.key_file) {
            (Some(cert), Some(key)) => Some(IdentityFiles { cert_file: cert.clone(), key_file: key.clone() }),
            (None, None) => None,
            (Some(_), None) => return Err(Problem::at("key_file", "is needed with `cert_file`").into()),
            (None, Some(_)) => return Err(Problem::at("cert_file", "is needed with `key_file`").into()),
        };
        Ok(Self { ca_file: raw.ca_file.clone(), identity })
    }

    /// Reads the files.
    pub fn client(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(self.roots()?);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(IdentityFiles { cert_file, key_file }) => {
                let key = PrivateKeyDer::from_pem_file(key_file)
                    .map_err(|source| TlsError::File { path: key_file.clone(), source })?;
                Ok(builder.with_client_auth_cert(certificates(cert_file)?, key)?)
            }
        }
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                // Systems carry certificates that no library reads; the others count. One that has none trusts
                // no server, which is no matter until one is asked by TLS.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::BoxError;

    #[test]
    fn what_is_wrong_with_a_certificate_is_found_among_the_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Unconnected(#[source] BoxError);

        let check = |error: rustls::Error, kind: DistrustKind, reason: &str| {
            let expected = Some(Distrust { kind, reason: reason.to_owned() });
            assert_eq!(Distrust::of(&error), expected);
            let deep = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(Distrust::of(&Unconnected(deep.into())), expected);
        };
        let certificate = rustls::Error::InvalidCertificate;
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let stranger = "nobody who is trusted vouches for its certificate";
        check(certificate(CertificateError::UnknownIssuer), DistrustKind::Stranger, stranger);
        check(certificate(CertificateError::BadSignature), DistrustKind::Stranger, stranger);
        check(certificate(CertificateError::NotValidForName), DistrustKind::OtherName, "NotValidForName");
        check(
            certificate(CertificateError::ExpiredContext { time: time(86_400), not_after: time(60) }),
            DistrustKind::Expired,
            "its certificate ended at 1970-01-01T00:01:00Z, and now is 1970-01-02T00:00:00Z",
        );
        check(
            certificate(CertificateError::NotValidYetContext { time: time(60), not_before: time(u64::MAX) }),
            DistrustKind::NotYet,
            "its certificate begins at a time that no calendar has, and now is 1970-01-01T00:01:00Z",
        );
        check(certificate(CertificateError::Revoked), DistrustKind::Unfit, "Revoked");
        let other = rustls::OtherError(Arc::new(io::Error::other("a reason of its own")));
        check(certificate(CertificateError::Other(other)), DistrustKind::Unfit, "a reason of its own");
        let no_tls = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        check(no_tls, DistrustKind::NoTls, "no TLS is spoken there");
        assert_eq!(Distrust::of(&rustls::Error::DecryptError), None);
        assert_eq!(Distrust::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let check = |raw: TlsSection, expected: &str| {
            assert_eq!(TlsSettings::validate(&raw).expect_err("is refused").to_string(), expected);
        };
        let file = || Some(PathBuf::from("a.pem"));
        check(
            TlsSection { cert_file: file(), ..TlsSection::default() },
            "key_file: is needed with `cert_file`\n",
        );
        check(
            TlsSection { key_file: file(), ..TlsSection::default() },
            "cert_file: is needed with `key_file`\n",
        );
    }

    #[test]
    fn files_that_can_not_be_used_are_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ca.pem");
        let client = || TlsSettings { ca_file: Some(path.clone()), identity: None }.client();
        let error = client().expect_err("it is absent");
        assert_eq!(error.to_string(), format!("could not read `{}`", path.display()));
        std::fs::write(&path, "no certificate\n").expect("there is space");
        let error = client().expect_err("it is empty");
        assert_eq!(error.to_string(), format!("`{}` has no certificate", path.display()));
    }
}
