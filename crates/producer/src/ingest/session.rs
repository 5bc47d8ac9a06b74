//! The stream of one agent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use weir_foundation::clock::timeout;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy};
use weir_wire::proto::ingest::agent_message::Kind as AgentKind;
use weir_wire::proto::ingest::server_message::Kind;
use weir_wire::proto::ingest::{AgentMessage, Drain, Hello, ServerMessage, Welcome};

use super::batch::{Arrived, Dealt, stretch};
use super::presence::{Presence, Seat};
use super::sources::{Next, Sources};
use super::{WINDOW_BATCHES, WINDOW_BYTES, max_batch};
use crate::admission::Admission;

/// How long an agent may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);

/// The longest name of an agent, in bytes.
const NAME: usize = 200;

type Answers = mpsc::Sender<Result<ServerMessage, Status>>;

pub(super) struct Session {
    admission: Arc<Admission>,
    incoming: Streaming<AgentMessage>,
    answers: Answers,
    agent: String,
    sources: Sources<Arrived>,
    /// What came and is not answered.
    in_hand: InHand,
}

#[derive(Debug, Default, Clone, Copy)]
struct InHand {
    batches: usize,
    bytes: u64,
}

enum Event {
    Dealt(Dealt),
    Message(Result<Option<AgentMessage>, Status>),
    Draining,
}

impl Session {
    /// Starts a session, whose answers come here.
    pub(super) fn start(
        admission: &Arc<Admission>,
        presence: &Presence,
        incoming: Streaming<AgentMessage>,
    ) -> mpsc::Receiver<Result<ServerMessage, Status>> {
        // Room for an answer to every batch, so that an agent that reads slowly holds up nothing but itself.
        let (answers, receiver) = mpsc::channel(WINDOW_BATCHES + 2);
        let session = Self {
            admission: Arc::clone(admission),
            incoming,
            answers,
            agent: String::new(),
            sources: Sources::default(),
            in_hand: InHand::default(),
        };
        let presence = presence.clone();
        let policy = Policy::expendable(DrainPhase::StopIntake);
        admission.spawner.spawn("producer.ingest.session", policy, |drain| async move {
            session.run(&presence, &drain).await;
            Ok::<(), Infallible>(())
        });
        receiver
    }

    async fn run(mut self, presence: &Presence, drain: &DrainToken) {
        let greeted = tokio::select! {
            greeted = self.greet(presence) => greeted,
            () = drain.draining() => return,
        };
        let outcome = match greeted {
            Ok(seat) => self.serve(seat, drain).await,
            Err(status) => Err(status),
        };
        if let Err(status) = outcome {
            tracing::debug!(agent = self.agent, %status, "the stream of an agent ends");
            // The agent may be gone.
            self.answers.send(Err(status)).await.ok();
        }
    }

    async fn greet(&mut self, presence: &Presence) -> Result<Seat, Status> {
        let clock = Arc::clone(&self.admission.clock);
        let first = timeout(&*clock, HELLO, self.incoming.message()).await;
        let first = first.map_err(|_elapsed| Status::deadline_exceeded("an agent begins with a Hello"))??;
        let Some(AgentKind::Hello(Hello { agent, version, .. })) = first.and_then(|message| message.kind)
        else {
            return Err(Status::invalid_argument("an agent begins with a Hello"));
        };
        if agent.is_empty() || agent.len() > NAME {
            return Err(Status::invalid_argument(format!("the name of an agent has 1 to {NAME} bytes")));
        }
        let seat = tokio::select! {
            seat = presence.enter(&agent) => seat,
            early = self.incoming.message() => {
                early?;
                return Err(Status::invalid_argument("an agent waits for the Welcome"));
            }
        };
        tracing::info!(agent, version, "an agent is connected");
        self.agent = agent;
        let welcome = Welcome {
            window_bytes: WINDOW_BYTES,
            window_batches: u32::try_from(WINDOW_BATCHES).unwrap_or(u32::MAX),
            max_batch_bytes: max_batch(&self.admission),
            seal_salt: Vec::new(),
        };
        self.tell(Kind::Welcome(welcome)).await?;
        Ok(seat)
    }

    /// Takes batches until the agent ends the stream or begins another one, or the process drains, and answers all that
    /// came. However that ends: what the journal has in hand is dealt with before another session of the agent may ask
    /// how far its sources are.
    async fn serve(&mut self, mut seat: Seat, drain: &DrainToken) -> Result<(), Status> {
        let mut working = FuturesUnordered::new();
        let outcome = self.exchange(&mut working, &mut seat, drain).await;
        while working.next().await.is_some() {}
        outcome
    }

    async fn exchange(
        &mut self,
        working: &mut FuturesUnordered<BoxFuture<'static, Dealt>>,
        seat: &mut Seat,
        drain: &DrainToken,
    ) -> Result<(), Status> {
        let (mut ending, mut open) = (false, true);
        while (open && !ending) || self.in_hand.batches > 0 {
            let event = tokio::select! {
                biased;
                Some(dealt) = working.next(), if !working.is_empty() => Event::Dealt(dealt),
                () = drain.draining(), if !ending => Event::Draining,
                () = seat.wanted(), if !ending => Event::Draining,
                message = self.incoming.message(), if open && !ending && self.in_hand.has_room() => {
                    Event::Message(message)
                }
            };
            let ready = match event {
                Event::Dealt(dealt) => {
                    self.in_hand.batches -= 1;
                    self.in_hand.bytes -= dealt.bytes;
                    let next = dealt.source.and_then(|(source, next)| self.sources.finished(source, next));
                    self.answers.send(Ok(dealt.message())).await.map_err(|_gone| gone())?;
                    next
                }
                Event::Message(message) => match message? {
                    Some(message) => self.hear(message).await?,
                    None => {
                        open = false;
                        None
                    }
                },
                Event::Draining => {
                    ending = true;
                    self.tell(Kind::Drain(Drain {})).await?;
                    None
                }
            };
            if let Some((arrived, next)) = ready {
                working.push(arrived.take(Arc::clone(&self.admission), next).boxed());
            }
        }
        Ok(())
    }

    /// What can be worked on now because of a message.
    async fn hear(&mut self, message: AgentMessage) -> Result<Option<(Arrived, Next)>, Status> {
        let Some(AgentKind::Batch(batch)) = message.kind else {
            return Err(Status::invalid_argument("behind the Hello come batches"));
        };
        let (sequence, stretch) = (batch.sequence, stretch(&self.agent, &batch)?);
        let arrived = match Arrived::new(&self.admission, batch, stretch) {
            Ok(arrived) => arrived,
            Err(refusal) => {
                let dealt = Dealt::turned_away(sequence, refusal, &self.admission);
                self.answers.send(Ok(dealt.message())).await.map_err(|_gone| gone())?;
                return Ok(None);
            }
        };
        self.in_hand.batches += 1;
        self.in_hand.bytes += arrived.bytes();
        Ok(match stretch {
            Some(stretch) => self.sources.arrives(stretch.source, arrived),
            None => Some((arrived, Next::Unknown)),
        })
    }

    async fn tell(&self, kind: Kind) -> Result<(), Status> {
        self.answers.send(Ok(ServerMessage { kind: Some(kind) })).await.map_err(|_gone| gone())
    }
}

impl InHand {
    fn has_room(self) -> bool {
        self.batches < WINDOW_BATCHES && self.bytes < WINDOW_BYTES
    }
}

fn gone() -> Status {
    Status::cancelled("the agent is gone")
}
