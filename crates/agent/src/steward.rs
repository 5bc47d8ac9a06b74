//! Runs what the server offers.
//!
//! ```text
//! offer ──read──▶ written down as tried ──▶ inputs swapped ──▶ on probation ──▶ good
//!          │                                                        │
//!          ╰─ refused: nothing changes                              ╰─ failed: the former ones again
//! ```
//!
//! Whatever becomes of it is told, and stands on disk: an agent that starts without a server runs what was good last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_foundation::clock::{self, Clock};
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_uplink::{Condition, InputCondition, Offer};

use crate::configuration::{ConfigurationError, Configurations};
use crate::files::{InputReport, Inputs, Report, Scan};
use crate::remote::Terms;
use crate::section::FilesSettings;

pub(crate) struct Steward {
    pub(crate) configurations: Configurations,
    pub(crate) inputs: Inputs,
    /// Of the server; absent where what is read is said on the node.
    pub(crate) offers: Option<watch::Receiver<Option<Arc<Offer>>>>,
    pub(crate) condition: watch::Sender<Condition>,
    pub(crate) terms: Terms,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long inputs have to run before they are good.
    pub(crate) probation: Duration,
    /// Why the last outcome is not on disk.
    pub(crate) trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Settled,
    /// These inputs are tried.
    Probation {
        generation: u64,
        until: Instant,
        begun: Instant,
    },
}

/// How long inputs may take to begin: a machine may be slow, and have many files.
const BEGINNING: Duration = Duration::from_secs(60);

/// How soon an offer is looked at again that could not be written down.
const AGAIN: Duration = Duration::from_secs(10);

enum Event {
    Offer,
    Report,
    ProbationOver { generation: u64, begun: Instant },
}

