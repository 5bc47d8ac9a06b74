//! The stream of one agent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use weir_auth::AgentName;
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::crowd::Member;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy};
use weir_wire::proto::ingest::agent_message::Kind as AgentKind;
use weir_wire::proto::ingest::server_message::Kind;
use weir_wire::proto::ingest::{AgentMessage, Answer, Batch, Drain, ServerMessage, Token, Welcome};

use super::batch::{Arrived, Dealt, stretch};
use super::presence::{Presence, Seat};
use super::sources::{Next, Sources, Stretch};
use super::visitor::{Caller, Visitor, Whose};
use super::{WINDOW_BATCHES, WINDOW_BYTES, max_batch};
use crate::admission::Admission;
use crate::refusal::Refusal;

/// How long an agent may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);

/// How long a token may have ended before the stream ends with it: its agent asks for another one meanwhile, and what it
/// sends is turned away.
const TOKEN_GRACE: Duration = Duration::from_secs(60);

/// Messages that wait for the agent to take them: one that keeps to its window has never more, each of its batches being
/// answered once, perhaps behind a Throttle, and there are a Welcome, a Drain and an end. So nobody is waited for.
const ANSWERS: usize = 2 * WINDOW_BATCHES + 3;

type Answers = mpsc::Sender<Result<ServerMessage, Status>>;

/// A stream that has begun, of somebody who has not said what he is called.
struct Arriving {
    admission: Arc<Admission>,
    incoming: Streaming<AgentMessage>,
    answers: Answers,
    caller: Caller,
    changes: Option<watch::Receiver<u64>>,
}

/// The stream of a visitor who is welcome.
pub(super) struct Session {
    admission: Arc<Admission>,
    incoming: Streaming<AgentMessage>,
    answers: Answers,
    visitor: Visitor,
    whose: Whose,
    /// Tells that the visitor may have been sent away.
    changes: Option<watch::Receiver<u64>>,
    sources: Sources<Arrived>,
    /// What came and is not answered.
    in_hand: InHand,
    /// Until when the agent was told to send nothing.
    throttled: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy)]
struct InHand {
    batches: usize,
    bytes: u64,
}

enum Event {
    Dealt(Dealt),
    Message(Result<Option<AgentMessage>, Status>),
    /// Something about the fleet.
    Changed,
    Expired,
    /// The stream is to end, and so.
    Leaving(Result<(), Status>),
}

impl Session {
    /// Starts a session, whose answers come here.
    pub(super) fn start(
        admission: &Arc<Admission>,
        presence: &Presence,
        caller: Caller,
        changes: Option<watch::Receiver<u64>>,
        member: Option<Member<AgentName>>,
        incoming: Streaming<AgentMessage>,
    ) -> mpsc::Receiver<Result<ServerMessage, Status>> {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let arriving = Arriving { admission: Arc::clone(admission), incoming, answers, caller, changes };
        let presence = presence.clone();
        let policy = Policy::expendable(DrainPhase::StopIntake);
        admission.spawner.spawn("producer.ingest.session", policy, |drain| async move {
            arriving.run(&presence, &drain).await;
            drop(member);
            Ok::<(), Infallible>(())
        });
        receiver
    }
}

impl Arriving {
    async fn run(self, presence: &Presence, drain: &DrainToken) {
        let answers = self.answers.clone();
        let greeted = tokio::select! {
            greeted = self.greet(presence) => greeted,
            () = drain.draining() => return,
        };
        let outcome = match greeted {
            Ok((session, seat)) => session.serve(seat, drain).await,
            Err(status) => Err(status),
        };
        if let Err(status) = outcome {
            tracing::debug!(%status, "the stream of an agent ends");
            // The agent may be gone, or take nothing.
            answers.try_send(Err(status)).ok();
        }
    }

    async fn greet(self, presence: &Presence) -> Result<(Session, Seat), Status> {
        let Self { admission, mut incoming, answers, caller, changes } = self;
        let clock = Arc::clone(&admission.clock);
        let first = timeout(&*clock, HELLO, incoming.message()).await;
        let first = first.map_err(|_elapsed| Status::deadline_exceeded("an agent begins with a Hello"))??;
        let Some(AgentKind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("an agent begins with a Hello"));
        };
        let (visitor, random) = caller.greets(&hello)?;
        let whose = visitor.whose();
        let seat = tokio::select! {
            seat = presence.enter(whose.clone()) => seat,
            early = incoming.message() => {
                early?;
                return Err(Status::invalid_argument("an agent waits for the Welcome"));
            }
        };
        tracing::info!(agent = visitor.name(), version = hello.version, "an agent is connected");
        let welcome = Welcome {
            window_bytes: WINDOW_BYTES,
            window_batches: u32::try_from(WINDOW_BATCHES).unwrap_or(u32::MAX),
            max_batch_bytes: max_batch(&admission),
            seal_salt: random.map_or_else(Vec::new, |random| random.as_bytes().to_vec()),
        };
        let (sources, in_hand) = (Sources::default(), InHand::default());
        let session = Session {
            admission,
            incoming,
            answers,
            visitor,
            whose,
            changes,
            sources,
            in_hand,
            throttled: None,
        };
        session.tell(Kind::Welcome(welcome))?;
        Ok((session, seat))
    }
}

