//! Connections between members of an instance: TLS 1.3 by ring, HTTP/2.
//!
//! Nobody looks at host names. A client wants a server of its instance: a certificate for servers, vouched for by a
//! root that the client trusts, or that it knows by its pin, with the URI of a server. A server wants an agent of
//! its own instance in the same way.
//!
//! No session is resumed: each connection checks certificates anew, at the time of the given clock.

mod verify;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{default_provider, sign::any_ecdsa_type};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use weir_foundation::clock::Clock;

use self::verify::{AgentsOf, ServerVerifier, Trust};
use crate::identity::InstanceId;
use crate::pki::{Certificate, CertificateError, Identity, Pin};

/// Connections can not be made with these certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not use the certificate of this side")]
    Own(#[from] CertificateError),
    #[error("could not use the roots to trust")]
    Roots(#[from] rustls::server::VerifierBuilderError),
    #[error("could not set TLS up")]
    Rejected(#[from] rustls::Error),
}

const HTTP_2: &[u8] = b"h2";

/// For a server that anybody may connect to.
pub fn server(identity: &Identity, clock: Arc<dyn Clock>) -> Result<ServerConfig, TlsError> {
    identity.certificate().server()?;
    let builder = ServerConfig::builder_with_details(provider(), time(clock));
    let builder = builder.with_protocol_versions(&[&TLS13])?.with_no_client_auth();
    Ok(of_server(builder.with_cert_resolver(Arc::new(shown(identity)?))))
}

/// For a server that agents of its own instance may connect to, and nobody else. `roots`: those of the instance.
pub fn server_mutual(
    identity: &Identity,
    roots: &[Certificate],
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let agents = agents(identity.certificate().server()?, roots, &[])?;
    let builder = ServerConfig::builder_with_details(provider(), time(clock));
    let builder = builder.with_protocol_versions(&[&TLS13])?.with_client_cert_verifier(agents);
    Ok(of_server(builder.with_cert_resolver(Arc::new(shown(identity)?))))
}

/// By which [`server_mutual`] knows agents of its instance, for those whose TLS ended somewhere else. `between`: authorities
/// below the `roots`, for agents whose chain did not come with their certificate; they are trusted no further than the
/// roots vouch for them.
pub fn agents(
    instance: &InstanceId,
    roots: &[Certificate],
    between: &[Certificate],
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(store(roots)?), provider()).build()?;
    let between = between.iter().map(Certificate::to_rustls).collect();
    Ok(Arc::new(AgentsOf { instance: instance.clone(), chain, between }))
}

/// For a client of `instance`, which shows the `identity` of an agent if it has one. `roots`: those of the instance that it knows.
pub fn client(
    roots: &[Certificate],
    instance: &InstanceId,
    identity: Option<&Identity>,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, TlsError> {
    if let Some(identity) = identity {
        identity.certificate().agent()?;
    }
    let trust = Trust::Roots { roots: store(roots)?, instance: instance.clone() };
    of_client(trust, identity, clock)
}

/// For a client that knows nothing but pins of roots, one of which the server has to show. Which instance it is stands
/// in the certificate of the server.
pub fn client_pinned(pins: &[Pin], clock: Arc<dyn Clock>) -> Result<ClientConfig, TlsError> {
    of_client(Trust::Pins(pins.to_vec()), None, clock)
}

fn of_server(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn of_client(
    trust: Trust,
    identity: Option<&Identity>,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(ServerVerifier::new(trust, provider().signature_verification_algorithms));
    let builder = ClientConfig::builder_with_details(provider(), time(clock));
    let builder =
        builder.with_protocol_versions(&[&TLS13])?.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(shown(identity)?)),
    };
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// The key is read where it lies: rustls gets no copy of its PKCS#8 form that would stay behind.
fn shown(identity: &Identity) -> Result<SingleCertAndKey, TlsError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key().pkcs8()));
    let chain = identity.chain().iter().map(Certificate::to_rustls).collect();
    Ok(CertifiedKey::new(chain, any_ecdsa_type(&key)?).into())
}

fn store(roots: &[Certificate]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        root.authority()?;
        store.add(root.to_rustls())?;
    }
    Ok(store)
}

fn time(clock: Arc<dyn Clock>) -> Arc<dyn TimeProvider> {
    Arc::new(Time(clock))
}

#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.now().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

#[cfg(test)]
mod tests;
