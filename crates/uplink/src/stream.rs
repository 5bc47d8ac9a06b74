//! The stream of events, on one connection.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use weir_auth::AgentIdentity;
use weir_auth::seal::{SealOffer, SealPublic, ServerRandom};
use weir_foundation::clock::{Clock, timeout, until};
use weir_foundation::settings::Secret;
use weir_foundation::supervise::DrainToken;
use weir_wire::proto::ingest::ingest_client::IngestClient;
use weir_wire::proto::ingest::{
    AgentMessage, Hello, ServerMessage, Throttle, Token, Welcome, agent_message, server_message,
};

use crate::control::{Word, with_token};
use crate::flight::{Flight, Seal, Sending};
use crate::link::Broken;
use crate::patience::{Patience, Silent, Step};
use crate::uplink::Link;

/// Batches that a server must take: a long line has to fit.
pub(crate) const SMALLEST: u64 = 64 << 10;

/// How long a server may throttle at most: who wants to be left alone for longer says so again.
const LONGEST_THROTTLE: Duration = Duration::from_secs(60);

/// What an answer may have at most.
const ANSWER_BYTES: usize = 1 << 20;

/// A stream that the server has welcomed.
pub(crate) struct Stream {
    outgoing: mpsc::Sender<AgentMessage>,
    incoming: Streaming<ServerMessage>,
    pub(crate) window: Welcome,
    pub(crate) seal: Option<Seal>,
}

/// What an exchange needs beside its stream.
pub(crate) struct Exchange<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) waiting: &'a mut mpsc::Receiver<Sending>,
    pub(crate) tell: &'a watch::Sender<Link>,
    /// Of the control side, if there is one.
    pub(crate) words: Option<mpsc::Receiver<Word>>,
    /// How long an answer may take.
    pub(crate) patience: Duration,
    /// How long answers are waited for at the end.
    pub(crate) grace: Duration,
}

/// What keeps a stream from taking more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The server is about to end it.
    Leaving,
    /// It is to be begun anew once everything is answered.
    Renewing,
    /// The process ends.
    Ending,
}

/// What a message means for the stream.
enum Heard {
    Nothing,
    /// The server is about to end it.
    Leaving,
    Throttle(Throttle),
}

enum Event {
    Parcel(Sending),
    Message(Result<Option<ServerMessage>, Status>),
    Word(Word),
    ThrottleOver,
    Overdue,
    Draining,
    GraceOver,
}

impl Stream {
    /// Says who the agent is, and waits for the welcome.
    pub(crate) async fn open(
        channel: Channel,
        agent: &str,
        token: Option<&Secret>,
        seal: Option<(SealPublic, AgentIdentity)>,
        patience: &Patience<'_>,
    ) -> Result<Self, Broken> {
        let mut client = IngestClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
        let (outgoing, messages) = mpsc::channel(1);
        let offer = seal.is_some().then(SealOffer::generate);
        let hello = Hello {
            agent: agent.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seal_public: offer.as_ref().map_or_else(Vec::new, |offer| offer.public().as_bytes().to_vec()),
        };
        // There is room for one.
        drop(outgoing.send(AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) }).await);
        let messages = ReceiverStream::new(messages);
        let request = match token {
            Some(token) => with_token(messages, token)?,
            None => Request::new(messages),
        };
        let mut incoming = patience.wait(Step::Stream, client.stream(request)).await??.into_inner();
        let first = patience.wait(Step::Welcome, incoming.message()).await??;
        let window = match first.and_then(|message| message.kind) {
            Some(server_message::Kind::Welcome(window)) => window,
            _ => return Err(Broken::NoWelcome),
        };
        if window.max_batch_bytes < SMALLEST {
            return Err(Broken::Small(window.max_batch_bytes));
        }
        let seal = match offer.zip(seal) {
            Some((offer, (server, agent))) => {
                let random = ServerRandom::try_from(window.seal_salt.as_slice())
                    .map_err(|_illegal| Broken::NoWelcome)?;
                let sealer = offer.accepted(&server, &random, &agent)?;
                Some(Seal { sealer, agent: agent.agent.as_str().to_owned() })
            }
            None => None,
        };
        Ok(Self { outgoing, incoming, window, seal })
    }

    pub(crate) fn link(&self) -> Link {
        Link::Connected { max_parcel: usize::try_from(self.window.max_batch_bytes).unwrap_or(usize::MAX) }
    }
}

