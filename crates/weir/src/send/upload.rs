//! Sources to batches to answers, and what became of every line.

use std::pin::{Pin, pin};

use anyhow::{Context as _, Result};
use futures_util::FutureExt;
use weir_foundation::clock::Clock;

use super::batch::{Batch, Batcher, Limits, Once};
use super::deliver::{Answer, Deliverer, Rejection, Undelivered};
use super::flow::{Flow, Next, Rest};
use super::progress::Progress;
use super::source::{Compression, LINE_LIMIT, Nature, RawLine, Source};
use crate::client::Client;
use crate::console::Advised;

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
    /// Events of batches that were never answered for good; they may be stored.
    pub(crate) unanswered: u64,
    /// Events of batches that were refused or reached nobody; they are not stored.
    pub(crate) refused: u64,
    /// Whether files were not read to their end, because it was asked to stop.
    pub(crate) cut_short: bool,
    pub(crate) bytes: u64,
}

/// A line that weir did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) source: String,
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// The media type of lines that all are JSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// How many rejected lines are named.
const NAMED: usize = 20;

#[derive(Debug)]
pub(crate) struct Sender<'a> {
    clock: &'a dyn Clock,
    deliverer: Deliverer<'a>,
    job: Job,
    report: Report,
    stopped: bool,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(client: &'a Client, clock: &'a dyn Clock, job: Job) -> Self {
        let deliverer = Deliverer::new(client, clock, &job.app, job.media_type);
        Self { clock, deliverer, job, report: Report::default(), stopped: false }
    }

    /// Sends all sources, one after the other, until `stop`; what was sent then is still answered. Fails if a
    /// source can not be read or weir can not be reached; what was sent until then is in the report all the same.
    pub(crate) async fn send(
        mut self,
        sources: &[Source],
        stop: impl Future<Output = ()>,
    ) -> (Report, Result<()>) {
        let mut stop = pin!(stop);
        let mut total = Some(0);
        for source in sources {
            total = total.zip(source.size().await).map(|(sum, size)| sum + size);
        }
        let progress = Progress::new(total);
        let mut outcome = Ok(());
        for source in sources {
            if self.stopped {
                self.report.cut_short = true;
                break;
            }
            let first = self.report.named.len();
            outcome = self.source(source, &progress, stop.as_mut()).await;
            // Batches are answered in any order.
            self.report.named[first..].sort_by_key(|rejected| rejected.line);
            if outcome.is_err() {
                break;
            }
        }
        progress.finish();
        (self.report, outcome)
    }

    async fn source(
        &mut self,
        source: &Source,
        progress: &Progress,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<()> {
        let name = source.name();
        let nature = source.nature().await;
        let mut flow = Flow::new(source.open().await?, self.clock, nature);
        let mut batcher = Batcher::new(self.job.limits, self.once(source, nature));
        let mut outcome = Ok(());
        while let Some(next) = flow.next(stop.as_mut()).await {
            let batch = match next {
                Next::Line(line) => match line.compression() {
                    None => self.add(&mut batcher, &name, &line),
                    Some(compression) => {
                        flow.stop_reading();
                        outcome = outcome.and(Err(self.compressed(&name, compression).into()));
                        None
                    }
                },
                Next::Late | Next::Ended => batcher.finish(),
                Next::Unreadable(error) => {
                    outcome = outcome.and(Err(error).with_context(|| format!("read {name}")));
                    None
                }
                Next::Stopped(rest) => {
                    progress.note(
                        "-- interrupted: waiting for the last answers; a second signal ends at once --",
                    );
                    self.stopped = true;
                    self.report.cut_short |= rest == Rest::Some;
                    continue;
                }
                Next::Answered((batch, answer)) => {
                    let settled = self.settle(&name, &batch, answer, progress);
                    if settled.is_err() {
                        flow.stop_reading();
                    }
                    outcome = outcome.and(settled);
                    continue;
                }
            };
            if let Some(batch) = batch {
                self.report.sent += batch.lines.len() as u64;
                flow.closed();
                flow.send(self.deliverer.clone().deliver(batch, progress.clone()).boxed_local());
            }
            if !batcher.is_empty() {
                flow.opened();
            }
        }
        outcome
    }

    fn add(&mut self, batcher: &mut Batcher, name: &str, line: &RawLine) -> Option<Batch> {
        let Some(bytes) = &line.bytes else {
            let reason = format!("longer than {LINE_LIMIT} bytes");
            return self.pass_over(batcher, name, line, reason);
        };
        // Where every line is JSON, one of spaces alone is empty, too.
        let of_json = self.job.media_type == NDJSON;
        if bytes.is_empty() || (of_json && bytes.trim_ascii().is_empty()) {
            batcher.skip(line.raw_length);
            return None;
        }
        match (std::str::from_utf8(bytes), self.job.bad_text) {
            (Ok(_), _) => batcher.line(line.number, bytes, line.raw_length),
            (Err(_), BadText::Replace) => {
                let text = String::from_utf8_lossy(bytes);
                batcher.line(line.number, text.as_bytes(), line.raw_length)
            }
            (Err(error), BadText::Reject) => {
                let reason = format!("not valid UTF-8 at byte {}; `--lossy` sends it", error.valid_up_to());
                self.pass_over(batcher, name, line, reason)
            }
        }
    }

    fn compressed(&self, name: &str, Compression { name: by, undone_by }: Compression) -> Advised {
        Advised {
            what: format!("{name} is compressed with {by}"),
            hint: format!("`{undone_by} FILE | weir send --app {}` sends what is in it", self.job.app),
        }
    }

    /// Names a line that is not sent.
    fn pass_over(
        &mut self,
        batcher: &mut Batcher,
        name: &str,
        line: &RawLine,
        reason: String,
    ) -> Option<Batch> {
        batcher.skip(line.raw_length);
        self.report.sent += 1;
        self.report.rejected += 1;
        self.reject(name, line.number, reason);
        None
    }

    fn settle(
        &mut self,
        name: &str,
        batch: &Batch,
        answer: Result<Answer, Undelivered>,
        progress: &Progress,
    ) -> Result<()> {
        let events = batch.lines.len() as u64;
        let answer = match answer {
            Ok(answer) => answer,
            Err(Undelivered { error, open }) => {
                let count = if open { &mut self.report.unanswered } else { &mut self.report.refused };
                *count += events;
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
        progress.acknowledged(self.report.acknowledged, batch.source_bytes);
        Ok(())
    }

    fn reject(&mut self, source: &str, line: u64, reason: String) {
        if self.report.named.len() < NAMED {
            self.report.named.push(Rejected { source: source.to_owned(), line, reason });
        }
    }

    fn once(&self, source: &Source, nature: Nature) -> Once {
        let Job { app, media_type, .. } = &self.job;
        let app = app.clone();
        match (source, nature, self.job.again) {
            (Source::File(path), Nature::Regular, Again::No) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                Once::Ever { app, media_type, file: path.display().to_string() }
            }
            _ => Once::PerRun { app, run: self.job.run },
        }
    }
}

impl Report {
    /// Whether every line is stored.
    pub(crate) fn is_complete(&self) -> bool {
        self.acknowledged == self.sent && !self.cut_short
    }
}
