//! Batches on their way: several at once, each until it is answered for good.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::retry::{Attempts, Backoff};

use super::batch::{Batch, Batcher, Limits, Once};
use super::progress::Progress;
use super::source::{RawLine, Source};
use crate::client::{Client, ClientError};

/// What to send, and how.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) app: String,
    /// How weir is to read the lines: the media type of the body.
    pub(crate) media_type: &'static str,
    pub(crate) bad_text: BadText,
    pub(crate) limits: Limits,
    /// Makes batches of standard input (and of files, if they shall be stored again) this run's own.
    pub(crate) run: u128,
    pub(crate) again: Again,
}

/// What happens to a line that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadText {
    /// It is named and not sent.
    Reject,
    /// What can not be read is replaced by U+FFFD.
    Replace,
}

/// Whether a file that was sent before is stored once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    Yes,
}

/// What became of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Of the acknowledged, those that weir had from an earlier time and did not store again.
    pub(crate) known: u64,
    pub(crate) rejected: u64,
    /// The first of the rejected.
    pub(crate) named: Vec<Rejected>,
    /// Events of batches that were never answered for good, with what was the matter.
    pub(crate) unanswered: u64,
    pub(crate) bytes: u64,
}

/// A line that weir did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) source: String,
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// How many rejected lines are named.
const NAMED: usize = 20;

/// Requests under way.
const IN_FLIGHT: usize = 4;

/// weir's answer to a batch.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Answer {
    accepted: u64,
    rejected: u64,
    rejections: Vec<Rejection>,
    duplicate: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Rejection {
    /// From 1, in the body.
    line: Option<u64>,
    reason: String,
}

#[derive(Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) job: Job,
    report: Report,
    /// Whether weir has answered at all; until then nobody waits for it.
    reached: watch::Sender<bool>,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(client: &'a Client, clock: &'a dyn Clock, job: Job) -> Self {
        Self { client, clock, job, report: Report::default(), reached: watch::Sender::new(false) }
    }

    /// Sends all sources, one after the other. Fails if a source can not be read or weir can not be reached;
    /// what was sent until then is in the report all the same.
    pub(crate) async fn send(mut self, sources: &[Source]) -> (Report, Result<()>) {
        let mut total = Some(0);
        for source in sources {
            total = total.zip(source.size().await).map(|(sum, size)| sum + size);
        }
        let mut progress = Progress::new(total);
        let mut outcome = Ok(());
        for source in sources {
            outcome = self.source(source, &mut progress).await;
            if outcome.is_err() {
                break;
            }
        }
        progress.finish();
        (self.report, outcome)
    }

    async fn source(&mut self, source: &Source, progress: &mut Progress) -> Result<()> {
        let name = source.name();
        let mut lines = source.open().await?;
        let mut batcher = Batcher::new(self.job.limits, self.once(source));
        let mut under_way = FuturesUnordered::new();
        let mut outcome = Ok(());
        loop {
            let line = lines.next().await.with_context(|| format!("read {name}"))?;
            let ended = line.is_none();
            let batch = match line {
                Some(line) => self.add(&mut batcher, &name, line),
                None => batcher.finish(),
            };
            if let Some(batch) = batch {
                self.report.sent += batch.lines.len() as u64;
                under_way.push(deliver(
                    self.client,
                    self.clock,
                    self.job.clone(),
                    batch,
                    self.reached.clone(),
                ));
            }
            while under_way.len() >= IN_FLIGHT || (ended && !under_way.is_empty()) {
                let Some((batch, answer)) = under_way.next().await else { break };
                let answered = self.settle(&name, &batch, answer, progress);
                outcome = outcome.and(answered);
            }
            if ended || outcome.is_err() {
                break;
            }
        }
        while let Some((batch, answer)) = under_way.next().await {
            outcome = outcome.and(self.settle(&name, &batch, answer, progress));
        }
        outcome
    }

    fn add(&mut self, batcher: &mut Batcher, name: &str, line: RawLine) -> Option<Batch> {
        if line.bytes.is_empty() {
            batcher.skip(line.raw_length);
            return None;
        }
        match (std::str::from_utf8(&line.bytes), self.job.bad_text) {
            (Ok(_), _) => batcher.line(line.number, &line.bytes, line.raw_length),
            (Err(_), BadText::Replace) => {
                let text = String::from_utf8_lossy(&line.bytes);
                batcher.line(line.number, text.as_bytes(), line.raw_length)
            }
            (Err(error), BadText::Reject) => {
                batcher.skip(line.raw_length);
                self.report.sent += 1;
                let reason = format!("not valid UTF-8 at byte {}; `--lossy` sends it", error.valid_up_to());
                self.reject(name, line.number, reason);
                self.report.rejected += 1;
                None
            }
        }
    }

    fn settle(
        &mut self,
        name: &str,
        batch: &Batch,
        answer: Result<Answer, ClientError>,
        progress: &mut Progress,
    ) -> Result<()> {
        let events = batch.lines.len() as u64;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.report.unanswered += events;
                return Err(error.into());
            }
        };
        self.report.acknowledged += answer.accepted;
        self.report.rejected += answer.rejected;
        self.report.bytes += batch.body.len() as u64;
        if answer.duplicate {
            self.report.known += answer.accepted;
        }
        for Rejection { line, reason } in answer.rejections {
            let at = line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
            let number = at.and_then(|at| batch.lines.get(at)).copied().unwrap_or_default();
            self.reject(name, number, reason);
        }
        progress.acknowledged(answer.accepted, batch.source_bytes);
        Ok(())
    }

    fn reject(&mut self, source: &str, line: u64, reason: String) {
        if self.report.named.len() < NAMED {
            self.report.named.push(Rejected { source: source.to_owned(), line, reason });
        }
    }

    fn once(&self, source: &Source) -> Once {
        let app = self.job.app.clone();
        match (source, self.job.again) {
            (Source::File(path), Again::No) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                Once::Ever { app, file: path.display().to_string() }
            }
            (Source::File(_), Again::Yes) | (Source::Standard, _) => Once::PerRun { app, run: self.job.run },
        }
    }
}

