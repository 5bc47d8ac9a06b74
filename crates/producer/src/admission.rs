//! The way of a batch from a door into the journal: limited, known or new, stored, and only then answered.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::oneshot;
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::health::Progress;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_journal::{AppendError, Journal, Origin};
use weir_limits::{Ask, Limiter, OverLimit, Scope};
use weir_model::{BatchTag, Mark, Record, Timestamp};
use weir_wire::shape::Shaped;

use crate::apps::Apps;
use crate::budget::{Budget, Reservation};
use crate::metrics::{Metrics, OTHER};
use crate::producer::Records;
use crate::refusal::Refusal;
use crate::section::Settings;
use crate::streams::{Stream, Streams};
use crate::terms::{Group, Rate, Terms};
use crate::window::{BatchWindow, Claim, Progression, Ticket};

/// Events of one batch at most. An event may be two bytes, and takes fifty times that when it is decoded.
pub(crate) const BATCH_EVENTS: u32 = 1_000_000;

/// Shared by all doors.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) settings: Settings,
    pub(crate) budget: Budget,
    /// For the trees that barito-flow's JSON becomes on its way to protobuf: a body within the limit always fits by
    /// itself, unless it is made of next to nothing but tiny values.
    pub(crate) conversions: Budget,
    pub(crate) streams: Streams,
    pub(crate) apps: Apps,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawner: Spawner,
    pub(crate) limits: Limiter,
    pub(crate) window: BatchWindow,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) records: Records,
    pub(crate) progress: Progress,
    pub(crate) drain: DrainToken,
}

/// What became of a batch that is durable.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) stream: Arc<Stream>,
    pub(crate) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Stored,
    /// It was before, under the same batch id.
    Known,
}

/// A batch that is well-formed.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) events: u32,
    /// How many of them count for limits: all, unless the sender is to be slowed down and not refused.
    pub(crate) cost: u32,
    /// What is to be stored, in its order; the same for the same batch, whenever it comes.
    pub(crate) records: Vec<Shaped>,
    /// Present if the client named the batch.
    pub(crate) tag: Option<BatchTag>,
    /// How far its source is stored with it, if it is from one.
    pub(crate) mark: Option<Mark>,
    /// What the batch occupies, until it is stored: with an id it may outlive its request. Absent if the
    /// door holds it for longer than that.
    #[expect(dead_code, reason = "is given back when the batch is dropped")]
    pub(crate) reservation: Option<Reservation>,
}

impl Admission {
    /// Returns when the batch is durable. `Ok` for an empty batch, which stores nothing.
    ///
    /// A batch that is known is answered before it is limited: it costs the app nothing twice. If the
    /// future is dropped, a batch with an id is stored all the same, so that the window learns of it.
    pub(crate) async fn admit(self: &Arc<Self>, terms: &Terms, batch: Batch) -> Result<Admitted, Refusal> {
        let admitted = |stream: &Arc<Stream>, how| Admitted { stream: Arc::clone(stream), how };
        if batch.events == 0 {
            return Ok(admitted(&terms.stream, How::Stored));
        }
        if batch.events > BATCH_EVENTS {
            return Err(Refusal::TooManyEvents { limit: BATCH_EVENTS });
        }
        let ticket = match batch.tag {
            None => None,
            Some(tag) => match self.window.claim(tag).await? {
                Claim::Store(ticket) => Some(ticket),
                Claim::Stored => {
                    self.metrics.duplicates.inc();
                    return Ok(admitted(&terms.stream, How::Known));
                }
            },
        };
        self.limit(terms, &batch).await?;
        let stream = match ticket {
            None => self.store(terms, batch, &mut Progression::default()).await?,
            Some(ticket) => self.store_known(terms, batch, ticket).await?,
        };
        Ok(Admitted { stream, how: How::Stored })
    }

    async fn limit(&self, terms: &Terms, batch: &Batch) -> Result<(), OverLimit> {
        let app = Scope::App(terms.stream.name.as_str());
        let outcome = match terms.group {
            Group::Alone => self.ask([(app, terms.rate)], batch.cost).await,
            // First what only this app is short of, so that it is told of its own limit.
            Group::Shared { of_app } => {
                self.ask([(app, of_app), (Scope::Group, terms.rate)], batch.cost).await
            }
        };
        if outcome.is_err() {
            let metrics = &terms.stream.metrics;
            metrics.barito_tps_exceeded.inc_by(u64::from(batch.events));
            metrics.barito_tps_exceeded_bytes.add(batch.bytes());
        }
        outcome
    }