impl Session {
    /// Takes batches until the agent ends the stream or begins another one, or the process drains, and answers all that
    /// came. However that ends: what the journal has in hand is dealt with before another session of the agent may ask
    /// how far its sources are.
    async fn serve(mut self, mut seat: Seat, drain: &DrainToken) -> Result<(), Status> {
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
        let (mut ending, mut open, mut end) = (false, true, Ok(()));
        let clock = Arc::clone(&self.admission.clock);
        while (open && !ending) || self.in_hand.batches > 0 {
            let event = tokio::select! {
                biased;
                Some(dealt) = working.next(), if !working.is_empty() => Event::Dealt(dealt),
                () = drain.draining(), if !ending => Event::Leaving(Ok(())),
                () = seat.wanted(), if !ending => Event::Leaving(Err(replaced())),
                () = changed(&mut self.changes) => Event::Changed,
                () = ended(&*clock, self.visitor.expires()) => Event::Expired,
                message = self.incoming.message(), if open && !ending && self.in_hand.has_room() => {
                    Event::Message(message)
                }
            };
            let ready = match event {
                Event::Dealt(dealt) => {
                    self.in_hand.batches -= 1;
                    self.in_hand.bytes -= dealt.bytes;
                    let next = dealt.source.and_then(|(source, next)| self.sources.finished(source, next));
                    self.answer(dealt)?;
                    next
                }
                Event::Message(message) => match message? {
                    Some(message) => self.hear(message)?,
                    None => {
                        open = false;
                        None
                    }
                },
                Event::Changed => {
                    self.visitor.check()?;
                    None
                }
                Event::Expired => return Err(Status::unauthenticated("the access token has expired")),
                Event::Leaving(how) => {
                    (ending, end) = (true, how);
                    self.tell(Kind::Drain(Drain {}))?;
                    None
                }
            };
            if let Some((arrived, next)) = ready {
                working.push(arrived.take(Arc::clone(&self.admission), next).boxed());
            }
        }
        end
    }

    /// What can be worked on now because of a message.
    fn hear(&mut self, message: AgentMessage) -> Result<Option<(Arrived, Next)>, Status> {
        let batch = match message.kind {
            Some(AgentKind::Batch(batch)) => batch,
            Some(AgentKind::Token(Token { token })) => {
                self.visitor.renew(&token)?;
                return Ok(None);
            }
            Some(AgentKind::Hello(_)) | None => {
                return Err(Status::invalid_argument("behind the Hello come batches"));
            }
        };
        let (sequence, stretch) = (batch.sequence, stretch(&self.whose, &batch)?);
        match self.take_in(batch, stretch)? {
            Ok(arrived) => {
                self.in_hand.batches += 1;
                self.in_hand.bytes += arrived.bytes();
                Ok(match stretch {
                    Some(stretch) => self.sources.arrives(stretch.source, arrived),
                    None => Some((arrived, Next::Unknown)),
                })
            }
            Err(refusal) => {
                self.answer(Dealt::turned_away(sequence, refusal, &self.admission))?;
                Ok(None)
            }
        }
    }

    /// A batch that may be worked on, or why it is turned away. Fails, and the stream with it, for one that was tampered
    /// with.
    fn take_in(
        &mut self,
        mut batch: Batch,
        stretch: Option<Stretch>,
    ) -> Result<Result<Arrived, Refusal>, Status> {
        self.visitor.open(&mut batch)?;
        if self.visitor.expires().is_some_and(|expires| expires <= self.admission.clock.now()) {
            return Ok(Err(Refusal::TokenExpired));
        }
        let known = match self.visitor.may_send(&self.admission.apps, &batch.app) {
            Ok(known) => known,
            Err(refused) => return Ok(Err(refused.into())),
        };
        Ok(Arrived::new(&self.admission, batch, stretch, known))
    }

    /// Answers a batch. Where others would fare as it did, the agent is told first, once, to wait with them.
    fn answer(&mut self, dealt: Dealt) -> Result<(), Status> {
        let Dealt { sequence, outcome, throttle, .. } = dealt;
        if let Some(throttle) = throttle {
            let now = self.admission.clock.monotonic();
            if self.throttled.is_none_or(|until| until <= now) {
                self.throttled = Some(now + Duration::from_millis(throttle.delay_millis));
                self.admission.metrics.throttles.inc();
                self.tell(Kind::Throttle(throttle))?;
            }
        }
        self.tell(Kind::Answer(Answer { sequence, outcome: Some(outcome) }))
    }

    fn tell(&self, kind: Kind) -> Result<(), Status> {
        self.answers.try_send(Ok(ServerMessage { kind: Some(kind) })).map_err(|error| match error {
            TrySendError::Closed(_) => Status::cancelled("the agent is gone"),
            TrySendError::Full(_) => {
                Status::resource_exhausted("the agent sends beyond its window and takes no answers")
            }
        })
    }
}

impl InHand {
    fn has_room(self) -> bool {
        self.batches < WINDOW_BATCHES && self.bytes < WINDOW_BYTES
    }
}

/// Waits for a change; for ever where nothing changes.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    let changed = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}

/// Waits until a token has ended for too long; for ever where there is none.
async fn ended(clock: &dyn Clock, expires: Option<SystemTime>) {
    match expires {
        Some(expires) => {
            let left = (expires + TOKEN_GRACE).duration_since(clock.now()).unwrap_or_default();
            clock.sleep(left).await;
        }
        None => std::future::pending().await,
    }
}

fn replaced() -> Status {
    Status::aborted("another stream of this agent has begun: do two run with its folder or its name?")
}
