//! An agent that attends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Code, Status, Streaming};
use weir_auth::AgentName;
use weir_fleet::{AgentState, AgentStatus, Attendance, ConfigurationHash, FailedConfiguration, InputStatus};
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::crowd::Member;
use weir_foundation::settings::Secret;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy};
use weir_wire::proto::control::instruction::Kind;
use weir_wire::proto::control::report::Kind as ReportKind;
use weir_wire::proto::control::{
    Configuration, Input, Instruction, Introduction, Outcome, ReadLog, Renewal, Report, Token, Unchanged,
};

use super::AgentParts;
use super::caller::Caller;
use super::hub::{LogWish, Place};

/// How long an agent may take to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// How long a token may have ended before the stream ends with it.
const TOKEN_GRACE: Duration = Duration::from_secs(60);

/// Instructions that wait to be taken.
const QUEUE: usize = 64;

/// Log lines that are waited for at most.
const WISHES: usize = 16;

type Instructions = mpsc::Sender<Result<Instruction, Status>>;

pub(super) struct Session {
    parts: AgentParts,
    caller: Caller,
    incoming: Streaming<Report>,
    instructions: Instructions,
    changes: watch::Receiver<u64>,
    presence: Presence,
    wishes: mpsc::Receiver<LogWish>,
    asked: HashMap<u64, oneshot::Sender<Vec<String>>>,
    next_request: u64,
    report: weir_fleet::Report,
    /// What the agent was told to run last, by hash; empty for nothing.
    told: String,
    /// The same, by revision; none for what it ran when it came. What did not work is tried again under another one.
    told_revision: Option<u64>,
    /// Whether it knows that it runs what it should, or what that would be.
    is_told: bool,
    is_to_renew: bool,
}

/// That the agent attends here, for as long as this is held.
struct Presence {
    parts: AgentParts,
    agent: AgentName,
    attendance: Attendance,
    _place: Place,
}

enum Event {
    Report(Result<Option<Report>, Status>),
    Changed,
    Wish(LogWish),
    Expired,
    Draining,
}

impl Session {
    /// Starts a session, whose instructions come here.
    pub(super) fn start(
        parts: &AgentParts,
        caller: Caller,
        member: Member<AgentName>,
        mut incoming: Streaming<Report>,
    ) -> mpsc::Receiver<Result<Instruction, Status>> {
        let (instructions, receiver) = mpsc::channel(QUEUE);
        let parts = parts.clone();
        let policy = Policy::expendable(DrainPhase::StopIntake);
        parts.spawner.clone().spawn("server.agents.session", policy, |drain| async move {
            let begun = tokio::select! {
                begun = introduction(&mut incoming, &*parts.clock) => begun,
                () = drain.draining() => return Ok::<(), Infallible>(()),
            };
            let outcome = match begun {
                Ok(introduced) => {
                    let session = Self::new(parts, caller, incoming, instructions.clone(), introduced);
                    session.run(&drain).await
                }
                Err(status) => Err(status),
            };
            if let Err(status) = outcome {
                // The agent may be gone, or take nothing.
                instructions.try_send(Err(status)).ok();
            }
            drop(member);
            Ok(())
        });
        receiver
    }

    fn new(
        parts: AgentParts,
        caller: Caller,
        incoming: Streaming<Report>,
        instructions: Instructions,
        introduction: Introduction,
    ) -> Self {
        tracing::info!(agent = %caller.name(), version = introduction.version, "an agent attends");
        let told = introduction.running.clone();
        let report = weir_fleet::Report {
            version: introduction.version,
            host: introduction.host,
            os: introduction.os,
            own_inputs: introduction.own_inputs,
            running: hash(&introduction.running),
            failed: introduction.failed.as_ref().and_then(failed),
            ..weir_fleet::Report::default()
        };
        let (presence, wishes) = Presence::enter(&parts, caller.name());
        let mut changes = parts.fleet.changes();
        // Looked at first of all.
        changes.mark_changed();
        Self {
            parts,
            caller,
            incoming,
            instructions,
            changes,
            presence,
            wishes,
            asked: HashMap::new(),
            next_request: 0,
            report,
            told,
            told_revision: None,
            is_told: false,
            is_to_renew: false,
        }
    }

