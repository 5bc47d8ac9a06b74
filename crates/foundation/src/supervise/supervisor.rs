use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::{info, warn};

use super::phase::{DrainDeadlines, DrainPhase};
use super::registry::Registry;
use super::signals::Signals;
use super::spawner::Spawner;
use crate::clock::{self, Clock};
use crate::exit::ExitCode;

/// How long aborted tasks may take to be dropped before the drain goes on without them.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Owns every task of the process, see the module's documentation. Held by `main` (and by tests).
#[derive(Debug)]
pub struct Supervisor {
    registry: Arc<Registry>,
    spawner: Spawner,
    clock: Arc<dyn Clock>,
}

impl Supervisor {
    /// Tasks will run on `runtime`; its `enable_all` must have been called if they need network or time.
    #[must_use]
    pub fn new(runtime: Handle, clock: Arc<dyn Clock>, deadlines: DrainDeadlines) -> Self {
        let registry = Arc::new(Registry::default());
        let spawner = Spawner::new(Arc::clone(&registry), runtime, deadlines);
        Self { registry, spawner, clock }
    }

    #[must_use]
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Runs until the first signal, a fatal task or [`Spawner::request_stop`], then drains.
    ///
    /// After this, end the runtime with `shutdown_background`, since a thread may have been left behind.
    pub async fn run(self, signals: &Signals) -> ExitCode {
        let signalled = async {
            let signal = signals.first().await;
            info!(%signal, "draining, a second signal ends at once");
        };
        self.run_until(signalled).await
    }

    /// As [`Supervisor::run`], with something other than signals to end it.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> ExitCode {
        tokio::select! {
            () = stop => {}
            () = self.registry.stop_requested() => {}
        }
        self.drain().await
    }

    /// Passes all phases. [`ExitCode::Failure`] if a task failed fatally or did not end in time.
    async fn drain(self) -> ExitCode {
        let mut cut_short = false;
        for phase in DrainPhase::ALL {
            cut_short |= self.pass(phase).await.is_err();
        }
        if cut_short || self.registry.has_failed() { ExitCode::Failure } else { ExitCode::Good }
    }

    async fn pass(&self, phase: DrainPhase) -> Result<(), CutShort> {
        self.registry.begin(phase);
        let began = self.clock.monotonic();
        let deadline = self.spawner.deadline(phase);
        let in_time = clock::timeout(&*self.clock, deadline, self.registry.emptied(phase)).await;
        if in_time.is_ok() {
            info!(%phase, took = ?(self.clock.monotonic() - began), "drained");
            return Ok(());
        }
        warn!(%phase, ?deadline, held_by = %self.registry.holders(phase), "drain phase overdue, aborting");
        self.registry.abort(phase);
        let dropped = clock::timeout(&*self.clock, ABORT_GRACE, self.registry.emptied(phase)).await;
        if dropped.is_err() {
            warn!(%phase, held_by = %self.registry.holders(phase), "leaving behind what can not be aborted");
        }
        Err(CutShort)
    }
}

/// A phase ended by its deadline.
struct CutShort;
