//! A connection to a server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use weir_foundation::tls::{Distrust, DistrustKind};

/// How it is found out that nobody is at the other end any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pings {
    /// A connection over which nothing came for this long is pinged.
    pub after: Duration,
    /// One that does not answer a ping for this long is given up.
    pub timeout: Duration,
}

impl Default for Pings {
    fn default() -> Self {
        Self { after: Duration::from_secs(20), timeout: Duration::from_secs(10) }
    }
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("`{0}` is no address such as `weir.example:8083`")]
    Address(String),
    #[error("could not connect to `{address}`")]
    Connect { address: String, source: tonic::transport::Error },
    /// Such as one that was made anew, or has another state than the one where the agent joined.
    #[error("what answers at `{address}` is no server of the instance that this agent joined")]
    Stranger { address: String, source: Distrust },
}

/// Connects without TLS.
pub(crate) async fn open(endpoint: Endpoint, pings: Pings) -> Result<Channel, DialError> {
    let address = endpoint.uri().to_string();
    watched(endpoint, pings).connect().await.map_err(|source| DialError::Connect { address, source })
}

/// Connects to `host:port` by TLS.
pub(crate) async fn dial(address: &str, tls: ClientConfig, pings: Pings) -> Result<Channel, DialError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_illegal| DialError::Address(address.to_owned()))?;
    let target = address.to_owned();
    let connector = TlsConnector::from(Arc::new(tls));
    let connect = service_fn(move |_| {
        let (target, connector) = (target.clone(), connector.clone());
        async move { secured(&target, &connector).await.map(TokioIo::new) }
    });
    watched(endpoint, pings).connect_with_connector(connect).await.map_err(|source| {
        match Distrust::of(&source).filter(|why| why.kind == DistrustKind::Stranger) {
            Some(source) => DialError::Stranger { address: address.to_owned(), source },
            None => DialError::Connect { address: address.to_owned(), source },
        }
    })
}

async fn secured(address: &str, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // The certificate is checked for the instance and not for the name of a host.
    let name = ServerName::try_from("weir").expect("it is a name");
    connector.connect(name, stream).await
}

fn watched(endpoint: Endpoint, pings: Pings) -> Endpoint {
    endpoint
        .http2_keep_alive_interval(pings.after)
        .keep_alive_timeout(pings.timeout)
        .keep_alive_while_idle(true)
}