impl Steward {
    /// Serves until the process drains.
    pub(crate) async fn run(mut self, drain: &DrainToken) {
        let (mut stage, mut again) = (self.begin(), None::<Instant>);
        let mut report = self.inputs.report();
        let clock = Arc::clone(&self.clock);
        loop {
            self.tell(&report.borrow_and_update().clone());
            let probation = async {
                match stage {
                    Stage::Probation { generation, until, begun } => {
                        clock::until(&*clock, Some(until)).await;
                        Event::ProbationOver { generation, begun }
                    }
                    Stage::Settled => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                () = drain.draining() => {
                    let noted = self.configurations.interrupted();
                    return self.noted(noted);
                }
                offered = changed(&mut self.offers) => if offered { Event::Offer } else { return },
                Ok(()) = report.changed() => Event::Report,
                event = probation => event,
                () = clock::until(&*clock, again) => Event::Offer,
            };
            stage = match event {
                Event::Report => stage,
                Event::Offer => self.offered(stage, &mut again),
                Event::ProbationOver { generation, begun } => {
                    let judged = self.judge(generation, begun, &report.borrow().clone());
                    self.offered(judged, &mut again)
                }
            };
        }
    }

    /// What ran last, or was tried, runs from the start.
    fn begin(&mut self) -> Stage {
        let Some(current) = self.configurations.current().filter(|_| self.offers.is_some()) else {
            return Stage::Settled;
        };
        match self.terms.read(&current.text) {
            Ok(inputs) if self.configurations.is_tried() => self.probe(inputs),
            Ok(inputs) => {
                self.inputs.set(inputs);
                Stage::Settled
            }
            Err(problems) => {
                // As an older weir finds what a newer one has kept.
                tracing::error!(revision = current.revision, error = %problems, "the configuration can not be used any more");
                let noted = if self.configurations.is_tried() {
                    self.configurations.failed(&problems.to_string())
                } else {
                    self.configurations.refused(&current, &problems.to_string())
                };
                self.noted(noted);
                self.go_back()
            }
        }
    }

    /// The last offer counts; one that is tried is left for it, unless it is the first and there would be nothing to go back
    /// to. `again` is when it is to be looked at again.
    fn offered(&mut self, stage: Stage, again: &mut Option<Instant>) -> Stage {
        *again = None;
        let offer = self.offers.as_mut().and_then(|offers| offers.borrow_and_update().clone());
        if let Some(back) = offer.as_ref().filter(|offer| self.configurations.is_back(offer)) {
            let noted = self.configurations.back(back);
            self.noted(noted);
        }
        let Some(offer) = offer.filter(|offer| self.configurations.is_new(offer)) else { return stage };
        let inputs = match self.terms.read(&offer.text) {
            Ok(inputs) => inputs,
            Err(problems) => {
                let error = problems.to_string();
                tracing::error!(revision = offer.revision, error, "a configuration of the server is refused");
                let noted = self.configurations.refused(&offer, error.trim_end());
                self.noted(noted);
                return stage;
            }
        };
        if matches!(stage, Stage::Probation { .. }) && !self.configurations.has_good() && !inputs.is_empty() {
            return stage;
        }
        if let Err(error) = self.configurations.tries(&offer) {
            // Nothing may run that could not be gone back from.
            self.noted(Err(error));
            *again = Some(self.clock.monotonic() + AGAIN);
            return stage;
        }
        tracing::info!(revision = offer.revision, hash = offer.hash, "trying a configuration of the server");
        self.probe(inputs)
    }

    fn probe(&self, inputs: Vec<FilesSettings>) -> Stage {
        let (generation, now) = (self.inputs.set(inputs), self.clock.monotonic());
        Stage::Probation { generation, until: now + self.probation, begun: now }
    }

    /// The time of trial is over.
    fn judge(&mut self, generation: u64, begun: Instant, report: &Report) -> Stage {
        let now = self.clock.monotonic();
        let has_begun = report.generation == generation && report.scan != Scan::Pending;
        if !has_begun && now.saturating_duration_since(begun) < BEGINNING {
            return Stage::Probation { generation, until: now + self.probation, begun };
        }
        match if has_begun { verdict(report) } else { Err("its inputs did not begin in time".to_owned()) } {
            Ok(()) => {
                let noted = self.configurations.applied();
                let is_noted = noted.is_ok();
                self.noted(noted);
                if !is_noted {
                    // It runs, and is not known to be good until the next process would know it too.
                    return Stage::Probation { generation, until: now + self.probation, begun };
                }
                tracing::info!("the configuration is good");
                Stage::Settled
            }
            Err(error) => {
                tracing::error!(error, "the configuration does not work; going back to the former one");
                let noted = self.configurations.failed(&error);
                self.noted(noted);
                self.go_back()
            }
        }
    }

    /// To what was good, or to nothing.
    fn go_back(&mut self) -> Stage {
        let good = self.configurations.current().and_then(|good| self.terms.read(&good.text).ok());
        self.inputs.set(good.unwrap_or_default());
        Stage::Settled
    }

    fn noted(&mut self, outcome: Result<(), ConfigurationError>) {
        self.trouble = outcome.err().map(|error| chain(&error).to_string());
        if let Some(error) = &self.trouble {
            tracing::error!(error, "what became of a configuration could not be written down");
        }
    }

    fn tell(&self, report: &Report) {
        let running = self.configurations.current().map(|current| current.hash).unwrap_or_default();
        let outcome = self.configurations.outcome();
        let inputs: Vec<InputCondition> = report.inputs.iter().map(condition).collect();
        let error = self.trouble.as_ref().or(report.unwritten.as_ref()).cloned();
        self.condition.send_if_modified(|condition| {
            let next = Condition { running, outcome, inputs, error };
            let is_new = *condition != next;
            *condition = next;
            is_new
        });
    }
}

/// Whether there is a new offer; never, if nobody offers anything; not any more, if the uplink is gone.
async fn changed(offers: &mut Option<watch::Receiver<Option<Arc<Offer>>>>) -> bool {
    match offers {
        Some(offers) => offers.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Whether inputs that were tried are good: each was looked for, and none is there that can read nothing of what it should.
fn verdict(report: &Report) -> Result<(), String> {
    let fails = |input: &&InputReport| input.files == 0 && input.errors > 0;
    match report.inputs.iter().find(fails) {
        Some(input) => {
            let reason = input.last_error.as_deref().unwrap_or("it reads nothing");
            Err(format!("the input `{}` can not start: {reason}", input.paths.join("`, `")))
        }
        None => Ok(()),
    }
}

fn condition(report: &InputReport) -> InputCondition {
    InputCondition {
        kind: report.kind.as_str(),
        name: report.paths.join(", "),
        app: report.app.clone(),
        files: report.files,
        lag_bytes: report.lag_bytes,
        lag_age: report.lag_age.unwrap_or_default(),
        stored_bytes: report.stored_bytes,
        lines: report.lines,
        errors: report.errors,
        last_error: report.last_error.clone(),
    }
}

#[cfg(test)]
mod tests;
