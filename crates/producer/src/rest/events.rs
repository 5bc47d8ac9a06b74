//! `POST /api/v1/apps/<app>/events`: weir's own door.
//!
//! The content type says how the body is read: `text/plain` lines of text; `application/x-ndjson`,
//! `application/jsonl` and their likes lines of JSON; `application/json` an array of objects, one object, or
//! lines of JSON; anything else lines, of which those that are JSON objects are taken as such.
//!
//! Lines without a batch id are stored in parts while the body is still coming, so that a body may have any
//! length and never occupies more memory than a part. Where a later part fails, the answer says how many
//! events are durable. An app that is over its limit after the first part is slowed down to its rate rather
//! than refused.
//!
//! A body with a batch id, a compressed one or an array is one batch and so bounded by the size of one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, header};
use weir_foundation::failure::Failure;
use weir_foundation::metrics::Counter;
use weir_model::IndexPrefix;
use weir_wire::EventsBuilder;
use weir_wire::compression::Encoding;
use weir_wire::lines::{self, BodyError, BodyFormat, NAMED_REJECTIONS, Outcome};
use weir_wire::shape::shape_events;

use super::answer::{Rejection, Report, refuse};
use super::lines::{LineParts, Part, PartSize};
use crate::admission::{Admission, BATCH_EVENTS, Batch};
use crate::body::{Received, batch_id, encoding_of, next_data, resume};
use crate::budget::Reservation;
use crate::metrics::Door;
use crate::producer::Records;
use crate::refusal::Refusal;
use crate::terms::Terms;
use crate::window;

#[derive(Debug, Clone)]
pub(super) struct EventsDoor {
    admission: Arc<Admission>,
    batches: Counter,
}

pub(super) async fn post(
    State(door): State<EventsDoor>,
    Path(app): Path<String>,
    request: Request,
) -> Response {
    match door.take(&app, request).await {
        Ok(report) => report.into_response(),
        Err(refused) => {
            door.admission.metrics.refused(Door::Events, refused.refusal.code());
            refuse(&refused.refusal, refused.report.as_ref())
        }
    }
}

/// A body that was refused, perhaps after some of it was stored.
#[derive(Debug)]
struct Refused {
    refusal: Refusal,
    report: Option<Report>,
}

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { refusal: error.into(), report: None }
    }
}

/// A part holds a few hundred kilobytes of ordinary lines: large enough that a sync costs nothing, small
/// enough that it takes no noticeable memory.
const PART_BYTES: usize = 512 << 10;
const PART_LINES: usize = 4096;

impl EventsDoor {
    pub(super) fn new(admission: &Arc<Admission>) -> Self {
        Self { admission: Arc::clone(admission), batches: admission.metrics.batches(Door::Events) }
    }

    async fn take(&self, app: &str, request: Request) -> Result<Report, Refused> {
        let (head, body) = request.into_parts();
        let admission = &*self.admission;
        let known = admission.apps.of_client(app, secret_of(&head.headers))?;
        let (terms, prefix) = Terms::of_app(app, known, &admission.streams, &admission.settings)?;
        let id = batch_id(&head.headers)?;
        let media = Media::of(&head.headers);
        let mut upload = Upload {
            door: self,
            report: Report {
                stream: terms.stream.name.to_string(),
                batch: id.map(str::to_owned),
                ..Report::default()
            },
            terms,
            prefix,
            lines: 0,
        };
        let outcome = match (media, id, encoding_of(&head.headers, &[])?) {
            (Media::Lines(format), None, Encoding::Identity) => {
                upload.stream(&head.headers, body, format).await
            }
            _ => upload.whole(&head.headers, body, media, id).await,
        };
        match outcome {
            Ok(()) => Ok(upload.report),
            Err(refusal) => {
                let report = (upload.report.accepted > 0).then_some(upload.report);
                Err(Refused { refusal, report })
            }
        }
    }
}

/// What a client shows to send in the name of an app that has a secret: `Authorization: Bearer <secret>`.
fn secret_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// How the content type says that the body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Lines(BodyFormat),
    Json,
}

impl Media {
    fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "text/plain" => Self::Lines(BodyFormat::Text),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines" => Self::Lines(BodyFormat::JsonLines),
            _ => Self::Lines(BodyFormat::Auto),
        }
    }
}

/// One request on its way.
struct Upload<'a> {
    door: &'a EventsDoor,
    terms: Terms,
    prefix: IndexPrefix,
    report: Report,
    /// Lines of the body before the part that is being read.
    lines: u64,
}

