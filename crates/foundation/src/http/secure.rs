//! Who is at the other end of a connection, and by which means it is kept from others.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::forwarded::{NoCertificate, Proxies};

/// What a server shows and wants to be shown, ready for connections.
pub type TlsConfig = rustls::ServerConfig;

/// A listening socket, and how its connections are secured.
#[derive(Debug)]
pub struct Listener {
    pub socket: TcpListener,
    pub security: Security,
}

/// How the connections of a listener are secured.
#[derive(Clone)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS. What the configuration is when a connection begins holds for as long as it lasts, so that certificates
    /// change without breaking anything.
    ///
    /// Whom `proxies` say that a request is from, he is.
    Tls { config: watch::Receiver<Arc<TlsConfig>>, plaintext: Plaintext, proxies: Proxies },
}

/// Whether clients that do not speak TLS and are no proxies are served all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    Refused,
    /// From this machine, on which nobody listens in.
    FromThisMachine,
}

/// Who sent a request; an extension of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The certificate that the client showed and has the key of, as DER; the configuration of the listener has checked
    /// it. Absent if it showed none.
    pub certificate: Option<Arc<[u8]>>,
    /// Why it has none, where a proxy had to say which. Such a client is nobody, from wherever the proxy is.
    pub refused: Option<NoCertificate>,
}

/// How it is known who sends the requests of a connection.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// By the connection.
    Connection(Peer),
    /// By what a proxy says with each of them.
    Headers(Proxies),
}

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, security: Security::Plain }
    }
}

impl Security {
    /// Makes a connection of a socket. It does not end by itself while the client says nothing.
    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<(Stream, Shown)> {
        let Self::Tls { config, plaintext, proxies } = self else {
            return Ok((Stream::Plain(socket), Shown::Connection(Peer::default())));
        };
        let address = socket.peer_addr()?.ip().to_canonical();
        let plain = if proxies.has(address) {
            Some(Shown::Headers(proxies.clone()))
        } else {
            let is_taken = *plaintext == Plaintext::FromThisMachine && address.is_loopback();
            is_taken.then(|| Shown::Connection(Peer::default()))
        };
        if let Some(shown) = plain {
            let mut first = [0];
            socket.peek(&mut first).await?;
            if first != [HANDSHAKE] {
                return Ok((Stream::Plain(socket), shown));
            }
        }
        let config = Arc::clone(&config.borrow());
        let stream = TlsAcceptor::from(config).accept(socket).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
        let peer = Peer { certificate: certificate.map(|der| der.as_ref().into()), refused: None };
        Ok((Stream::Tls(Box::new(stream)), Shown::Connection(peer)))
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("Plain"),
            Self::Tls { plaintext, proxies, .. } => {
                let mut shown = f.debug_struct("Tls");
                shown.field("plaintext", plaintext).field("proxies", proxies).finish_non_exhaustive()
            }
        }
    }
}

impl Shown {
    /// Who sent a request with these headers.
    pub(super) fn peer(&self, headers: &HeaderMap, now: SystemTime) -> Peer {
        match self {
            Self::Connection(peer) => peer.clone(),
            Self::Headers(proxies) => proxies.peer(headers, now),
        }
    }
}

/// A connection, secured or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
