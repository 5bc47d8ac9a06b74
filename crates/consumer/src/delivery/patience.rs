use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::health::Progress;
use weir_foundation::retry::{Backoff, Delays};
use weir_foundation::supervise::DrainToken;

/// Waits between attempts that are repeated for ever.
pub(super) struct Patience {
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    delays: Option<Delays<StdRng>>,
}

/// The same, and says in the meantime what is wrong.
#[derive(Debug)]
pub(super) struct Watched {
    patience: Patience,
    progress: Progress,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    Over,
    Draining,
}

impl Patience {
    pub(super) fn new(clock: Arc<dyn Clock>, backoff: Backoff) -> Self {
        Self { clock, backoff, delays: None }
    }

    /// After an attempt that failed: how long to wait. Each further failure in a row waits longer.
    fn failed(&mut self) -> Duration {
        let backoff = self.backoff;
        let delays = self.delays.get_or_insert_with(|| backoff.delays(StdRng::from_rng(&mut rand::rng())));
        delays.next().unwrap_or_default()
    }

    /// Waits after an attempt that failed.
    pub(super) fn wait<'a>(
        &'a mut self,
        drain: &'a DrainToken,
    ) -> impl Future<Output = Waited> + Send + use<'a> {
        let delay = self.failed();
        async move {
            tokio::select! {
                biased;
                () = drain.draining() => Waited::Draining,
                () = self.clock.sleep(delay) => Waited::Over,
            }
        }
    }

    /// Whether there were failures before.
    pub(super) fn succeeded(&mut self) -> bool {
        self.delays.take().is_some()
    }
}

impl Watched {
    pub(super) fn new(clock: Arc<dyn Clock>, backoff: Backoff, progress: Progress) -> Self {
        Self { patience: Patience::new(clock, backoff), progress }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// As [`Patience::failed`].
    pub(super) fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        self.progress.failed(chain(error).to_string());
        self.patience.failed()
    }

    /// As [`Patience::wait`].
    pub(super) fn wait<'a>(
        &'a mut self,
        error: &(dyn Error + 'static),
        drain: &'a DrainToken,
    ) -> impl Future<Output = Waited> + Send + use<'a> {
        self.progress.failed(chain(error).to_string());
        self.patience.wait(drain)
    }

    pub(super) fn succeeded(&mut self) {
        if self.patience.succeeded() {
            self.progress.recovered();
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("backoff", &self.backoff).finish_non_exhaustive()
    }
}
