//! The side of the connection on which the agent shows who it is, says how it is, and is told what to run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use weir_foundation::clock::{Clock, until};
use weir_foundation::failure::chain;
use weir_foundation::settings::Secret;
use weir_wire::proto::control::control_client::ControlClient;
use weir_wire::proto::control::{
    Instruction, Introduction, LogLines, ReadLog, RenewRequest, Report, Token as NewToken, TokenRequest,
    instruction, report,
};

use crate::condition::{Condition, Offer, millis};
use crate::identity::{IdentityError, IdentityFile};
use crate::link::Broken;
use crate::patience::{Patience, Step};

/// Without anything new the agent says so often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How soon a certificate is asked for again that the server does not give yet.
const TOO_EARLY: Duration = Duration::from_secs(30);

/// The same where something went wrong.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// Counts are told at most so often.
const COUNTS: Duration = Duration::from_secs(5);

/// A token is renewed when this part of its life is over, so that there is time to try again.
const TOKEN_PART: f64 = 0.6;

/// What the agent is and does, as the control side needs it.
#[derive(Debug, Clone)]
pub struct Attendance {
    pub identity: IdentityFile,
    pub condition: watch::Receiver<Condition>,
    pub log: Arc<dyn OwnLog>,
    /// What the machine is called.
    pub host: String,
    /// Whether it runs the inputs of its own settings, and nothing that is offered.
    pub own_inputs: bool,
}

/// The agent's own log.
pub trait OwnLog: std::fmt::Debug + Send + Sync {
    /// The last lines, at most so many, the oldest first.
    fn last(&self, lines: usize) -> Vec<String>;
}

/// A token, and when to ask for the next one.
pub(crate) struct Token {
    pub(crate) secret: Secret,
    renew_at: Instant,
}

/// What the control side says to that of the events.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    /// The token from now on.
    Token(Secret),
    /// The connection is to be made anew once everything is answered: there is a new certificate.
    Leave,
}

/// The control side of one connection.
pub(crate) struct Control {
    client: ControlClient<Channel>,
    reports: mpsc::Sender<Report>,
    instructions: Streaming<Instruction>,
    offers: watch::Sender<Option<Arc<Offer>>>,
    words: mpsc::Sender<Word>,
    clock: Arc<dyn Clock>,
    token: Token,
    renew_at: Instant,
    skew: i64,
    told: Condition,
    told_at: Instant,
    /// Something has changed since.
    stale: bool,
    /// How long an answer may take.
    patience: Duration,
}

enum Event {
    Instruction(Result<Option<Instruction>, Status>),
    Changed,
    Due,
    TokenDue,
    RenewalDue,
}

/// Asks who the server says that this agent is, for as long as the token lasts.
pub(crate) async fn token(
    client: &mut ControlClient<Channel>,
    clock: &dyn Clock,
) -> Result<(Token, i64), Status> {
    let asked = clock.monotonic();
    let answer = client.token(TokenRequest {}).await?.into_inner();
    let now = clock.monotonic();
    let here = clock.now().duration_since(std::time::UNIX_EPOCH).map_or(0, millis);
    // The server looked at its clock about half-way.
    let there = answer.now_millis + millis(now.saturating_duration_since(asked)) / 2;
    let skew = i64::try_from(i128::from(here) - i128::from(there)).unwrap_or(0);
    let life = Duration::from_millis(answer.expires_in_millis);
    let renew_at = asked + life.mul_f64(TOKEN_PART * rand::rng().random_range(0.9..1.0));
    Ok((Token { secret: Secret::new(answer.token), renew_at }, skew))
}

/// A request with the token.
pub(crate) fn with_token<T>(message: T, token: &Secret) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.reveal())
        .parse()
        .map_err(|_illegal| Status::unauthenticated("the server gave a token that can not be sent"))?;
    value.set_sensitive(true);
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

