//! The one source of time.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

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