    /// Asks the buckets that there are, all at once.
    async fn ask<const N: usize>(&self, rates: [(Scope<'_>, Rate); N], events: u32) -> Result<(), OverLimit> {
        let mut asks = [Ask { scope: Scope::Group, rate: NonZeroU32::MIN }; N];
        let mut asked = 0;
        for (scope, rate) in rates {
            match rate {
                Rate::Unlimited => {}
                Rate::Nothing => return Err(OverLimit { rate: 0, retry_after: None }),
                Rate::PerSecond(rate) => {
                    asks[asked] = Ask { scope, rate };
                    asked += 1;
                }
            }
        }
        self.limits.take(&asks[..asked], events).await
    }

    /// A journal that does not answer is not waited for when the process ends: the client is told in time to go
    /// elsewhere.
    async fn store(
        &self,
        terms: &Terms,
        batch: Batch,
        done: &mut Progression,
    ) -> Result<Arc<Stream>, Refusal> {
        tokio::select! {
            biased;
            outcome = self.create_and_append(terms, batch, done) => outcome,
            () = self.overdue() => Err(Refusal::Cut),
        }
    }

    /// Before the connections are cut.
    async fn overdue(&self) {
        self.drain.draining().await;
        self.clock.sleep(self.spawner.deadline(DrainPhase::StopIntake) / 5 * 3).await;
    }

    async fn create_and_append(
        &self,
        terms: &Terms,
        batch: Batch,
        done: &mut Progression,
    ) -> Result<Arc<Stream>, Refusal> {
        let _waiting = Waiting::new(&self.progress);
        let received = Timestamp::from(self.clock.now());
        let created = self.streams.ensure(&terms.stream, terms.wanted).await;
        let stream = created.inspect_err(|_| self.metrics.barito_failed(OTHER, "create_topic"))?;
        match self.append(&stream, &batch, received, done).await {
            Err(error) if matches!(error.reason(), AppendError::UnknownStream(_)) => {
                let stream = self.streams.create(&stream, terms.wanted).await?;
                self.append(&stream, &batch, received, done).await?;
                Ok(stream)
            }
            stored => stored.map(|()| stream).map_err(Refusal::from),
        }
    }

    /// Stores in a task of its own, so that the ticket is used however long the caller stays.
    async fn store_known(
        self: &Arc<Self>,
        terms: &Terms,
        batch: Batch,
        mut ticket: Ticket,
    ) -> Result<Arc<Stream>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let (admission, terms) = (Arc::clone(self), terms.clone());
        let policy = Policy::expendable(DrainPhase::StopIntake);
        self.spawner.spawn("producer.append", policy, |_| async move {
            let outcome = admission.store(&terms, batch, ticket.progression()).await;
            if outcome.is_ok() {
                ticket.stored();
            }
            // Nobody listens any more if the client is gone.
            answer.send(outcome).ok();
            Ok::<(), Infallible>(())
        });
        answered.await.unwrap_or(Err(Refusal::Cut))
    }

    /// Appends what is not stored yet, and notes what is.
    async fn append(
        &self,
        stream: &Stream,
        batch: &Batch,
        received: Timestamp,
        done: &mut Progression,
    ) -> Result<(), AppendError> {
        let began = self.clock.monotonic();
        let left = done.left(&batch.records);
        let record = |shaped: &Shaped| Record {
            format: shaped.format,
            events: Some(shaped.events),
            received,
            batch: batch.tag,
            value: shaped.value.clone(),
        };
        let records = left.iter().filter_map(|index| batch.records.get(*index)).map(record).collect();
        let origin = batch.mark.map_or(Origin::Any, Origin::Source);
        let (stored, outcome) = match self.journal.append(&stream.name, origin, records).await {
            Ok(_) => (left, Ok(())),
            Err(error) => {
                self.not_stored(stream, &error);
                let stored = match &error {
                    AppendError::Partial { stored, .. } => {
                        let stored = left.into_iter().zip(stored).filter(|(_, stored)| **stored);
                        stored.map(|(index, _)| index).collect()
                    }
                    _ => Vec::new(),
                };
                (stored, Err(error))
            }
        };
        let records = || stored.iter().filter_map(|index| batch.records.get(*index));
        let size = records()
            .fold((0, 0), |(events, bytes), record| (events + record.events, bytes + record.value.len()));
        if !stored.is_empty() {
            self.stored(stream, stored.len(), size, began);
        }
        done.note(&stored, batch.records.len());
        outcome
    }

    fn stored(
        &self,
        stream: &Stream,
        records: usize,
        (events, bytes): (u32, usize),
        began: std::time::Instant,
    ) {
        let seconds = self.clock.monotonic().saturating_duration_since(began).as_secs_f64();
        self.metrics.append_seconds.observe(seconds);
        let metrics = &stream.metrics;
        metrics.accepted_events.inc_by(u64::from(events));
        metrics.accepted_bytes.inc_by(bytes as u64);
        metrics.barito_stored.inc_by(records as u64);
        metrics.barito_produced_bytes.add(bytes as u64);
        metrics.barito_send_seconds.observe(seconds);
    }

    fn not_stored(&self, stream: &Stream, error: &AppendError) {
        self.metrics.barito_failed(stream.name.as_str(), "send_log");
        // Other failures pass, and the journal says itself what it is short of.
        if error.outcome_unknown() {
            tracing::error!(stream = %stream.name, error = %chain(error), "a batch may or may not be stored");
        }
    }
}

impl Batch {
    fn bytes(&self) -> u64 {
        self.records.iter().map(|record| record.value.len() as u64).sum()
    }
}

/// A batch that waits for the journal; the health of the process counts them.
#[derive(Debug)]
struct Waiting<'a>(&'a Progress);

impl<'a> Waiting<'a> {
    fn new(progress: &'a Progress) -> Self {
        progress.began();
        Self(progress)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.done();
    }
}
