use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::settings::DurationText;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_limits::conformance::WINDOW;
use weir_limits::{Ask, Scope, SharedLimiter, TakeError};
use weir_limits_redis::{Parts, RedisLimiter, RedisLimitsSection, RedisLimitsSettings};
use weir_services::Redis;

/// A Redis and the process of its limiters.
pub(crate) struct World {
    pub(crate) redis: Redis,
    supervisor: Supervisor,
    _directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let redis = Redis::start(directory.path()).expect("it starts");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), clock, DrainDeadlines::default());
        Self { redis, supervisor, _directory: directory }
    }

    /// A limiter that is connected.
    pub(crate) async fn limiter(&self, prefix: &str) -> RedisLimiter {
        let limiter = self.unconnected(prefix);
        eventually("it is connected", async || limiter.is_connected()).await;
        limiter
    }

    pub(crate) fn unconnected(&self, prefix: &str) -> RedisLimiter {
        let section = RedisLimitsSection {
            address: Some(self.redis.address().to_string()),
            key_prefix: Some(prefix.to_owned()),
            retry_longest: Some(DurationText::from_millis(200)),
            // The machine of the tests is busy.
            timeout: Some(DurationText::from_secs(20)),
            ..RedisLimitsSection::default()
        };
        let settings = RedisLimitsSettings::validate(&section).expect("are valid").expect("has an address");
        let parts = Parts { clock: Arc::new(SystemClock), spawner: self.supervisor.spawner() };
        RedisLimiter::start(&settings, WINDOW, parts).expect("needs no files")
    }

    /// The answer of Redis to a command.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://{}/", self.redis.address())).expect("is a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it is there");
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query_async(&mut connection).await.expect("it answers")
    }
}

pub(crate) fn ask(app: &str, rate: u32) -> Ask<'_> {
    Ask { scope: Scope::App(app), rate: NonZeroU32::new(rate).expect("tests use no zero") }
}

pub(crate) async fn taken(limiter: &RedisLimiter, asks: &[Ask<'_>], events: u32) -> bool {
    let outcome = limiter.take(asks, events).await;
    assert!(!matches!(outcome, Err(TakeError::Unavailable { .. })), "{outcome:?}");
    outcome.is_ok()
}

/// Waits for a condition, for a minute at most.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let started = SystemClock.monotonic();
    while !condition().await {
        let waited = SystemClock.monotonic().saturating_duration_since(started);
        assert!(waited < Duration::from_secs(60), "a minute passed and still not: {what}");
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
}
