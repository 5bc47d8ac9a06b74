//! Connects, serves one connection after the other, and waits between attempts.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, watch};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use weir_auth::seal::WeakKey;
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;

use crate::condition::Offer;
use crate::control::{Attendance, Control, Word};
use crate::dial::{DialError, Pings, dial, open};
use crate::flight::{Flight, Nonsense, Sending};
use crate::identity::{IdentityError, Turn};
use crate::patience::{Patience, Silent, Step};
use crate::stream::{Exchange, Stream};
use crate::uplink::{Link, Server, Settings};

/// A connection that lasted for this long was a good one: the delays begin anew.
const GOOD: Duration = Duration::from_secs(10);

pub(crate) struct Connector {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) waiting: mpsc::Receiver<Sending>,
    pub(crate) tell: watch::Sender<Link>,
    pub(crate) offers: watch::Sender<Option<Arc<Offer>>>,
    /// How long answers are waited for at the end.
    pub(crate) grace: Duration,
}

/// A connection on which the server has welcomed the agent.
struct Connection {
    stream: Stream,
    /// Absent where nobody controls the agent.
    control: Option<(Control, mpsc::Receiver<Word>)>,
}

/// Why there is no connection, or not any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("could not connect to the server")]
    Dial(#[from] DialError),
    #[error("the server ended the connection: {words}", words = words(.0))]
    Status(Status),
    #[error("the server ended the connection")]
    Ended,
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error("the server does not keep to the protocol")]
    Nonsense(#[from] Nonsense),
    #[error("the server does not begin with a welcome")]
    NoWelcome,
    #[error("the server takes batches of {0} bytes, an agent needs {smallest}", smallest = crate::stream::SMALLEST)]
    Small(u64),
    #[error(transparent)]
    Identity(Box<IdentityError>),
    #[error("payloads can not be sealed for this server")]
    Seal(#[from] WeakKey),
    /// Nothing is wrong: there is a new certificate to connect with.
    #[error("the certificate is renewed")]
    Renewed,
    /// Nothing is wrong.
    #[error("the process ends")]
    Draining,
}

impl Connector {
    pub(crate) async fn run(mut self, drain: &DrainToken) {
        let backoff = self.settings.backoff;
        let mut delays = backoff.delays(StdRng::from_rng(&mut rand::rng()));
        // So that agents are spread over the servers.
        let mut turn = Turn { attempt: rand::rng().random::<u16>().into(), failures: 0 };
        loop {
            let began = self.clock.monotonic();
            let connected = tokio::select! {
                connected = self.connect(turn) => connected,
                () = drain.draining() => return,
            };
            turn.attempt = turn.attempt.wrapping_add(1);
            let broken = match connected {
                Ok(connection) => {
                    turn.failures = 0;
                    self.serve(connection, drain).await
                }
                Err(broken) => {
                    turn.failures += 1;
                    broken
                }
            };
            match broken {
                Broken::Draining => return,
                Broken::Renewed => continue,
                _ => self.disconnected(&broken),
            }
            if self.clock.monotonic().saturating_duration_since(began) > GOOD {
                delays = backoff.delays(StdRng::from_rng(&mut rand::rng()));
            }
            let delay = delays.next().unwrap_or_default();
            tokio::select! {
                () = self.clock.sleep(delay) => {}
                () = drain.draining() => return,
            }
        }
    }

    /// Says why. Whoever has to act is told loudly, once for each reason.
    fn disconnected(&self, broken: &Broken) {
        let why: Arc<str> = chain(broken).to_string().into();
        let agent = self.agent();
        let is_refused = broken.is_refusal();
        let is_known = match &*self.tell.borrow() {
            Link::Refused(known) => is_refused && *known == why,
            Link::New | Link::Connected { .. } | Link::Throttled(_) | Link::Disconnected(_) => false,
        };
        match (is_refused, is_known) {
            (true, false) => {
                tracing::error!(agent, error = %why, "the server refuses this agent; everything is kept, and tried again");
            }
            (true, true) => tracing::debug!(agent, error = %why, "the server still refuses this agent"),
            (false, _) => tracing::warn!(agent, error = %why, "not connected to the server"),
        }
        let link = if is_refused { Link::Refused(why) } else { Link::Disconnected(why) };
        self.tell.send_replace(link);
    }

    fn agent(&self) -> String {
        match &self.settings.server {
            Server::Open { agent, .. } => agent.clone(),
            Server::Secured(attendance) => attendance.identity.agent(),
        }
    }

    async fn connect(&mut self, turn: Turn) -> Result<Connection, Broken> {
        let (clock, pings) = (Arc::clone(&self.clock), self.settings.pings);
        let patience = Patience::new(&*clock, self.settings.connect_timeout);
        match &mut self.settings.server {
            Server::Open { endpoint, agent } => {
                let opening = open(Endpoint::clone(endpoint), pings);
                let channel = patience.wait(Step::Connect, opening).await??;
                let stream = Stream::open(channel, agent, None, None, &patience).await?;
                Ok(Connection { stream, control: None })
            }
            Server::Secured(attendance) => {
                let (address, channel) = secured(attendance, &*clock, &patience, turn, pings).await?;
                let (offers, clock) = (self.offers.clone(), Arc::clone(&clock));
                let answers = self.settings.answer_timeout;
                let begun = Control::begin(channel.clone(), attendance, offers, clock, answers, &patience);
                let control = begun.await?;
                let (agent, seal) = (attendance.identity.agent(), attendance.identity.seal());
                let token = Some(control.0.token());
                let stream = Stream::open(channel, &agent, token, seal, &patience).await?;
                attendance.identity.reached(&address);
                Ok(Connection { stream, control: Some(control) })
            }
        }
    }

    /// Serves both sides until one breaks; what is under way then comes back.
    async fn serve(&mut self, connection: Connection, drain: &DrainToken) -> Broken {
        let Connection { mut stream, control } = connection;
        tracing::info!(agent = self.agent(), "connected to the server");
        self.tell.send_replace(stream.link());
        let mut flight = Flight::new(stream.window.clone(), stream.seal.take());
        let (clock, patience, grace) = (&*self.clock, self.settings.answer_timeout, self.grace);
        let (control, words) = control.unzip();
        let (waiting, tell) = (&mut self.waiting, &self.tell);
        let exchange = Exchange { clock, waiting, tell, words, patience, grace };
        let broken = match (control, &mut self.settings.server) {
            (Some(control), Server::Secured(attendance)) => tokio::select! {
                broken = exchange.run(&mut flight, stream, drain) => broken,
                broken = control.run(attendance) => broken,
            },
            _ => exchange.run(&mut flight, stream, drain).await,
        };
        flight.ended(&broken.to_string());
        broken
    }
}

/// A connection, and to which server. A certificate that is not good by our clock is made good first; one that
/// has not ended is tried all the same, for the clock may be wrong.
async fn secured(
    attendance: &Attendance,
    clock: &dyn Clock,
    patience: &Patience<'_>,
    turn: Turn,
    pings: Pings,
) -> Result<(String, Channel), Broken> {
    let identity = &attendance.identity;
    if identity.not_after() <= clock.now() {
        patience.wait(Step::Recover, Box::pin(identity.recover(turn.attempt))).await??;
    } else if !identity.is_timely() {
        // Whoever does not answer may not keep it from the server.
        drop(patience.half().wait(Step::Recover, Box::pin(identity.recover(turn.attempt))).await);
    }
    let (address, tls) = identity.way(turn)?;
    let channel = patience.wait(Step::Connect, dial(&address, tls, pings)).await??;
    Ok((address, channel))
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// What a server said, or what happened to the connection.
fn words(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => format!("{}: {}", status.message(), chain(cause)),
        None => status.message().to_owned(),
    }
}

impl Broken {
    /// Whether the server knows the agent and does not want it, so that trying again is of no use until somebody acts.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied),
            Self::Identity(error) => error.is_refusal(),
            _ => false,
        }
    }
}