    async fn run(mut self, drain: &DrainToken) -> Result<(), Status> {
        let clock = Arc::clone(&self.parts.clock);
        self.parts.fleet.report(self.caller.name(), self.report.clone());
        loop {
            let event = tokio::select! {
                report = self.incoming.message() => Event::Report(report),
                Ok(()) = self.changes.changed() => Event::Changed,
                Some(wish) = self.wishes.recv() => Event::Wish(wish),
                () = ended(&*clock, self.caller.expires) => Event::Expired,
                () = drain.draining() => Event::Draining,
            };
            match event {
                Event::Report(report) => match report? {
                    Some(report) => self.hear(report)?,
                    None => return Ok(()),
                },
                Event::Changed => self.look_again()?,
                Event::Wish(wish) => self.ask(wish)?,
                Event::Expired => return Err(Status::unauthenticated("the access token has expired")),
                Event::Draining => return Err(Status::unavailable("the server is shutting down")),
            }
        }
    }

    fn hear(&mut self, report: Report) -> Result<(), Status> {
        match report.kind {
            Some(ReportKind::Status(status)) => {
                self.report.running = hash(&status.running);
                self.report.status = Some(AgentStatus {
                    inputs: status.inputs.into_iter().map(input).collect(),
                    clock_skew_millis: status.clock_skew_millis,
                    error: status.error,
                });
            }
            Some(ReportKind::Outcome(outcome)) => self.learn(&outcome),
            Some(ReportKind::LogLines(lines)) => {
                if let Some(answer) = self.asked.remove(&lines.request) {
                    // Whoever asked may be gone.
                    answer.send(lines.lines).ok();
                }
                return Ok(());
            }
            Some(ReportKind::Token(Token { token })) => {
                let certificate = self.caller.certificate.clone();
                let next = Caller::with(&self.parts.fleet, certificate, &Secret::new(token))?;
                if next.name() != self.caller.name() {
                    return Err(Status::permission_denied("the token is that of another agent"));
                }
                self.caller = next;
                return Ok(());
            }
            Some(ReportKind::Introduction(_)) => {
                return Err(Status::invalid_argument("an agent introduces itself once"));
            }
            // Of an agent to come.
            None => return Ok(()),
        }
        if self.parts.fleet.is_replaced(self.caller.name(), self.presence.attendance) {
            return Err(Status::aborted("the agent attends elsewhere by now"));
        }
        self.parts.fleet.report(self.caller.name(), self.report.clone());
        Ok(())
    }

    fn learn(&mut self, outcome: &Outcome) {
        let agent = self.caller.name();
        match failed(outcome) {
            Some(failed) => {
                tracing::warn!(%agent, revision = outcome.revision, reason = failed.reason, "a configuration failed");
                self.report.failed = Some(failed);
            }
            None => {
                tracing::info!(%agent, revision = outcome.revision, "a configuration is applied");
                self.report.failed = None;
            }
        }
    }

