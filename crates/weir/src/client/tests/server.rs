//! A server that says what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, once, unfold};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// It ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Method, path and query, version.
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// On the how many-th connection, from 1.
    pub(super) connection: usize,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    pieces: Mutex<Option<mpsc::Receiver<Piece>>>,
    elsewhere: Mutex<String>,
}

/// What an answer consists of; an error breaks it off.
pub(super) type Piece = Result<&'static str, std::io::Error>;

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

impl Server {
    #[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervision")]
    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
        let address = listener.local_addr().expect("is bound");
        let shared = Arc::new(Shared::default());
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls, number) = (Arc::clone(&of_task), tls.clone(), connections.len() + 1);
                connections.spawn(async move {
                    match tls {
                        None => shared.connection(stream, number).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                shared.connection(stream, number).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, shared, task }
    }

    pub(super) async fn plain() -> Self {
        Self::serve(None).await
    }

    pub(super) async fn tls(config: ServerConfig) -> Self {
        Self::serve(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// What `/api/v1/pieces` answers, as it is given.
    pub(super) fn pieces(&self) -> mpsc::Sender<Piece> {
        let (give, take) = mpsc::channel(1);
        *lock(&self.shared.pieces) = Some(take);
        give
    }

    /// Where `/api/v1/moved` sends its reader.
    pub(super) fn moved_to(&self, url: &str) {
        url.clone_into(&mut lock(&self.shared.elsewhere));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn connection<S>(self: Arc<Self>, stream: S, number: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = service_fn(move |request| Arc::clone(&self).answer(request, number));
        // How a connection ends is seen by the client.
        Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await.ok();
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: usize,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let line = format!("{} {target} {:?}", head.method, head.version);
        let authorized = head.headers.contains_key("authorization");
        lock(&self.seen).push(Seen { line, headers: head.headers, body, connection });
        Ok(match head.uri.path() {
            "/api/v1/secret" => {
                let body = json!({ "error": { "code": "no-token", "message": "a token is needed" } });
                let mut response = Response::new(whole(body.to_string()));
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                response
            }
            "/api/v1/pieces" => {
                let pieces = lock(&self.pieces).take().expect("the test gives some");
                let pieces = unfold(pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
                let frame = |piece: Piece| piece.map(|text| Frame::data(Bytes::from_static(text.as_bytes())));
                Response::new(StreamBody::new(pieces.map(frame).boxed()))
            }
            "/api/v1/moved" => {
                let mut response = Response::new(whole("<html>"));
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                let location = lock(&self.elsewhere).parse().expect("is a header");
                response.headers_mut().insert("location", location);
                response
            }
            "/producer.Producer/ProduceBatch" => {
                // OK, or UNAUTHENTICATED.
                let status = if authorized { 0 } else { 16 };
                let status = ("grpc-status".parse().expect("is a name"), status.into());
                let trailers = HeaderMap::from_iter([status]);
                let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
                let frames = futures_util::stream::iter(frames.map(Ok)).boxed();
                let mut response = Response::new(StreamBody::new(frames));
                let grpc = http::HeaderValue::from_static("application/grpc");
                response.headers_mut().insert("content-type", grpc);
                response
            }
            _ => Response::new(whole(json!({ "good": true }).to_string())),
        })
    }
}

fn whole(text: impl Into<Bytes>) -> Body {
    StreamBody::new(once(std::future::ready(Ok(Frame::data(text.into())))).boxed())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With a certificate and its key as PEM.
pub(super) fn config((certificate, key): (String, String), alpn: &[&str]) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("is a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("is a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("fit together");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
