//! Who may be at the other end.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::identity::InstanceId;
use crate::pki::{Certificate, Pin};

/// Whom a client trusts.
#[derive(Debug)]
pub(super) enum Trust {
    Roots {
        roots: RootCertStore,
        instance: InstanceId,
    },
    /// Of authorities, in the chain that the server sends.
    Pins(Vec<Pin>),
}

/// A good certificate of somebody who is not wanted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwanted {
    #[error("it is of another instance of weir")]
    OtherInstance,
    #[error("no certificate of the server has the pin")]
    NoPin,
}

#[derive(Debug)]
pub(super) struct ServerVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Agents of one instance.
#[derive(Debug)]
pub(super) struct AgentsOf {
    pub(super) instance: InstanceId,
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    /// Authorities that need not be sent.
    pub(super) between: Vec<CertificateDer<'static>>,
}

impl ServerVerifier {
    pub(super) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let vouched = |roots: &RootCertStore| {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)
        };
        let server = || {
            let certificate = Certificate::read(end_entity).map_err(refused)?;
            certificate.server().cloned().map_err(refused)
        };
        match &self.trust {
            Trust::Roots { roots, instance } => {
                vouched(roots)?;
                if server()? != *instance {
                    return Err(refused(Unwanted::OtherInstance));
                }
            }
            Trust::Pins(pins) => {
                vouched(&pinned(pins, intermediates)?)?;
                server()?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The authorities among `sent` that have one of the pins. They are whom they say they are only as far as their public
/// key goes, and that is what the pin is of.
fn pinned(pins: &[Pin], sent: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for der in sent {
        let Ok(certificate) = Certificate::read(der) else { continue };
        if certificate.authority().is_ok() && pins.contains(&certificate.pin()) {
            roots.add(certificate.to_rustls())?;
        }
    }
    if roots.is_empty() { Err(refused(Unwanted::NoPin)) } else { Ok(roots) }
}

impl ClientCertVerifier for AgentsOf {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let known = [intermediates, &self.between].concat();
        let verified = self.chain.verify_client_cert(end_entity, &known, now)?;
        let certificate = Certificate::read(end_entity).map_err(refused)?;
        if certificate.agent().map_err(refused)?.instance != self.instance {
            return Err(refused(Unwanted::OtherInstance));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn refused(reason: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}
