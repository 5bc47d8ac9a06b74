//! One batch of an agent, from the message to the journal.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;
use weir_foundation::failure::Failure as _;
use weir_journal::ReadError;
use weir_model::{Mark, RecordFormat, SourceId};
use weir_wire::compression::Encoding;
use weir_wire::proto::ingest::answer::Outcome;
use weir_wire::proto::ingest::{Batch, Compression, Later, Refused, Stored, Throttle};
use weir_wire::shape::Shaped;
use weir_wire::{filed_under, scan_events};

use super::sources::{Next, Step, Stretch};
use super::visitor::Whose;
use crate::admission::{self, Admission};
use crate::apps::Known;
use crate::body::Received;
use crate::budget::Reservation;
use crate::codes;
use crate::metrics::Door;
use crate::refusal::Refusal;
use crate::terms::Terms;

/// How soon a batch may come again that came before its turn.
const TURN: Duration = Duration::from_millis(100);

/// How soon the journal is asked again that could not be.
const JOURNAL_DELAY: Duration = Duration::from_secs(1);

/// A batch with the place that it is from, and the part of the budget that its payload occupies.
#[derive(Debug)]
pub(super) struct Arrived {
    batch: Batch,
    stretch: Option<Stretch>,
    known: Known,
    reservation: Reservation,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Dealt {
    pub(super) sequence: u64,
    pub(super) outcome: Outcome,
    /// What all batches have to wait for, whatever their source.
    pub(super) throttle: Option<Throttle>,
    /// Of its payload.
    pub(super) bytes: u64,
    /// Of the source, for the batch behind it.
    pub(super) source: Option<(SourceId, Next)>,
}

/// Why a batch is not stored.
#[derive(Debug)]
enum Trouble {
    Refused(Refusal),
    /// Something of its source that comes before it is not stored.
    Early,
    Mark(ReadError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Where a batch is from. Fails for what no agent of weir sends, which ends the stream.
pub(super) fn stretch(whose: &Whose, batch: &Batch) -> Result<Option<Stretch>, Status> {
    let wrong = |what: &str| Err(Status::invalid_argument(format!("batch {}: {what}", batch.sequence)));
    let Some(stretch) = &batch.stretch else { return Ok(None) };
    if stretch.source.len() != 16 {
        return wrong("a source has 16 bytes");
    }
    if stretch.end <= stretch.start || stretch.stored > stretch.start {
        return wrong("a stretch ends behind its start, which is not before what is stored");
    }
    let source = whose.source(&stretch.source);
    Ok(Some(Stretch { source, start: stretch.start, end: stretch.end, stored: stretch.stored }))
}

impl Arrived {
    /// Fails if there is no memory for it.
    pub(super) fn new(
        admission: &Admission,
        batch: Batch,
        stretch: Option<Stretch>,
        known: Known,
    ) -> Result<Self, Refusal> {
        let mut reservation = admission.reserve_request()?;
        reservation.grow_to(reservation.bytes() + batch.payload.len() as u64)?;
        Ok(Self { batch, stretch, known, reservation })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batch.payload.len() as u64
    }

    /// Stores the batch, unless it is stored already or out of order.
    pub(super) async fn take(self, admission: Arc<Admission>, next: Next) -> Dealt {
        let (sequence, stretch, bytes) = (self.batch.sequence, self.stretch, self.bytes());
        let (outcome, next) = match stretch {
            None => (self.store(&admission, None).await.map(|()| 0), Next::Unknown),
            Some(stretch) => self.take_stretch(&admission, stretch, next).await,
        };
        let throttle = outcome.as_ref().err().and_then(Trouble::throttle);
        let outcome = match outcome {
            Ok(mark) => Outcome::Stored(Stored { mark }),
            Err(trouble) => trouble.outcome(&admission),
        };
        Dealt { sequence, outcome, throttle, bytes, source: stretch.map(|stretch| (stretch.source, next)) }
    }

    /// How far the source is stored, or why the batch is not; and where its next stretch has to begin.
    async fn take_stretch(
        self,
        admission: &Arc<Admission>,
        stretch: Stretch,
        next: Next,
    ) -> (Result<u64, Trouble>, Next) {
        let step = match stretch.step(next) {
            Step::AskJournal => match self.mark(admission, stretch).await {
                Ok(mark) => stretch.first_step(mark),
                Err(trouble) => return (Err(trouble), Next::Unknown),
            },
            step => step,
        };
        match step {
            Step::Known(stored) => {
                admission.metrics.duplicates.inc();
                (Ok(stored), Next::At(stored))
            }
            Step::Wait | Step::AskJournal => (Err(Trouble::Early), next),
            // All of it was left out by the agent: there is nothing to store, and nothing that could be stored twice.
            Step::Store if self.batch.events == 0 => (Ok(stretch.end), Next::At(stretch.end)),
            Step::Store => {
                let mark = Mark { source: stretch.source, end: stretch.end };
                match self.store(admission, Some(mark)).await {
                    Ok(()) => (Ok(stretch.end), Next::At(stretch.end)),
                    // Where it is not known what became of it, the journal is asked before it is stored again.
                    Err(trouble) if trouble.is_open() => (Err(trouble), Next::Unknown),
                    Err(trouble) => (Err(trouble), Next::At(stretch.start)),
                }
            }
        }
    }

    /// How far the journal has the source.
    async fn mark(&self, admission: &Admission, stretch: Stretch) -> Result<Option<u64>, Trouble> {
        let known = self.known.clone();
        let (terms, _) = Terms::of_app(&self.batch.app, known, &admission.streams, &admission.settings)
            .map_err(Refusal::from)?;
        admission.journal.mark(&terms.stream.name, stretch.source).await.map_err(Trouble::Mark)
    }

    async fn store(self, admission: &Arc<Admission>, mark: Option<Mark>) -> Result<(), Trouble> {
        let Self { batch, known, reservation, .. } = self;
        let (terms, prefix) = Terms::of_app(&batch.app, known, &admission.streams, &admission.settings)
            .map_err(Refusal::from)?;
        let encoding = match batch.compression() {
            Compression::None => Encoding::Identity,
            Compression::Zstd => Encoding::Zstd,
        };
        let received = Received { bytes: batch.payload, reservation };
        let limit = super::max_batch(admission);
        let Received { bytes, reservation } = admission.decompress_to(encoding, received, limit).await?;
        let scanned = scan_events(&bytes).map_err(Refusal::from)?;
        if scanned.index_prefix != batch.app {
            return Err(
                Refusal::OtherPrefix { app: batch.app, prefix: scanned.index_prefix.to_owned() }.into()
            );
        }
        let events = scanned.items;
        if events != batch.events {
            return Err(Refusal::OtherCount { said: batch.events, found: events }.into());
        }
        if events == 0 {
            return Ok(());
        }
        let burst = terms.burst(admission.settings.rates.window);
        // Agents do not know where the events of an app are filed.
        let value = if prefix.as_str() == batch.app { bytes } else { filed_under(&prefix, bytes) };
        let record = Shaped { format: RecordFormat::Events, events, value };
        let batch = admission::Batch {
            events,
            // One that can never fit would hold up its source for ever.
            cost: burst
                .map_or(events, |burst| u32::try_from(burst).map_or(events, |burst| events.min(burst))),
            records: vec![record],
            tag: None,
            mark,
            reservation: Some(reservation),
        };
        admission.admit(&terms, batch).await?;
        Ok(())
    }
}

impl Trouble {
    /// Whether the batch may be stored all the same.
    fn is_open(&self) -> bool {
        match self {
            Self::Refused(Refusal::Append(error)) => error.outcome_unknown(),
            Self::Refused(Refusal::Cut) => true,
            Self::Refused(_) | Self::Early | Self::Mark(_) => false,
        }
    }

    /// What other sources would meet as well.
    fn throttle(&self) -> Option<Throttle> {
        let Self::Refused(refusal) = self else { return None };
        let delay = refusal.retry_after().filter(|_| refusal.meets_everybody())?;
        let (code, message) = (refusal.code().to_owned(), refusal.message());
        Some(Throttle { delay_millis: millis(delay), code, message })
    }

    fn outcome(self, admission: &Admission) -> Outcome {
        let later = |delay: Duration, code: &str, message: String| {
            Outcome::Later(Later { delay_millis: millis(delay), code: code.to_owned(), message })
        };
        match self {
            Self::Early => later(TURN, codes::OUT_OF_ORDER, "something before it is not stored".to_owned()),
            Self::Mark(error) => later(JOURNAL_DELAY, codes::JOURNAL_UNAVAILABLE, error.to_string()),
            Self::Refused(refusal) => {
                admission.metrics.refused(Door::Ingest, refusal.code());
                match refusal.retry_after() {
                    Some(delay) => later(delay, refusal.code(), refusal.message()),
                    None => Outcome::Refused(Refused {
                        code: refusal.code().to_owned(),
                        message: refusal.message(),
                    }),
                }
            }
        }
    }
}

impl Dealt {
    pub(super) fn turned_away(sequence: u64, refusal: Refusal, admission: &Admission) -> Self {
        let trouble = Trouble::Refused(refusal);
        let throttle = trouble.throttle();
        Self { sequence, outcome: trouble.outcome(admission), throttle, bytes: 0, source: None }
    }
}

fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}