impl Upload<'_> {
    /// Takes the body as one batch.
    async fn whole(
        &mut self,
        headers: &HeaderMap,
        body: Body,
        media: Media,
        id: Option<&str>,
    ) -> Result<(), Refusal> {
        let admission = &self.door.admission;
        let received = admission.read_whole(body).await?;
        let encoding = encoding_of(headers, &received.bytes)?;
        let Received { bytes, mut reservation } = admission.decompress(encoding, received).await?;
        let tag = id.map(|id| window::tag(self.terms.stream.name.as_str(), id, &bytes));
        let parsed = self.parse(&bytes, media, &mut reservation).await?;
        drop(bytes);
        let batch = Batch { tag, reservation: Some(reservation), ..parsed.batch(admission.records)? };
        let admitted = admission.admit(&self.terms, batch).await?;
        self.report.note(admitted.how);
        self.note(parsed.events, parsed.outcome, &[]);
        Ok(())
    }

    /// Takes lines while they come.
    async fn stream(
        &mut self,
        headers: &HeaderMap,
        mut body: Body,
        format: BodyFormat,
    ) -> Result<(), Refusal> {
        let admission = Arc::clone(&self.door.admission);
        let mut reservation = admission.reserve_request()?;
        let mut parts = LineParts::new(self.part_size());
        let mut next = next_data(&mut body).await?;
        if let Some(start) =
            next.take_if(|start| encoding_of(headers, start).ok() != Some(Encoding::Identity))
        {
            drop(reservation);
            return self.whole(headers, resume(start, body), Media::Lines(format), None).await;
        }
        while let Some(data) = next {
            reservation.grow_to((parts.len() + data.len()) as u64)?;
            parts.push(&data);
            drop(data);
            while let Some(part) = parts.next_part() {
                match part {
                    Part::Lines(lines) => self.part(lines, format, &mut reservation).await?,
                    Part::Overlong => self.reject_overlong(),
                }
            }
            // A line that has not ended is in memory however long the rest of it takes.
            reservation.shrink_to(PART_BYTES.max(parts.len()) as u64);
            next = next_data(&mut body).await?;
        }
        match parts.finish() {
            Some(lines) => self.part(lines, format, &mut reservation).await,
            None => Ok(()),
        }
    }

    fn part_size(&self) -> PartSize {
        let settings = &self.door.admission.settings;
        let burst = self.terms.burst(settings.rates.window).and_then(|burst| usize::try_from(burst).ok());
        PartSize {
            lines: burst.unwrap_or(usize::MAX).clamp(1, PART_LINES),
            bytes: PART_BYTES.min(settings.max_message.as_usize()),
            line: settings.max_message.as_usize(),
        }
    }

    async fn part(
        &mut self,
        lines: Bytes,
        format: BodyFormat,
        reservation: &mut Reservation,
    ) -> Result<(), Refusal> {
        let parsed = self.parse(&lines, Media::Lines(format), reservation).await?;
        let admission = Arc::clone(&self.door.admission);
        loop {
            match admission.admit(&self.terms, parsed.batch(admission.records)?).await {
                Ok(_) => break,
                Err(Refusal::OverLimit(over)) if self.report.accepted > 0 => {
                    let Some(delay) = over.retry_after else { return Err(over.into()) };
                    self.pause(delay).await?;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        self.note(parsed.events, parsed.outcome, &lines);
        Ok(())
    }

    /// Waits, unless the process drains.
    async fn pause(&self, delay: Duration) -> Result<(), Refusal> {
        let admission = &self.door.admission;
        tokio::select! {
            () = admission.clock.sleep(delay) => Ok(()),
            () = admission.drain.draining() => Err(Refusal::Cut),
        }
    }

    /// Adds what became of a part to the report.
    fn note(&mut self, events: u32, outcome: Outcome, part: &[u8]) {
        if events > 0 {
            self.door.batches.inc();
        }
        let items = self.report.accepted + self.report.rejected;
        let room = NAMED_REJECTIONS.saturating_sub(self.report.rejections.len());
        self.report.rejections.extend(outcome.rejections.into_iter().take(room).map(|rejection| Rejection {
            index: items + u64::from(rejection.item),
            line: rejection.line.map(|line| self.lines + u64::from(line)),
            reason: rejection.reason.to_string(),
        }));
        self.report.accepted += u64::from(outcome.accepted);
        self.report.rejected += u64::from(outcome.rejected);
        self.lines += memchr::memchr_iter(b'\n', part).count() as u64;
    }

    fn reject_overlong(&mut self) {
        let limit = self.door.admission.settings.max_message;
        self.lines += 1;
        if self.report.rejections.len() < NAMED_REJECTIONS {
            self.report.rejections.push(Rejection {
                index: self.report.accepted + self.report.rejected,
                line: Some(self.lines),
                reason: format!("longer than {limit}"),
            });
        }
        self.report.rejected += 1;
    }

    async fn parse(
        &self,
        body: &Bytes,
        media: Media,
        reservation: &mut Reservation,
    ) -> Result<Parsed, Refusal> {
        // The record is beside the body while it is written, somewhat longer than the body.
        let held = body.len() as u64;
        reservation.grow_to(held + held + held / 4)?;
        let (prefix, body) = (self.prefix.clone(), body.clone());
        Ok(self.door.admission.work(body.len(), move || Parsed::new(&prefix, &body, media)).await??)
    }
}

/// The events of a body, or of a part of it.
struct Parsed {
    value: Bytes,
    events: u32,
    outcome: Outcome,
}

impl Parsed {
    fn new(prefix: &IndexPrefix, body: &[u8], media: Media) -> Result<Self, BodyError> {
        match media {
            Media::Lines(format) => Self::read(prefix, body, format),
            Media::Json if body.trim_ascii_start().starts_with(b"[") => {
                Self::read(prefix, body, BodyFormat::JsonArray)
            }
            // One object over however many lines, or else one on each.
            Media::Json => match Self::read(prefix, body, BodyFormat::JsonObject) {
                Ok(parsed) if parsed.outcome.accepted == 1 => Ok(parsed),
                _ => Self::read(prefix, body, BodyFormat::JsonLines),
            },
        }
    }

    fn read(prefix: &IndexPrefix, body: &[u8], format: BodyFormat) -> Result<Self, BodyError> {
        let mut builder = EventsBuilder::with_capacity(prefix, body.len());
        let outcome = lines::parse(body, format, BATCH_EVENTS, &mut builder)?;
        let (value, events) = builder.finish();
        Ok(Self { value, events, outcome })
    }

    /// Cut into records as the journal takes them.
    fn batch(&self, records: Records) -> Result<Batch, Refusal> {
        let limit = match records {
            Records::AsReceived => usize::MAX,
            Records::Shaped { limit } => limit.as_usize(),
        };
        let records = shape_events(&self.value, self.events, limit)?;
        let events = self.events;
        Ok(Batch { events, cost: events, records, tag: None, mark: None, reservation: None })
    }
}
