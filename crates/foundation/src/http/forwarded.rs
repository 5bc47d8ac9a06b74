//! Certificates of clients whose TLS ends at a proxy: it says in a header which one it was shown.
//!
//! `Client-Cert` has the certificate as RFC 9440 writes it, `:<base64 of the DER>:`, or as nginx does in
//! `$ssl_client_escaped_cert`, PEM with `%` and two digits for what a header can not carry. `Client-Cert-Chain`, which may
//! be absent, has those between it and its root in the first of these forms, with commas.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

use super::Peer;
use super::codes;
use crate::failure::{Audience, Disposition, Failure};
use crate::network::Network;
use crate::tls::{Distrust, DistrustKind};

/// Who ends TLS in front of a listener. Connections that come from there are plain, and what they say of the certificates
/// of clients is believed.
#[derive(Clone)]
pub struct Proxies {
    networks: Arc<[Network]>,
    verifier: Option<watch::Receiver<Verifier>>,
}

/// Looks at certificates of clients.
pub type Verifier = Arc<dyn ClientCertVerifier>;

/// A client whose TLS ended at a proxy has no certificate that counts: it is nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    #[error("the proxy says nothing of a certificate of the client")]
    Missing,
    #[error("could not read `{header}` of the proxy: {reason}")]
    Malformed { header: &'static str, reason: &'static str },
    #[error("could not trust the certificate that the client showed to the proxy")]
    Distrusted(#[source] Distrust),
}

/// What a proxy says of the certificate of a client. That it can be trusted is another matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// DER; not empty, nor is one of those in the chain.
    pub certificate: CertificateDer<'static>,
    /// Those between it and its root, as far as the client sent them.
    pub chain: Vec<CertificateDer<'static>>,
}

const CERTIFICATE: HeaderName = HeaderName::from_static("client-cert");
const CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// More than any chain that is of use has.
const LONGEST_CHAIN: usize = 8;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"-----END CERTIFICATE-----";

impl Proxies {
    #[must_use]
    pub fn none() -> Self {
        Self { networks: Arc::default(), verifier: None }
    }

    /// In front of a listener whose clients show certificates, which are checked by `verifier`: the newest one, for
    /// connections that have begun as well, since a proxy's may last as long as itself.
    #[must_use]
    pub fn of_certificates(networks: &[Network], verifier: watch::Receiver<Verifier>) -> Self {
        Self { networks: networks.into(), verifier: Some(verifier) }
    }

    /// In front of a listener whose clients show none.
    #[must_use]
    pub fn of_anybody(networks: &[Network]) -> Self {
        Self { networks: networks.into(), verifier: None }
    }

    pub(super) fn has(&self, address: std::net::IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Who sent a request that came from a proxy.
    pub(super) fn peer(&self, headers: &HeaderMap, now: SystemTime) -> Peer {
        let Some(verifier) = &self.verifier else { return Peer::default() };
        let verifier = Arc::clone(&verifier.borrow());
        match verified(&*verifier, headers, now) {
            Ok(certificate) => Peer { certificate: Some(certificate.as_ref().into()), refused: None },
            Err(refused) => Peer { certificate: None, refused: Some(refused) },
        }
    }
}

impl Forwarded {
    /// Of the headers of a request.
    pub fn read(headers: &HeaderMap) -> Result<Self, NoCertificate> {
        Ok(Self { certificate: certificate(headers)?, chain: chain(headers)? })
    }
}

fn verified(
    verifier: &dyn ClientCertVerifier,
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<CertificateDer<'static>, NoCertificate> {
    let Forwarded { certificate, chain } = Forwarded::read(headers)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let checked = verifier.verify_client_cert(&certificate, &chain, UnixTime::since_unix_epoch(now));
    checked.map_err(|error| NoCertificate::Distrusted(Distrust::of_verifier(&error)))?;
    Ok(certificate)
}

fn certificate(headers: &HeaderMap) -> Result<CertificateDer<'static>, NoCertificate> {
    let malformed = |reason| NoCertificate::Malformed { header: "Client-Cert", reason };
    let mut lines = headers.get_all(CERTIFICATE).iter();
    let line = lines.next().ok_or(NoCertificate::Missing)?.as_bytes();
    if lines.next().is_some() {
        return Err(malformed("there is more than one"));
    }
    if line.is_empty() {
        return Err(NoCertificate::Missing);
    }
    let der = if line.starts_with(b":") { byte_sequence(line) } else { escaped_pem(line) };
    der.map(CertificateDer::from)
        .ok_or_else(|| malformed("it is neither `:<base64 of the DER>:` nor PEM as nginx escapes it"))
}

fn chain(headers: &HeaderMap) -> Result<Vec<CertificateDer<'static>>, NoCertificate> {
    let malformed = |reason| NoCertificate::Malformed { header: "Client-Cert-Chain", reason };
    let mut chain = Vec::new();
    for line in headers.get_all(CHAIN).iter().filter(|line| !line.is_empty()) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            if chain.len() == LONGEST_CHAIN {
                return Err(malformed("it has more than eight certificates"));
            }
            let der = byte_sequence(member.trim_ascii());
            chain.push(der.ok_or_else(|| malformed("it is no list of `:<base64 of the DER>:`"))?.into());
        }
    }
    Ok(chain)
}

/// RFC 8941, section 3.3.5.
fn byte_sequence(text: &[u8]) -> Option<Vec<u8>> {
    let encoded = text.strip_prefix(b":")?.strip_suffix(b":")?;
    BASE64_STANDARD.decode(encoded).ok().filter(|der| !der.is_empty())
}

fn escaped_pem(text: &[u8]) -> Option<Vec<u8>> {
    let pem = unescaped(text)?;
    let encoded = pem.trim_ascii_end().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let encoded: Vec<u8> = encoded.iter().copied().filter(|byte| *byte != b'\n').collect();
    BASE64_STANDARD.decode(encoded).ok().filter(|der| !der.is_empty())
}

/// Without `%` and two digits (RFC 3986, section 2.1).
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        plain.push(match byte {
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            byte => *byte,
        });
    }
    Some(plain)
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    let value = char::from(*byte?).to_digit(16)?;
    u8::try_from(value).ok()
}

impl Failure for NoCertificate {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn audience(&self) -> Audience {
        Audience::Caller
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing => codes::NO_CERTIFICATE,
            Self::Malformed { .. } => codes::MALFORMED_CERTIFICATE,
            Self::Distrusted(Distrust { kind: DistrustKind::Expired, .. }) => codes::CERTIFICATE_EXPIRED,
            Self::Distrusted(_) => codes::DISTRUSTED_CERTIFICATE,
        }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("networks", &self.networks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
