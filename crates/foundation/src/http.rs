//! Serving HTTP/1 and HTTP/2 on one listener, with bounds on everything that a client can hold.
//!
//! * At most [`Limits::connections`] connections; further ones wait in the kernel's backlog.
//! * A connection without a request in hand is closed after [`Limits::idle`] (twice that at the latest); one that
//!   never completed the head of a request, after [`Limits::first_request`]. So a client that dribbles a head holds a connection for a
//!   bounded time and no memory to speak of.
//! * A request's body has to keep a [`Pace`]; otherwise reading it fails with [`Stalled`].
//! * A client that takes nothing of an answer for a window of the [`Pace`] (twice that at the latest) is cut off,
//!   with all that it has under way in the connection.
//! * HTTP/2 windows bound what a client may send ahead of the handlers. What it sends for a request that is
//!   answered already is read and dropped, for as long as a window of the [`Pace`].
//!
//! On drain the listener closes, idle connections close at once, and the others after the answers in hand.

mod activity;
mod body;
mod codes;
mod forwarded;
mod rest;
mod secure;
mod timer;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

pub use self::body::{Pace, Stalled};
pub use self::codes::CODES;
pub use self::forwarded::{Forwarded, NoCertificate, Proxies, Verifier};
pub use self::secure::{Listener, Peer, Plaintext, Security, TlsConfig};

use self::activity::{Activity, HeldBody};
use self::body::PacedBody;
use self::rest::Rest;
use self::secure::{Shown, Stream};
use self::timer::ClockTimer;
use crate::clock::{self, Clock};
use crate::descriptors;
use crate::failure::{BoxError, chain};
use crate::supervise::{DrainPhase, DrainToken, Policy, Spawner};

/// What clients may hold, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// From accepting a connection to the end of the head of its first request.
    pub first_request: Duration,
    /// Between the end of an answer and the end of the head of the next request.
    pub idle: Duration,
    /// How fast bodies of requests have to come.
    pub pace: Pace,
    /// How long requests in hand may take once the drain has begun; then they are cut off. At most four fifths
    /// of the phase's deadline count, so that one of them does not make the drain fail.
    pub drain: Duration,
    /// What HTTP/2 clients may have under way.
    pub http2: Http2Limits,
}

/// Flow control and liveness of HTTP/2 connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests at a time in one connection.
    pub streams: u32,
    /// Bytes that a client may send ahead in one request.
    pub stream_window: u32,
    /// Bytes that a client may send ahead in all requests of a connection.
    pub connection_window: u32,
    /// Bytes of a request that may come in one piece: a batch that does is neither gathered nor copied.
    pub frame: u32,
    /// A connection over which nothing came for this long is pinged.
    pub ping_after: Duration,
    /// A connection that does not answer a ping for this long is closed.
    pub ping_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            first_request: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            pace: Pace::default(),
            drain: Duration::from_secs(8),
            http2: Http2Limits::default(),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 256,
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            frame: 256 << 10,
            ping_after: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves `router` until the drain phase begins. Each request has the [`Peer`] that sent it as an extension.
///
/// `name` is the first part of the tasks' names: `<name>.accept`, one `<name>.connection` per connection, and one
/// `<name>.rest` per HTTP/2 request that was answered before its body had come.
/// An answer that never ends by itself (a tail) should watch the drain in its handler, or it is cut off by
/// [`Limits::drain`].
pub fn serve(
    name: &str,
    listener: impl Into<Listener>,
    router: Router,
    mut limits: Limits,
    phase: DrainPhase,
    process: Process<'_>,
) -> io::Result<()> {
    let Listener { socket, security } = listener.into();
    socket.set_nonblocking(true)?;
    let spawner = process.spawner.clone();
    let most = descriptors::most_connections();
    if limits.connections > most {
        debug!(
            name,
            limit = most,
            "fewer connections at a time than the settings allow: more would use up the open files"
        );
        limits.connections = most;
    }
    limits.drain = limits.drain.min(spawner.deadline(phase) / 5 * 4);
    let rest = Rest {
        task_name: format!("{name}.rest"),
        phase,
        spawner: spawner.clone(),
        clock: Arc::clone(process.clock),
        longest: limits.pace.window,
    };
    let server = Server {
        connection_name: format!("{name}.connection"),
        builder: protocol(&limits, process.clock),
        security,
        router,
        limits,
        phase,
        clock: Arc::clone(process.clock),
        spawner: spawner.clone(),
        rest: Arc::new(rest),
    };
    let accept = format!("{name}.accept");
    spawner.spawn(&accept, Policy::essential(phase), |drain| server.accept(socket, drain));
    Ok(())
}

/// What a server needs of the process it lives in.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    pub spawner: &'a Spawner,
    pub clock: &'a Arc<dyn Clock>,
}

/// Pause after the system could not accept a connection, for example because all file descriptors are used.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to close a connection that it was asked to close.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a connection may hold of a head that has not ended, and reads of a body at a time.
const HEAD_BYTES: usize = 64 << 10;

type Protocol = auto::Builder<TokioExecutor>;

