//! Connects, serves one stream after the other, and waits between attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_wire::proto::ingest::ingest_client::IngestClient;
use weir_wire::proto::ingest::{AgentMessage, Hello, ServerMessage, Welcome, agent_message, server_message};

use crate::flight::{Flight, Nonsense, Sending};
use crate::uplink::{Link, Settings};

/// A connection over which nothing came for this long is pinged.
const PING_AFTER: Duration = Duration::from_secs(20);

/// One that does not answer a ping for this long is given up.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Batches that a server must take: a long line has to fit.
const SMALLEST: u64 = 64 << 10;

/// A stream that lasted for this long was a good one: the delays begin anew.
const GOOD: Duration = Duration::from_secs(10);

/// What an answer may have at most.
const ANSWER_BYTES: usize = 1 << 20;

pub(crate) struct Connector {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) waiting: mpsc::Receiver<Sending>,
    pub(crate) tell: watch::Sender<Link>,
    /// How long answers are waited for at the end.
    pub(crate) grace: Duration,
}

/// A stream that the server has welcomed.
struct Stream {
    outgoing: mpsc::Sender<AgentMessage>,
    incoming: Streaming<ServerMessage>,
    window: Welcome,
}

/// Why there is no stream, or not any more.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("could not connect to the server")]
    Connect(#[from] tonic::transport::Error),
    #[error("the server ended the stream")]
    Status(#[from] Status),
    #[error("the server ended the stream")]
    Ended,
    #[error("the server did not answer within {0:?}")]
    Silent(Duration),
    #[error("the server does not keep to the protocol")]
    Nonsense(#[from] Nonsense),
    #[error("the server does not begin with a welcome")]
    NoWelcome,
    #[error("the server takes batches of {0} bytes, an agent needs {SMALLEST}")]
    Small(u64),
    /// Nothing is wrong.
    #[error("the process ends")]
    Draining,
}

enum Event {
    Parcel(Sending),
    Message(Result<Option<ServerMessage>, Status>),
    Overdue,
    Draining,
    GraceOver,
}

impl Connector {
    pub(crate) async fn run(mut self, drain: &DrainToken) {
        let backoff = self.settings.backoff;
        let mut delays = backoff.delays(StdRng::from_rng(&mut rand::rng()));
        loop {
            let began = self.clock.monotonic();
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = drain.draining() => return,
            };
            let broken = match connected {
                Ok(stream) => self.serve(stream, drain).await,
                Err(broken) => broken,
            };
            if matches!(broken, Broken::Draining) {
                return;
            }
            let why: Arc<str> = chain(&broken).to_string().into();
            tracing::warn!(agent = self.settings.agent, error = %why, "not connected to the server");
            self.tell.send_replace(Link::Disconnected(why));
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

    async fn connect(&self) -> Result<Stream, Broken> {
        let limit = self.settings.connect_timeout;
        let connecting = async {
            let endpoint = self.settings.server.clone();
            let channel = endpoint
                .http2_keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PING_TIMEOUT)
                .keep_alive_while_idle(true)
                .connect()
                .await?;
            let mut client = IngestClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
            let (outgoing, messages) = mpsc::channel(1);
            let hello = Hello {
                agent: self.settings.agent.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                seal_public: Vec::new(),
            };
            // There is room for one.
            let hello = AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) };
            drop(outgoing.send(hello).await);
            let mut incoming = client.stream(ReceiverStream::new(messages)).await?.into_inner();
            match incoming.message().await?.and_then(|message| message.kind) {
                Some(server_message::Kind::Welcome(window)) if window.max_batch_bytes < SMALLEST => {
                    Err(Broken::Small(window.max_batch_bytes))
                }
                Some(server_message::Kind::Welcome(window)) => Ok(Stream { outgoing, incoming, window }),
                _ => Err(Broken::NoWelcome),
            }
        };
        timeout(&*self.clock, limit, connecting).await.unwrap_or(Err(Broken::Silent(limit)))
    }

    /// Sends and hears until the stream breaks; what is under way then comes back.
    async fn serve(&mut self, stream: Stream, drain: &DrainToken) -> Broken {
        tracing::info!(agent = self.settings.agent, "connected to the server");
        let max_parcel = usize::try_from(stream.window.max_batch_bytes).unwrap_or(usize::MAX);
        self.tell.send_replace(Link::Connected { max_parcel });
        let mut flight = Flight::new(stream.window.clone());
        let broken = match self.exchange(&mut flight, stream, drain).await {
            Ok(()) => Broken::Draining,
            Err(broken) => broken,
        };
        flight.ended(&broken.to_string());
        broken
    }

    /// Ends well when the process drains and everything is answered, or is not for too long.
    async fn exchange(
        &mut self,
        flight: &mut Flight,
        stream: Stream,
        drain: &DrainToken,
    ) -> Result<(), Broken> {
        let Stream { outgoing, mut incoming, .. } = stream;
        let clock = Arc::clone(&self.clock);
        let patience = self.settings.answer_timeout;
        // The server is about to end the stream, or this process is.
        let (mut leaving, mut ending) = (false, false);
        let grace = async {
            drain.draining().await;
            clock.sleep(self.grace).await;
        };
        let mut grace = std::pin::pin!(grace);
        loop {
            if ending && flight.is_empty() {
                return Ok(());
            }
            let event = tokio::select! {
                biased;
                () = drain.draining(), if !ending => Event::Draining,
                () = &mut grace, if ending => Event::GraceOver,
                message = incoming.message() => Event::Message(message),
                () = until(&*clock, flight.oldest().map(|sent| sent + patience)) => Event::Overdue,
                parcel = self.waiting.recv(), if !ending && !leaving && flight.has_room() => match parcel {
                    Some(parcel) => Event::Parcel(parcel),
                    None => Event::Draining,
                },
            };
            match event {
                Event::Parcel(parcel) => {
                    let message = flight.depart(parcel, clock.monotonic());
                    // The stream's end is told by the other side of it.
                    drop(timeout(&*clock, patience, outgoing.send(message)).await);
                }
                Event::Message(message) => match message?.ok_or(Broken::Ended)?.kind {
                    Some(server_message::Kind::Answer(answer)) => flight.answered(answer)?,
                    Some(server_message::Kind::Drain(_)) => leaving = true,
                    // Of a server to come, or the welcome again.
                    Some(server_message::Kind::Welcome(_)) | None => {}
                },
                Event::Overdue => return Err(Broken::Silent(patience)),
                Event::Draining => ending = true,
                Event::GraceOver => return Ok(()),
            }
        }
    }
}

async fn until(clock: &dyn Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep(deadline.saturating_duration_since(clock.monotonic())).await,
        None => std::future::pending().await,
    }
}
