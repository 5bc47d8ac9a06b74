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

/// Waits between attempts that are repeated for ever, and says in the meantime what is wrong.
pub(super) struct Patience {
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    progress: Progress,
    delays: Option<Delays<StdRng>>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    Over,
    Draining,
}

impl Patience {
    pub(super) fn new(clock: Arc<dyn Clock>, backoff: Backoff, progress: Progress) -> Self {
        Self { clock, backoff, progress, delays: None }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// After an attempt that failed: how long to wait. Each further failure in a row waits longer.
    pub(super) fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        self.progress.failed(chain(error).to_string());
        let backoff = self.backoff;
        let delays = self.delays.get_or_insert_with(|| backoff.delays(StdRng::from_rng(&mut rand::rng())));
        delays.next().unwrap_or_default()
    }

    /// As [`Patience::failed`], and waits.
    pub(super) fn wait<'a>(
        &'a mut self,
        error: &(dyn Error + 'static),
        drain: &'a DrainToken,
    ) -> impl Future<Output = Waited> + Send + use<'a> {
        let delay = self.failed(error);
        async move {
            tokio::select! {
                biased;
                () = drain.draining() => Waited::Draining,
                () = self.clock.sleep(delay) => Waited::Over,
            }
        }
    }

    pub(super) fn succeeded(&mut self) {
        if self.delays.take().is_some() {
            self.progress.recovered();
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("progress", &self.progress).finish_non_exhaustive()
    }
}