impl Control {
    /// Introduces the agent. The words say what the other side has to know.
    pub(crate) async fn begin(
        channel: Channel,
        attendance: &mut Attendance,
        offers: watch::Sender<Option<Arc<Offer>>>,
        clock: Arc<dyn Clock>,
        patience: Duration,
        beginning: &Patience<'_>,
    ) -> Result<(Self, mpsc::Receiver<Word>), Broken> {
        let mut client = ControlClient::new(channel).max_decoding_message_size(CONFIGURATION_BYTES);
        let (token, skew) = beginning.wait(Step::Token, token(&mut client, &*clock)).await??;
        let condition = attendance.condition.borrow_and_update().clone();
        let (reports, messages) = mpsc::channel(QUEUE);
        let introduction = Introduction {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: attendance.host.clone(),
            os: std::env::consts::OS.to_owned(),
            running: condition.running.clone(),
            failed: condition.outcome.clone().filter(|outcome| outcome.error.is_some()).map(Into::into),
            own_inputs: attendance.own_inputs,
        };
        // There is room.
        drop(reports.try_send(Report { kind: Some(report::Kind::Introduction(introduction)) }));
        let request = with_token(ReceiverStream::new(messages), &token.secret)?;
        let instructions = beginning.wait(Step::Attend, client.attend(request)).await??.into_inner();
        let (words, hears) = mpsc::channel(QUEUE);
        let now = clock.monotonic();
        let renew_at = attendance.identity.renew_at(now, clock.now());
        // What runs and what failed is said by the introduction; all counts are told at once.
        let told =
            Condition { running: condition.running, outcome: condition.outcome, ..Condition::default() };
        let told_at = now.checked_sub(HEARTBEAT).unwrap_or(now);
        let control = Self {
            client,
            reports,
            instructions,
            offers,
            words,
            clock,
            token,
            renew_at,
            skew,
            told,
            told_at,
            stale: false,
            patience,
        };
        Ok((control, hears))
    }

    pub(crate) fn token(&self) -> &Secret {
        &self.token.secret
    }

    /// Serves until the connection breaks; it never ends well.
    pub(crate) async fn run(mut self, attendance: &mut Attendance) -> Broken {
        loop {
            if let Err(broken) = self.step(attendance).await {
                return broken;
            }
        }
    }

    async fn step(&mut self, attendance: &mut Attendance) -> Result<(), Broken> {
        let clock = Arc::clone(&self.clock);
        let is_news = attendance.condition.borrow().is_news(&self.told);
        let rests = if self.stale { COUNTS } else { HEARTBEAT };
        let due = if is_news { self.told_at } else { self.told_at + rests };
        let event = tokio::select! {
            instruction = self.instructions.message() => Event::Instruction(instruction),
            () = until(&*clock, Some(due)) => Event::Due,
            () = until(&*clock, Some(self.token.renew_at)) => Event::TokenDue,
            () = until(&*clock, Some(self.renew_at)) => Event::RenewalDue,
            Ok(()) = attendance.condition.changed() => Event::Changed,
        };
        match event {
            Event::Instruction(instruction) => match instruction?.ok_or(Broken::Ended)?.kind {
                Some(instruction::Kind::Configuration(configuration)) => {
                    self.offers.send_replace(Some(Arc::new(configuration.into())));
                    Ok(())
                }
                Some(instruction::Kind::ReadLog(wanted)) => self.tell_log(attendance, &wanted).await,
                Some(instruction::Kind::Renewal(_)) => self.renew(attendance).await,
                // Nothing to do, or of a server to come.
                Some(instruction::Kind::Unchanged(_)) | None => Ok(()),
            },
            Event::Changed => {
                self.stale = true;
                Ok(())
            }
            Event::Due => self.tell(attendance).await,
            Event::TokenDue => self.renew_token().await,
            Event::RenewalDue => self.renew(attendance).await,
        }
    }