fn protocol(limits: &Limits, clock: &Arc<dyn Clock>) -> Protocol {
    // The executor runs the requests of an HTTP/2 connection; they end with the connection, which is supervised.
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let timer = ClockTimer::new(Arc::clone(clock));
    // The watch over idle connections also bounds the reading of heads.
    builder.http1().timer(timer.clone()).header_read_timeout(None).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(timer)
        .max_concurrent_streams(limits.http2.streams)
        .initial_stream_window_size(limits.http2.stream_window)
        .initial_connection_window_size(limits.http2.connection_window)
        .max_frame_size(limits.http2.frame)
        .keep_alive_interval(limits.http2.ping_after)
        .keep_alive_timeout(limits.http2.ping_timeout);
    builder
}

struct Server {
    connection_name: String,
    builder: Protocol,
    security: Security,
    router: Router,
    limits: Limits,
    phase: DrainPhase,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
    rest: Arc<Rest>,
}

impl Server {
    async fn accept(self, listener: std::net::TcpListener, drain: DrainToken) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let places = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                listener.accept().await.map(|(stream, _)| (stream, place))
            };
            tokio::select! {
                () = drain.draining() => return Ok(()),
                accepted = next => match accepted {
                    Ok((stream, place)) => self.start(stream, place),
                    Err(error) if is_of_the_connection(&error) => {}
                    Err(error) => {
                        warn!(%error, "could not accept a connection");
                        self.clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn start(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let connection = Connection {
            builder: self.builder.clone(),
            security: self.security.clone(),
            requests: Requests {
                shown: Shown::Connection(Peer::default()),
                router: self.router.clone(),
                pace: self.limits.pace,
                clock: Arc::clone(&self.clock),
                activity: Activity::new(&self.clock),
                rest: Arc::clone(&self.rest),
            },
            limits: self.limits,
        };
        self.spawner.spawn(&self.connection_name, Policy::expendable(self.phase), |drain| async move {
            connection.serve(stream, drain).await;
            drop(place);
            Ok::<(), Infallible>(())
        });
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Whether the client was gone before it was accepted, which is no reason to pause.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

struct Connection {
    builder: Protocol,
    security: Security,
    requests: Requests,
    limits: Limits,
}

impl Connection {
    async fn serve(mut self, socket: TcpStream, drain: DrainToken) {
        let stream = match self.secure(socket, &drain).await {
            Ok(stream) => stream,
            Err(error) => return debug!(%error, "connection lost before it was served"),
        };
        let Requests { activity, clock, .. } = self.requests.clone();
        let service = hyper::service::service_fn(move |request| self.requests.clone().answer(request));
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let end = tokio::select! {
            outcome = connection.as_mut() => return ended(outcome),
            () = activity.idle(&*clock, &self.limits) => End::Idle,
            () = activity.untaken(&*clock, self.limits.pace.window) => {
                debug!("a client that does not take its answer is cut off");
                return;
            }
            () = drain.draining() => End::Drain,
        };
        connection.as_mut().graceful_shutdown();
        if end == End::Drain {
            tokio::select! {
                outcome = connection.as_mut() => return ended(outcome),
                () = activity.unused() => {}
                () = clock.sleep(self.limits.drain) => {
                    debug!("requests in hand are cut off");
                    return;
                }
            }
        }
        // A client that does not close in time is cut off; nothing of it is in hand.
        if let Ok(outcome) = clock::timeout(&*clock, GOODBYE, connection).await {
            ended(outcome);
        }
    }
}

impl Connection {
    /// A client that does not come to an end of its greeting has as long as for the head of a first request.
    async fn secure(&mut self, socket: TcpStream, drain: &DrainToken) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        let accepted = tokio::select! {
            accepted = self.security.accept(socket) => accepted,
            () = self.requests.clock.sleep(self.limits.first_request) => Err(io::ErrorKind::TimedOut.into()),
            () = drain.draining() => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let (stream, shown) = accepted?;
        self.requests.shown = shown;
        Ok(stream)
    }
}

/// Why a connection is closed by this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Idle,
    Drain,
}

fn ended(outcome: Result<(), BoxError>) {
    if let Err(error) = outcome {
        debug!(error = %chain(&*error), "connection failed");
    }
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Requests {
    shown: Shown,
    router: Router,
    pace: Pace,
    clock: Arc<dyn Clock>,
    activity: Activity,
    rest: Arc<Rest>,
}

impl Requests {
    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<HeldBody<axum::body::Body>>, Infallible> {
        let held = self.activity.begin();
        let peer = self.shown.peer(request.headers(), self.clock.now());
        // hyper itself sees to the rest of an HTTP/1 request.
        let rest = (request.version() == Version::HTTP_2).then_some(self.rest);
        let mut request = request.map(|body| PacedBody::new(body, self.pace, self.clock, rest));
        request.extensions_mut().insert(peer);
        let service = TowerToHyperService::new(self.router);
        let response = hyper::service::Service::call(&service, request).await?;
        Ok(response.map(|body| HeldBody::new(body, held)))
    }
}

#[cfg(test)]
mod tests;
