use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;
use weir_foundation::clock::{Clock, SystemClock};

/// The clock of the machine, so many times faster from the moment it is made.
#[derive(Debug, Clone, Copy)]
pub struct FastClock {
    speed: u32,
    start: Instant,
    today: SystemTime,
}

impl FastClock {
    #[must_use]
    pub fn new(speed: u32) -> Self {
        Self { speed, start: SystemClock.monotonic(), today: SystemClock.now() }
    }

    fn passed(&self) -> Duration {
        SystemClock.monotonic().saturating_duration_since(self.start) * self.speed
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> SystemTime {
        self.today + self.passed()
    }

    fn monotonic(&self) -> Instant {
        self.start + self.passed()
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration / self.speed).await;
    }
}

/// The clock of the machine, on which time leaps when a test says so. Clones share the time.
#[derive(Debug, Clone)]
pub struct JumpingClock(watch::Sender<Duration>);

impl JumpingClock {
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Duration::ZERO))
    }

    /// So much time has passed at once, for everybody who sleeps, too.
    pub fn jump(&self, by: Duration) {
        self.0.send_modify(|jumped| *jumped += by);
    }

    fn jumped(&self) -> Duration {
        *self.0.borrow()
    }
}

impl Default for JumpingClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> SystemTime {
        SystemClock.now() + self.jumped()
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic() + self.jumped()
    }

    async fn sleep(&self, duration: Duration) {
        let mut jumps = self.0.subscribe();
        let until = self.monotonic().checked_add(duration);
        loop {
            jumps.mark_unchanged();
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(self.monotonic()));
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = SystemClock.sleep(left) => {}
                _ = jumps.changed() => {}
            }
        }
    }
}

/// Another clock whose time of day is wrong by so much.
#[derive(Debug, Clone)]
pub struct SkewedClock {
    clock: Arc<dyn Clock>,
    ahead: Duration,
    behind: Duration,
}

impl SkewedClock {
    #[must_use]
    pub fn ahead(clock: Arc<dyn Clock>, by: Duration) -> Self {
        Self { clock, ahead: by, behind: Duration::ZERO }
    }

    #[must_use]
    pub fn behind(clock: Arc<dyn Clock>, by: Duration) -> Self {
        Self { clock, ahead: Duration::ZERO, behind: by }
    }
}

#[async_trait]
impl Clock for SkewedClock {
    fn now(&self) -> SystemTime {
        self.clock.now() + self.ahead - self.behind
    }

    fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}