    /// Whether the agent is still welcome, runs what it should, and has a certificate of the present root.
    fn look_again(&mut self) -> Result<(), Status> {
        let fleet = &self.parts.fleet;
        let agent = fleet.agent(self.caller.name()).ok_or_else(|| gone("the agent is not known any more"))?;
        if agent.state != AgentState::Good {
            return Err(gone("the agent was revoked"));
        }
        let wanted = fleet.configuration_of(&agent.name);
        let hash = wanted.as_ref().map(|wanted| wanted.hash.to_string()).unwrap_or_default();
        let revision = wanted.as_ref().map(|wanted| wanted.revision);
        let told = std::mem::replace(&mut self.told_revision, revision);
        if hash != self.told || told.is_some_and(|told| Some(told) != revision) {
            let configuration = wanted.map_or_else(Configuration::default, |wanted| Configuration {
                revision: wanted.revision,
                hash: hash.clone(),
                text: wanted.text.to_string(),
            });
            self.report.offered = Some(ConfigurationHash::of(&configuration.text));
            self.tell(Kind::Configuration(configuration))?;
            (self.told, self.is_told) = (hash, true);
            self.parts.fleet.report(self.caller.name(), self.report.clone());
        } else if !std::mem::replace(&mut self.is_told, true) {
            self.report.offered = self::hash(&hash);
            self.tell(Kind::Unchanged(Unchanged {}))?;
            self.parts.fleet.report(self.caller.name(), self.report.clone());
        }
        if !self.is_to_renew && self.parts.fleet.is_behind(self.caller.name()) {
            self.is_to_renew = true;
            self.tell(Kind::Renewal(Renewal {}))?;
        }
        Ok(())
    }

    fn ask(&mut self, wish: LogWish) -> Result<(), Status> {
        self.asked.retain(|_, answer| !answer.is_closed());
        if self.asked.len() >= WISHES {
            return Ok(());
        }
        self.next_request += 1;
        self.asked.insert(self.next_request, wish.answer);
        self.tell(Kind::ReadLog(ReadLog { request: self.next_request, lines: wish.lines }))
    }

    /// Nobody is waited for: whoever is sent away has to be out at once.
    fn tell(&self, kind: Kind) -> Result<(), Status> {
        let sent = self.instructions.try_send(Ok(Instruction { kind: Some(kind) }));
        sent.map_err(|error| match error {
            TrySendError::Closed(_) => Status::cancelled("the agent is gone"),
            TrySendError::Full(_) => Status::resource_exhausted("the agent does not take what it is told"),
        })
    }
}

impl Presence {
    fn enter(parts: &AgentParts, agent: &AgentName) -> (Self, mpsc::Receiver<LogWish>) {
        let (place, wishes, takeovers) = parts.hub.enter(agent, parts.clock.now());
        let attendance = parts.fleet.attends(agent, u32::try_from(takeovers).unwrap_or(u32::MAX));
        (Self { parts: parts.clone(), agent: agent.clone(), attendance, _place: place }, wishes)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.parts.fleet.leaves(&self.agent, self.attendance);
    }
}

async fn introduction(incoming: &mut Streaming<Report>, clock: &dyn Clock) -> Result<Introduction, Status> {
    let late = |_| Status::deadline_exceeded("an agent begins with an Introduction");
    match timeout(clock, INTRODUCTION, incoming.message())
        .await
        .map_err(late)??
        .and_then(|report| report.kind)
    {
        Some(ReportKind::Introduction(introduction)) => Ok(introduction),
        _ => Err(Status::invalid_argument("an agent begins with an Introduction")),
    }
}

fn hash(text: &str) -> Option<ConfigurationHash> {
    text.parse().ok()
}

fn input(input: Input) -> InputStatus {
    let Input { kind, name, app, files, lag_bytes, lag_millis, stored_bytes, lines, errors, last_error } =
        input;
    InputStatus { kind, name, app, files, lag_bytes, lag_millis, stored_bytes, lines, errors, last_error }
}

fn failed(outcome: &Outcome) -> Option<FailedConfiguration> {
    let reason = Some(outcome.error.clone()).filter(|error| !error.is_empty())?;
    Some(FailedConfiguration { hash: hash(&outcome.hash)?, reason })
}

fn gone(message: &str) -> Status {
    Status::new(Code::PermissionDenied, message)
}

/// Waits until a token has ended for too long.
async fn ended(clock: &dyn Clock, expires: SystemTime) {
    let left = (expires + TOKEN_GRACE).duration_since(clock.now()).unwrap_or_default();
    clock.sleep(left).await;
}
