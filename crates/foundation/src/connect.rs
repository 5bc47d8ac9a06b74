//! Connections of clients by HTTP, with and without TLS.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use crate::clock::{Clock, timeout};
use crate::failure::BoxError;

/// Makes connections, for a client of `hyper-util` or a channel of `tonic`.
pub type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// Which versions of HTTP a client speaks by TLS; they are offered to the server by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Http1,
    Http1Or2,
    /// What gRPC needs.
    Http2,
}

/// How long to wait for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to be there, TLS included.
    pub connect: Duration,
    /// For any sign of life on a connection, also on one that nobody uses. Absent: as long as the system does.
    pub silence: Option<Duration>,
}

/// For URLs of `http`; others are refused.
#[must_use]
pub fn plain(limits: Limits, clock: Arc<dyn Clock>) -> Connector {
    let tcp = tcp(limits);
    let connect = move |url: Uri| {
        let (tcp, clock) = (tcp.clone(), Arc::clone(&clock));
        async move {
            let stream = timeout(&*clock, limits.connect, tcp.oneshot(url)).await??;
            Ok(MaybeHttpsStream::Http(stream))
        }
    };
    BoxCloneSyncService::new(service_fn(connect))
}

/// For URLs of `https`, checked by `tls`, and of `http`. What `tls` says of ALPN is replaced by `versions`.
#[must_use]
pub fn secure(tls: ClientConfig, versions: Versions, limits: Limits, clock: Arc<dyn Clock>) -> Connector {
    let mut tcp = tcp(limits);
    tcp.enforce_http(false);
    let https = https(tls, versions, tcp);
    let connect = move |url: Uri| {
        let (https, clock) = (https.clone(), Arc::clone(&clock));
        async move { timeout(&*clock, limits.connect, https.oneshot(url)).await? }
    };
    BoxCloneSyncService::new(service_fn(connect))
}

pub(crate) fn https(
    mut tls: ClientConfig,
    versions: Versions,
    tcp: HttpConnector,
) -> HttpsConnector<HttpConnector> {
    tls.alpn_protocols.clear();
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    match versions {
        Versions::Http1 => builder.enable_http1().wrap_connector(tcp),
        Versions::Http1Or2 => builder.enable_http1().enable_http2().wrap_connector(tcp),
        Versions::Http2 => builder.enable_http2().wrap_connector(tcp),
    }
}

fn tcp(limits: Limits) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.connect));
    tcp.set_keepalive(limits.silence.map(|silence| silence / 2));
    tcp.set_keepalive_interval(limits.silence.map(|silence| silence / 2));
    tcp.set_tcp_user_timeout(limits.silence);
    tcp
}

#[cfg(test)]
mod tests;
