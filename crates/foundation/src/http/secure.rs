//! Who is at the other end of a connection, and by which means it is kept from others.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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
    Tls { config: watch::Receiver<Arc<TlsConfig>>, plaintext: Plaintext },
}

/// Whether clients that do not speak TLS are served all the same.
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
    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<(Stream, Peer)> {
        let Self::Tls { config, plaintext } = self else {
            return Ok((Stream::Plain(socket), Peer::default()));
        };
        let is_near = socket.peer_addr()?.ip().to_canonical().is_loopback();
        if *plaintext == Plaintext::FromThisMachine && is_near {
            let mut first = [0];
            socket.peek(&mut first).await?;
            if first != [HANDSHAKE] {
                return Ok((Stream::Plain(socket), Peer::default()));
            }
        }
        let config = Arc::clone(&config.borrow());
        let stream = TlsAcceptor::from(config).accept(socket).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
        let peer = Peer { certificate: certificate.map(|der| der.as_ref().into()) };
        Ok((Stream::Tls(Box::new(stream)), peer))
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("Plain"),
            Self::Tls { plaintext, .. } => {
                f.debug_struct("Tls").field("plaintext", plaintext).finish_non_exhaustive()
            }
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
