//! The rules at the start of the process, and as they change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tracing::{info, warn};
use weir_foundation::clock::Clock;
use weir_foundation::failure::{BoxError, chain};
use weir_foundation::health::{Health, Progress};
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::supervise::{BlockingError, DrainPhase, DrainToken, Policy, Spawner};

use crate::document::{Document, NoRules, RefusedRule};
use crate::metrics::RedactionMetrics;
use crate::redactor::Redactor;
use crate::section::RedactionSettings;
use crate::source::{ClientError, LoadError, Reader, Source};

/// What redaction needs of the process it lives in.
#[derive(Debug, Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub health: Health,
    pub metrics: RedactionMetrics,
}

/// There is nothing to redact by.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not reach for the redaction rules")]
    Client(#[from] ClientError),
    #[error("could not read the redaction rules")]
    Load(#[source] BoxError),
    #[error("the process ended before the redaction rules were known")]
    Draining,
}

/// Why the rules of before stay.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    NoRules(#[from] NoRules),
    #[error("could not compile the rules")]
    Compile(#[from] BlockingError),
}

/// Nothing is done for so long that a request was forgotten.
const STALL: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Redaction whose rules may not be known yet.
#[derive(Debug)]
pub struct Starting {
    redactor: Redactor,
    /// Absent if there is nothing to redact by.
    rules: Option<(Following, Option<Reader>)>,
    spawner: Spawner,
}

/// Prepares redaction and asks nobody yet. Health has a `redaction` from now on, if there is anything to redact by.
pub fn begin(settings: &RedactionSettings, parts: Parts) -> Result<Starting, StartError> {
    let redactor = Redactor::with(parts.metrics);
    let spawner = parts.spawner.clone();
    let reader = match &settings.source {
        Source::Off => return Ok(Starting { redactor, rules: None, spawner }),
        Source::Text(_) => None,
        Source::File(path) => Some(Reader::File(path.clone())),
        Source::Endpoint(endpoint) => Some(endpoint.reader()?),
    };
    let progress = parts.health.register("redaction", STALL);
    let rules = Following {
        redactor: redactor.clone(),
        settings: settings.clone(),
        clock: parts.clock,
        spawner: parts.spawner,
        progress,
        text: None,
        refused: Vec::new(),
    };
    Ok(Starting { redactor, rules: Some((rules, reader)), spawner })
}

/// [`begin`], and at once [`known`](Starting::known).
pub async fn start(settings: &RedactionSettings, parts: Parts) -> Result<Redactor, StartError> {
    let starting = begin(settings, parts)?;
    let redactor = starting.redactor();
    starting.known().await?;
    Ok(redactor)
}

impl Starting {
    /// The handle that gets the rules. Until they are [known](Starting::known) it lets everything through: nothing
    /// may be stored or shown that passes it before.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }

    /// Returns when the rules are known, so that nothing is ever delivered by none; then keeps them up to date.
    ///
    /// A file must be readable and be rules. An endpoint is asked until it answers or the process drains; meanwhile
    /// `redaction` is not ready and says why. A wrong rule is left out, named in the log and in the health.
    pub async fn known(self) -> Result<(), StartError> {
        let Some((mut rules, reader)) = self.rules else { return Ok(()) };
        let drain = self.spawner.token(DrainPhase::FinishDeliveries);
        let source = rules.settings.source.clone();
        let load = |error: RefreshError| StartError::Load(error.into());
        match (source, &reader) {
            (Source::Text(text), _) => rules.take(text).await.map_err(load)?,
            (Source::Endpoint(_), Some(reader)) => rules.insist(reader, &drain).await?,
            (_, Some(reader)) => rules.refresh(reader).await.map_err(load)?,
            (_, None) => {}
        }
        if let Some(reader) = reader {
            let policy = Policy::expendable(DrainPhase::FinishDeliveries);
            self.spawner.spawn("redaction.refresh", policy, |drain| async move {
                rules.follow(&reader, &drain).await;
                Ok::<(), Infallible>(())
            });
        }
        Ok(())
    }
}

/// The rules and where they come from.
#[derive(Debug)]
struct Following {
    redactor: Redactor,
    settings: RedactionSettings,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
    progress: Progress,
    /// The rules as they were read last.
    text: Option<String>,
    refused: Vec<RefusedRule>,
}

impl Following {
    /// Tries until there are rules.
    async fn insist(&mut self, reader: &Reader, drain: &DrainToken) -> Result<(), StartError> {
        let longest = self.settings.refresh.max(FIRST_PAUSE);
        let backoff = Backoff::new(FIRST_PAUSE, longest, Attempts::Unlimited);
        let backoff = backoff.expect("the longest pause is no shorter than the first");
        let mut delays = backoff.delays(StdRng::from_rng(&mut rand::rng()));
        loop {
            let attempt = tokio::select! {
                biased;
                () = drain.draining() => return Err(StartError::Draining),
                attempt = self.refresh(reader) => attempt,
            };
            let Err(error) = attempt else { return Ok(()) };
            warn!(error = %chain(&error), "the redaction rules are not known yet, nothing is delivered");
            self.progress.failed(format!("the rules are not known yet: {}", chain(&error)));
            tokio::select! {
                biased;
                () = drain.draining() => return Err(StartError::Draining),
                () = self.clock.sleep(delays.next().unwrap_or(longest)) => {}
            }
        }
    }

    async fn follow(mut self, reader: &Reader, drain: &DrainToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = drain.draining() => return,
                () = self.clock.sleep(self.settings.refresh) => {}
            }
            let attempt = tokio::select! {
                biased;
                () = drain.draining() => return,
                attempt = self.refresh(reader) => attempt,
            };
            match &attempt {
                Ok(()) if failing => info!("the redaction rules can be read again"),
                Ok(()) => {}
                Err(error) => {
                    if !failing {
                        warn!(error = %chain(error), "could not read the redaction rules, those of before stay");
                    }
                    self.progress.degraded(format!("the rules of before stay: {}", chain(error)));
                }
            }
            failing = attempt.is_err();
        }
    }

    async fn refresh(&mut self, reader: &Reader) -> Result<(), RefreshError> {
        let outcome = match reader.read(&*self.clock).await {
            Ok(text) => self.take(text).await,
            Err(error) => Err(error.into()),
        };
        self.redactor.metrics().load(if outcome.is_ok() { "success" } else { "failure" });
        outcome
    }

    async fn take(&mut self, text: String) -> Result<(), RefreshError> {
        if self.text.as_ref() != Some(&text) {
            let document = Document::read(&text, self.settings.unknown_fields)?;
            let (redactor, manner) = (self.redactor.clone(), self.settings.manner);
            let apps = document.apps.len();
            let compile =
                self.spawner.blocking("redaction.compile", move || redactor.replace(&document, manner));
            self.refused = compile.await?;
            self.text = Some(text);
            info!(apps, refused = self.refused.len(), "redacting by new rules");
            for rule in &self.refused {
                warn!(%rule, "a redaction rule is not applied");
            }
        }
        self.progress.recovered();
        if let Some(first) = self.refused.first() {
            let rules = self.refused.len();
            self.progress.degraded(format!("{rules} rules are not applied, the first is {first}"));
        }
        Ok(())
    }
}