impl Report {
    /// Whether every line is stored.
    pub(crate) fn is_complete(&self) -> bool {
        self.acknowledged == self.sent
    }
}

async fn deliver(
    client: &Client,
    clock: &dyn Clock,
    job: Job,
    batch: Batch,
    reached: watch::Sender<bool>,
) -> (Batch, Result<Answer, ClientError>) {
    let mut delays = backoff().delays(rand::rng());
    loop {
        let headers = [("content-type", job.media_type), ("weir-batch-id", &*batch.id)];
        let outcome = client.post_bytes(&["apps", &job.app, "events"], &headers, batch.body.clone()).await;
        let reached_before = *reached.borrow();
        let error = match outcome.or_else(nothing_stored) {
            Ok(answer) => {
                reached.send_replace(true);
                return (batch, Ok(answer));
            }
            Err(error) => error,
        };
        let Some(wait) = wait(&error, reached_before).zip(delays.next()) else {
            return (batch, Err(error));
        };
        let (asked, own) = wait;
        clock.sleep(asked.max(own)).await;
    }
}

/// That every line of a batch is bad is an answer like any other.
fn nothing_stored(error: ClientError) -> Result<Answer, ClientError> {
    match &error {
        ClientError::Refused { detail, body, .. } if detail.code == "nothing-stored" => {
            serde_json::from_slice(body).map_err(|_unreadable| error)
        }
        _ => Err(error),
    }
}

/// How long to wait at least before the same batch has a chance; nothing if it has none.
fn wait(error: &ClientError, reached_before: bool) -> Option<Duration> {
    match error {
        ClientError::Refused { status, retry_after, .. } => match status.as_u16() {
            429 | 503 => Some(retry_after.unwrap_or_default()),
            408 | 500 | 502 | 504 => Some(Duration::ZERO),
            _ => None,
        },
        // Nobody is there: an address that never answered is more likely wrong than slow.
        ClientError::Unreachable { .. } => reached_before.then_some(Duration::ZERO),
        ClientError::Broken { .. } => Some(Duration::ZERO),
        ClientError::Unreadable { .. } => None,
    }
}

fn backoff() -> Backoff {
    const ATTEMPTS: NonZeroU32 = NonZeroU32::new(60).expect("is not zero");
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), Attempts::AtMost(ATTEMPTS))
        .expect("the first delay is above zero and below the longest")
}

#[cfg(test)]
mod tests {
    use weir_server::api::ErrorDetail;

    use super::*;

    fn refused(status: u16, retry_after: Option<u64>) -> ClientError {
        let detail =
            ErrorDetail { code: String::new(), message: String::new(), column: None, expected: None };
        let status = reqwest::StatusCode::from_u16(status).expect("is a status");
        let retry_after = retry_after.map(Duration::from_secs);
        ClientError::Refused { status, detail, retry_after, body: bytes::Bytes::new() }
    }

    #[test]
    fn only_what_can_succeed_is_sent_again() {
        let check = |status: u16, retry_after: Option<u64>, expected: Option<u64>| {
            let waited = wait(&refused(status, retry_after), true);
            assert_eq!(waited, expected.map(Duration::from_secs), "{status}");
        };
        check(429, Some(7), Some(7));
        check(429, None, Some(0));
        check(503, Some(2), Some(2));
        check(500, None, Some(0));
        check(400, None, None);
        check(413, None, None);
        check(409, None, None);
    }
}
