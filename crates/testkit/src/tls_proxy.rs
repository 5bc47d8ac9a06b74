//! A proxy that ends the TLS of clients: HTTP/2 on both sides, TLS on theirs.
//!
//! It asks for their certificates and says in `Client-Cert` which one it was shown (RFC 9440), or whatever a test wants. It
//! sees every message of gRPC in both directions, and may change it. All requests go over one connection to the server.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream::unfold;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A proxy that ends when dropped.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// How often all connections of clients were ended.
    snaps: watch::Sender<u64>,
    task: JoinHandle<()>,
}

/// Where a proxy is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where clients connect.
    pub near: SocketAddr,
    /// From where it connects to the server.
    pub from: IpAddr,
    pub server: SocketAddr,
}

/// What a proxy tells the server of the certificate of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// `Client-Cert: :…:` and the rest of the chain in `Client-Cert-Chain`.
    Rfc9440,
    /// `Client-Cert` with `$ssl_client_escaped_cert`.
    Nginx,
    /// These headers, whoever it is.
    These(Vec<(&'static str, String)>),
}

/// A message of a client: the path of the method, and what is in it.
pub type Message = (String, Bytes);

type Rule = Box<dyn Fn(&str, Bytes) -> Vec<Bytes> + Send + Sync>;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

struct Shared {
    server: Authority,
    client: Client<HttpConnector, Body>,
    says: Mutex<Says>,
    sent: Mutex<Rule>,
    answered: Mutex<Rule>,
    seen: Mutex<Vec<Message>>,
    called: Mutex<Vec<String>>,
    /// What nobody is answered who calls it.
    silent: watch::Sender<Option<&'static str>>,
}

const CERTIFICATE: HeaderName = HeaderName::from_static("client-cert");
const CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// What is in front of a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

impl TlsProxy {
    /// Shows the certificate of a folder that `weir pki certificate` wrote, and checks those of clients by the roots there.
    /// Messages go on as they are until a rule says otherwise.
    #[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervision")]
    pub async fn start(place: Place, folder: &Path) -> io::Result<Self> {
        let Place { near, from, server } = place;
        let acceptor = TlsAcceptor::from(Arc::new(of_folder(folder).map_err(io::Error::other)?));
        let listener = TcpListener::bind(near).await?;
        let address = listener.local_addr()?;
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(from));
        connector.set_nodelay(true);
        let shared = Arc::new(Shared {
            server: server.to_string().parse().map_err(io::Error::other)?,
            client: Client::builder(TokioExecutor::new()).http2_only(true).build(connector),
            says: Mutex::new(Says::Rfc9440),
            sent: Mutex::new(Box::new(|_, message| vec![message])),
            answered: Mutex::new(Box::new(|_, message| vec![message])),
            seen: Mutex::default(),
            called: Mutex::default(),
            silent: watch::Sender::new(None),
        });
        let (snaps, snapped) = watch::channel(0);
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (shared, acceptor) = (Arc::clone(&of_task), acceptor.clone());
                let mut snapped = snapped.clone();
                snapped.mark_unchanged();
                connections.spawn(async move {
                    tokio::select! {
                        // How a connection ends is seen by both sides.
                        _ = shared.serve(client, acceptor) => {}
                        _ = snapped.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, shared, snaps, task })
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of the certificates of clients, from now on.
    pub fn says(&self, says: Says) {
        *lock(&self.shared.says) = says;
    }

    /// What becomes of a message of a client to this path, from now on.
    pub fn becomes(&self, rule: impl Fn(&str, Bytes) -> Vec<Bytes> + Send + Sync + 'static) {
        *lock(&self.shared.sent) = Box::new(rule);
    }

    /// What becomes of a message of the server to who called this path, from now on.
    pub fn answer_becomes(&self, rule: impl Fn(&str, Bytes) -> Vec<Bytes> + Send + Sync + 'static) {
        *lock(&self.shared.answered) = Box::new(rule);
    }

    /// What clients have sent, as it came.
    #[must_use]
    pub fn seen(&self) -> Vec<Message> {
        lock(&self.shared.seen).clone()
    }

    /// Who calls a path that ends so is kept waiting from now on, and nobody else: until [`TlsProxy::speaks`].
    pub fn falls_silent(&self, method: &'static str) {
        self.shared.silent.send_replace(Some(method));
    }

    /// Nobody is kept waiting any more.
    pub fn speaks(&self) {
        self.shared.silent.send_replace(None);
    }

    /// How often a path was called that ends so, by those who are kept waiting, too.
    #[must_use]
    pub fn calls(&self, method: &str) -> usize {
        lock(&self.shared.called).iter().filter(|path| path.ends_with(method)).count()
    }

    /// Ends all connections of clients that there are.
    pub fn snap(&self) {
        self.snaps.send_modify(|snaps| *snaps += 1);
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn of_folder(folder: &Path) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let read = |name: &str| CertificateDer::pem_file_iter(folder.join(name));
    let chain = read("certificate.pem")?.collect::<Result<Vec<_>, _>>()?;
    let mut roots = RootCertStore::empty();
    for root in read("roots.pem")? {
        roots.add(root?)?;
    }
    let provider = Arc::new(default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients.allow_unauthenticated().build()?)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(folder.join("key.pem"))?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

impl Shared {
    async fn serve(self: Arc<Self>, client: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
        client.set_nodelay(true)?;
        let stream = acceptor.accept(client).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown: Arc<[CertificateDer<'static>]> =
            shown.iter().cloned().map(CertificateDer::into_owned).collect();
        let service = service_fn(move |request| {
            let (shared, shown) = (Arc::clone(&self), Arc::clone(&shown));
            async move { Ok::<_, Infallible>(shared.forward(request, &shown).await) }
        });
        let served =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        served.await.map_err(io::Error::other)
    }

    async fn forward(
        self: Arc<Self>,
        request: Request<Incoming>,
        shown: &[CertificateDer<'_>],
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        lock(&self.called).push(path.clone());
        let is_answered = |silent: &Option<&str>| silent.is_none_or(|method| !path.ends_with(method));
        drop(self.silent.subscribe().wait_for(is_answered).await);
        let mut uri = head.uri.into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.server.clone()));
        head.uri = Uri::from_parts(uri).expect("it has all its parts");
        // Nobody but the proxy speaks of certificates.
        head.headers.remove(CERTIFICATE);
        head.headers.remove(CHAIN);
        lock(&self.says).tell(shown, &mut head.headers);
        let body = StreamBody::new(messages(
            body,
            Way { shared: Arc::clone(&self), path: path.clone(), by: Shared::sent },
        ));
        let answer = self.client.request(Request::from_parts(head, body.boxed_unsync())).await;
        match answer {
            Ok(answer) => answer.map(|body| {
                StreamBody::new(messages(body, Way { shared: self, path, by: Shared::answered }))
                    .boxed_unsync()
            }),
            Err(_) => {
                let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
                let mut answer = Response::new(nothing);
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                answer
            }
        }
    }

    fn sent(&self, path: &str, message: Bytes) -> Vec<Bytes> {
        lock(&self.seen).push((path.to_owned(), message.clone()));
        lock(&self.sent)(path, message)
    }

    fn answered(&self, path: &str, message: Bytes) -> Vec<Bytes> {
        lock(&self.answered)(path, message)
    }
}

/// Where messages go, and what becomes of them on it.
struct Way {
    shared: Arc<Shared>,
    path: String,
    by: fn(&Shared, &str, Bytes) -> Vec<Bytes>,
}

/// What goes on of a body: each message as soon as it has come.
fn messages(body: Incoming, way: Way) -> impl Stream<Item = Result<Frame<Bytes>, hyper::Error>> {
    unfold((way, body, BytesMut::new()), |(way, mut body, mut read)| async move {
        loop {
            if let Some((prefix, message)) = first_message(&mut read) {
                let become_of_it = (way.by)(&way.shared, &way.path, message);
                let bytes = become_of_it.iter().flat_map(|message| {
                    let length = u32::try_from(message.len()).expect("it is small").to_be_bytes();
                    [&prefix[..1], &length, message].concat()
                });
                let frame = Frame::data(bytes.collect::<Bytes>());
                return Some((Ok(frame), (way, body, read)));
            }
            match body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => read.extend_from_slice(&data),
                    Err(trailers) => return Some((Ok(trailers), (way, body, read))),
                },
                Err(error) => return Some((Err(error), (way, body, read))),
            }
        }
    })
}

/// Takes the first message out of what was read, if all of it is there.
fn first_message(read: &mut BytesMut) -> Option<([u8; PREFIX], Bytes)> {
    let prefix: [u8; PREFIX] = read.get(..PREFIX)?.try_into().ok()?;
    let length = (&prefix[1..]).get_u32() as usize;
    if read.len() < PREFIX + length {
        return None;
    }
    read.advance(PREFIX);
    Some((prefix, read.split_to(length).freeze()))
}

impl Says {
    fn tell(&self, shown: &[CertificateDer<'_>], headers: &mut HeaderMap) {
        let sequence = |der: &CertificateDer<'_>| format!(":{}:", BASE64_STANDARD.encode(der));
        let mut tell = |name: HeaderName, value: String| {
            headers.append(name, HeaderValue::try_from(value).expect("a header carries it"));
        };
        match (self, shown) {
            (Self::These(headers), _) => {
                headers.iter().for_each(|(name, value)| tell(HeaderName::from_static(name), value.clone()));
            }
            (_, []) => {}
            (Self::Rfc9440, [own, chain @ ..]) => {
                tell(CERTIFICATE, sequence(own));
                tell(CHAIN, chain.iter().map(sequence).collect::<Vec<_>>().join(", "));
            }
            (Self::Nginx, [own, ..]) => tell(CERTIFICATE, escaped_pem(own)),
        }
    }
}

/// As nginx has it in `$ssl_client_escaped_cert`.
#[must_use]
pub fn escaped_pem(der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let lines: Vec<&[u8]> = encoded.as_bytes().chunks(64).collect();
    let pem = [b"-----BEGIN CERTIFICATE-----", &lines.join(&b'\n')[..], b"-----END CERTIFICATE-----\n"]
        .join(&b'\n');
    let escape = |byte: &u8| match char::from(*byte) {
        plain if plain.is_ascii_alphanumeric() || matches!(plain, '-' | '.' | '_' | '~') => plain.to_string(),
        _ => format!("%{byte:02X}"),
    };
    pem.iter().map(escape).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).finish_non_exhaustive()
    }
}
