use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{info, warn};
use weir_foundation::clock::Clock;
use weir_foundation::health::{Health, Progress};
use weir_foundation::metrics::{Builder, Counter};

use crate::local::LocalLimiter;
use crate::seam::{Ask, OverLimit, SharedLimiter, TakeError};

/// What a door asks.
#[derive(Debug)]
pub enum Limiter {
    Local(LocalLimiter),
    Shared(Shared),
}

/// Shared limits, and the local ones for as long as they can not be reached.
#[derive(Debug)]
pub struct Shared {
    limiter: Arc<dyn SharedLimiter>,
    /// Its buckets are full when it takes over: for a window a fleet may send what each of its processes may.
    local: LocalLimiter,
    away: AtomicBool,
    progress: Progress,
    metrics: LimiterMetrics,
}

/// What the change between the two counts. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LimiterMetrics {
    local_batches: Counter,
    takeovers: Counter,
}

/// A batch waits for an answer this long at the most, many times over.
const STALL: Duration = Duration::from_secs(60);

impl LimiterMetrics {
    #[must_use]
    pub fn register(builder: &mut Builder) -> Self {
        let metrics = Self::default();
        let registry = builder.weir().sub_registry_with_prefix("limits");
        registry.register(
            "local_batches",
            "Batches that the local limiter decided on because the shared one could not be reached",
            metrics.local_batches.clone(),
        );
        registry.register("takeovers", "Times that the local limiter took over", metrics.takeovers.clone());
        metrics
    }
}

impl Limiter {
    /// A bucket holds what its rate allows in `window`.
    #[must_use]
    pub fn local(window: Duration, clock: Arc<dyn Clock>) -> Self {
        Self::Local(LocalLimiter::new(window, clock))
    }

    /// Asks `limiter`, and itself while that is away; `limits` in the health says which.
    #[must_use]
    pub fn shared(
        limiter: Arc<dyn SharedLimiter>,
        window: Duration,
        clock: Arc<dyn Clock>,
        health: &Health,
        metrics: LimiterMetrics,
    ) -> Self {
        let progress = health.register("limits", STALL);
        progress.idle();
        let local = LocalLimiter::new(window, clock);
        Self::Shared(Shared { limiter, local, away: AtomicBool::new(false), progress, metrics })
    }

    /// Takes `events` from each bucket asked, or nothing. Never waits if the limits are local.
    pub async fn take(&self, asks: &[Ask<'_>], events: u32) -> Result<(), OverLimit> {
        match self {
            Self::Local(local) => local.take_all(asks, events),
            Self::Shared(shared) => shared.take(asks, events).await,
        }
    }
}

impl Shared {
    async fn take(&self, asks: &[Ask<'_>], events: u32) -> Result<(), OverLimit> {
        if asks.is_empty() {
            return Ok(());
        }
        match self.limiter.take(asks, events).await {
            Ok(()) => {
                self.reached();
                Ok(())
            }
            Err(TakeError::OverLimit(over)) => {
                self.reached();
                Err(over)
            }
            Err(TakeError::Unavailable { reason }) => {
                self.missed(&reason);
                self.local.take_all(asks, events)
            }
        }
    }

    fn reached(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            info!("the shared limits are reached again");
            self.progress.recovered();
        }
    }

    fn missed(&self, reason: &str) {
        self.metrics.local_batches.inc();
        if !self.away.swap(true, Ordering::Relaxed) {
            self.metrics.takeovers.inc();
            warn!(reason, "the shared limits can not be reached, each process limits for itself");
            self.progress.degraded(format!("each process limits for itself: {reason}"));
        }
    }
}
