use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
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