    async fn tell(&mut self, attendance: &mut Attendance) -> Result<(), Broken> {
        let condition = attendance.condition.borrow_and_update().clone();
        if let Some(outcome) = condition.outcome.clone().filter(|new| self.told.outcome.as_ref() != Some(new))
        {
            self.report(report::Kind::Outcome(outcome.into())).await?;
        }
        let not_after = attendance.identity.not_after().duration_since(std::time::UNIX_EPOCH);
        let status = weir_wire::proto::control::Status {
            inputs: condition.inputs.iter().cloned().map(Into::into).collect(),
            clock_skew_millis: self.skew,
            error: condition.error.clone().unwrap_or_default(),
            certificate_not_after: not_after.map_or(0, |since| since.as_secs()),
            running: condition.running.clone(),
        };
        self.report(report::Kind::Status(status)).await?;
        self.told = condition;
        self.stale = false;
        self.told_at = self.clock.monotonic();
        Ok(())
    }

    async fn tell_log(&self, attendance: &Attendance, wanted: &ReadLog) -> Result<(), Broken> {
        let most = usize::try_from(wanted.lines).unwrap_or(usize::MAX).min(LOG_LINES);
        let lines = attendance.log.last(most);
        self.report(report::Kind::LogLines(LogLines { request: wanted.request, lines })).await
    }

    async fn renew_token(&mut self) -> Result<(), Broken> {
        let patience = Patience::new(&*self.clock, self.patience);
        let asking = token(&mut self.client, &*self.clock);
        let (token, skew) = patience.wait(Step::RenewToken, asking).await??;
        self.skew = skew;
        self.words.send(Word::Token(token.secret.clone())).await.map_err(|_gone| Broken::Ended)?;
        self.report(report::Kind::Token(NewToken { token: token.secret.reveal().to_owned() })).await?;
        self.token = token;
        Ok(())
    }

    /// A new certificate; the connection is then made anew with it. What goes wrong is tried again, and the connection goes
    /// on meanwhile: there is time. Fails for who is sent away.
    async fn renew(&mut self, attendance: &Attendance) -> Result<(), Broken> {
        let identity = &attendance.identity;
        match self.ask_for_certificate(identity).await {
            Ok(()) => {}
            // The certificate is so new that the server gives no other one yet.
            Err(Broken::Status(status)) if status.code() == Code::ResourceExhausted => {
                self.renew_at = self.clock.monotonic() + TOO_EARLY;
                return Ok(());
            }
            Err(broken) if broken.is_refusal() => return Err(broken),
            Err(broken) => {
                tracing::warn!(error = %chain(&broken), again = ?RENEW_AGAIN, "the certificate could not be renewed");
                self.renew_at = self.clock.monotonic() + RENEW_AGAIN;
                return Ok(());
            }
        }
        tracing::info!(agent = identity.agent(), "the certificate is renewed");
        self.renew_at = identity.renew_at(self.clock.monotonic(), self.clock.now());
        self.words.send(Word::Leave).await.map_err(|_gone| Broken::Ended)
    }

    async fn ask_for_certificate(&mut self, identity: &IdentityFile) -> Result<(), Broken> {
        let (generation, certificate_request) = identity.request()?;
        let request = with_token(RenewRequest { certificate_request, generation }, &self.token.secret)?;
        let patience = Patience::new(&*self.clock, self.patience);
        let answer = patience.wait(Step::Renew, self.client.renew(request)).await??;
        Ok(identity.renewed(answer.into_inner(), self.clock.now())?)
    }

    async fn report(&self, kind: report::Kind) -> Result<(), Broken> {
        self.reports.send(Report { kind: Some(kind) }).await.map_err(|_gone| Broken::Ended)
    }
}

impl From<IdentityError> for Broken {
    fn from(error: IdentityError) -> Self {
        Self::Identity(Box::new(error))
    }
}

/// Reports that wait to be sent.
const QUEUE: usize = 8;

/// What an instruction may have at most.
const CONFIGURATION_BYTES: usize = 4 << 20;

/// Lines of the log that are given at most.
const LOG_LINES: usize = 1_000;
