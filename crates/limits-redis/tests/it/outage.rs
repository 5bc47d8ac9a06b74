use std::sync::Arc;

use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::metrics::Builder;
use weir_limits::conformance::WINDOW;
use weir_limits::{Limiter, LimiterMetrics};

use crate::world::{World, ask, eventually};

fn state(health: &Health) -> String {
    let states = health.readiness();
    states.iter().find(|state| state.name == "limits").expect("it is registered").to_string()
}

#[tokio::test]
async fn the_local_limiter_takes_over_and_goes_back() {
    let mut world = World::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let health = Health::new(Arc::clone(&clock));
    let mut builder = Builder::new();
    let metrics = LimiterMetrics::register(&mut builder);
    let redis = world.limiter("weir:limit:").await;
    let limiter = Limiter::shared(Arc::new(redis.clone()), WINDOW, clock, &health, metrics);
    let metrics = builder.build();
    let ask = [ask("shop", 1)];
    let take = async |events| limiter.take(&ask, events).await.is_ok();

    assert!(take(10).await && !take(8).await);
    assert_eq!(state(&health), "limits: idle");

    world.redis.kill().expect("it can be killed");
    assert!(take(10).await, "the local bucket is full");
    assert!(!take(8).await, "and is a limit");
    let reported = state(&health);
    assert!(reported.starts_with("limits: degraded: each process limits for itself: "), "{reported}");
    assert!(health.ready(), "what it does is of use");

    world.redis.restart().expect("it starts again");
    eventually("the limits are shared again", async || redis.is_connected()).await;
    assert!(take(10).await, "Redis has forgotten everything, the script too");
    assert!(!take(8).await);
    assert_eq!(state(&health), "limits: idle");
    let exposition = metrics.exposition();
    for line in ["weir_limits_takeovers_total 1", "weir_limits_local_batches_total 2"] {
        assert!(exposition.lines().any(|found| found == line), "no `{line}` in\n{exposition}");
    }
}

#[tokio::test]
async fn a_producer_starts_without_redis() {
    let mut world = World::new();
    world.redis.kill().expect("it can be killed");
    let redis = world.unconnected("weir:limit:");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let health = Health::new(Arc::clone(&clock));
    let limiter = Limiter::shared(Arc::new(redis.clone()), WINDOW, clock, &health, LimiterMetrics::default());
    assert!(limiter.take(&[ask("shop", 1)], 10).await.is_ok());
    assert!(limiter.take(&[ask("shop", 1)], 8).await.is_err());
    assert_eq!(state(&health), "limits: degraded: each process limits for itself: Redis is away");
    world.redis.restart().expect("it starts");
    eventually("the limits are shared", async || redis.is_connected()).await;
    assert!(limiter.take(&[ask("shop", 1)], 10).await.is_ok());
    assert_eq!(state(&health), "limits: idle");
}