impl Exchange<'_> {
    /// Sends and hears until the stream breaks, or the process drains and everything is answered or is not for too long.
    pub(crate) async fn run(mut self, flight: &mut Flight, mut stream: Stream, drain: &DrainToken) -> Broken {
        let (mut stage, mut throttled) = (Stage::Open, None);
        let (clock, grace) = (self.clock, self.grace);
        let grace = async {
            drain.draining().await;
            clock.sleep(grace).await;
        };
        let mut grace = std::pin::pin!(grace);
        loop {
            match stage {
                Stage::Ending if flight.is_empty() => return Broken::Draining,
                Stage::Renewing if flight.is_empty() => return Broken::Renewed,
                Stage::Open | Stage::Leaving | Stage::Renewing | Stage::Ending => {}
            }
            let event = tokio::select! {
                biased;
                () = drain.draining(), if stage != Stage::Ending => Event::Draining,
                () = &mut grace, if stage == Stage::Ending => Event::GraceOver,
                message = stream.incoming.message() => Event::Message(message),
                () = until(clock, flight.oldest().map(|sent| sent + self.patience)) => Event::Overdue,
                Some(word) = next(&mut self.words) => Event::Word(word),
                () = until(clock, throttled), if throttled.is_some() => Event::ThrottleOver,
                parcel = self.waiting.recv(), if stage == Stage::Open && throttled.is_none() && flight.has_room() => match parcel {
                    Some(parcel) => Event::Parcel(parcel),
                    None => Event::Draining,
                },
            };
            match event {
                Event::Draining => stage = Stage::Ending,
                Event::GraceOver => return Broken::Draining,
                Event::ThrottleOver => {
                    throttled = None;
                    self.tell.send_replace(stream.link());
                }
                Event::Overdue => return Silent { step: Step::Store, limit: self.patience }.into(),
                Event::Word(Word::Leave) if stage == Stage::Open => stage = Stage::Renewing,
                Event::Word(Word::Leave) => {}
                Event::Word(Word::Token(token)) => {
                    let token = Token { token: token.reveal().to_owned() };
                    self.send(&stream, agent_message::Kind::Token(token)).await;
                }
                Event::Parcel(parcel) => {
                    let batch = flight.depart(parcel, clock.monotonic());
                    self.send(&stream, agent_message::Kind::Batch(batch)).await;
                }
                Event::Message(message) => match hear(flight, message) {
                    Ok(Heard::Leaving) if stage == Stage::Open => stage = Stage::Leaving,
                    Ok(Heard::Throttle(throttle)) => throttled = Some(self.throttled(throttle)),
                    Ok(Heard::Leaving | Heard::Nothing) => {}
                    Err(broken) => return broken,
                },
            }
        }
    }

    /// Says so, and gives until when.
    fn throttled(&self, throttle: Throttle) -> Instant {
        let Throttle { delay_millis, code, message } = throttle;
        let delay = Duration::from_millis(delay_millis).min(LONGEST_THROTTLE);
        tracing::warn!(code, message, ?delay, "the server wants nothing for now");
        self.tell.send_replace(Link::Throttled(format!("{code}: {message}").into()));
        self.clock.monotonic() + delay
    }

    async fn send(&self, stream: &Stream, kind: agent_message::Kind) {
        // The stream's end is told by the other side of it.
        drop(
            timeout(self.clock, self.patience, stream.outgoing.send(AgentMessage { kind: Some(kind) })).await,
        );
    }
}

fn hear(flight: &mut Flight, message: Result<Option<ServerMessage>, Status>) -> Result<Heard, Broken> {
    match message?.ok_or(Broken::Ended)?.kind {
        Some(server_message::Kind::Answer(answer)) => flight.answered(answer)?,
        Some(server_message::Kind::Drain(_)) => return Ok(Heard::Leaving),
        Some(server_message::Kind::Throttle(throttle)) => return Ok(Heard::Throttle(throttle)),
        // Of a server to come, or the welcome again.
        Some(server_message::Kind::Welcome(_)) | None => {}
    }
    Ok(Heard::Nothing)
}

/// The next word; never, if nobody speaks.
async fn next(words: &mut Option<mpsc::Receiver<Word>>) -> Option<Word> {
    match words {
        Some(words) => words.recv().await,
        None => std::future::pending().await,
    }
}
