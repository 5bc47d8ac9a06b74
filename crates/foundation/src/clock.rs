//! The one source of time.
//!
//! A component is handed an `Arc<dyn Clock>`: [`SystemClock`] in a process, [`ManualClock`] in a test.

mod manual;

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

pub use self::manual::ManualClock;

/// Wall-clock time, elapsed time and waiting. Everything that needs time is handed one of these.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day. May jump when an operator or NTP sets it.
    fn now(&self) -> SystemTime;

    /// Never goes back; for measuring how long something takes.
    fn monotonic(&self) -> Instant;

    async fn sleep(&self, duration: Duration);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Waits until then; for ever, if there is no such time.
pub async fn until(clock: &dyn Clock, at: Option<Instant>) {
    match at {
        Some(at) => clock.sleep(at.saturating_duration_since(clock.monotonic())).await,
        None => std::future::pending().await,
    }
}

/// The time was up before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no result within {0:?}")]
pub struct Elapsed(pub Duration);

/// What `work` returns if it does so within `limit`; otherwise `work` is dropped where it stands.
///
/// Work that is done at the very instant the time is up counts as done.
pub async fn timeout<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        result = work => Ok(result),
        () = clock.sleep(limit) => Err(Elapsed(limit)),
    }
}
