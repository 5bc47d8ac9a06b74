use std::collections::BTreeSet;
use std::num::NonZeroU32;

use weir_limits::{Ask, Scope, SharedLimiter as _, TakeError};

use crate::world::{World, ask, taken};

async fn keys(world: &World) -> BTreeSet<String> {
    world.ask(&["KEYS", "*"]).await
}

#[tokio::test]
async fn every_key_is_in_its_space_and_has_an_end() {
    let world = World::new();
    let limiter = world.limiter("weir:limit:").await;
    let group = Ask { scope: Scope::Group, rate: NonZeroU32::MIN };
    assert!(taken(&limiter, &[ask("shop_logs", 1), group], 4).await);
    // At the limit, over it, and with another rate.
    assert!(taken(&limiter, &[ask("full_logs", 1)], 10).await);
    assert!(!taken(&limiter, &[ask("full_logs", 1)], 1).await);
    assert!(!taken(&limiter, &[ask("full_logs", 7)], 69).await);
    assert!(taken(&limiter, &[ask("free_logs", 1)], 0).await);
    let expected = ["app:free_logs", "app:full_logs", "app:shop_logs", "group"];
    let found = keys(&world).await;
    assert_eq!(found, expected.map(|key| format!("weir:limit:{key}")).into());
    for key in found {
        let left: i64 = world.ask(&["PTTL", &key]).await;
        assert!((1..=10_001).contains(&left), "{key} lives for {left} ms");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_charged_and_leaves_nothing_behind() {
    let world = World::new();
    let limiter = world.limiter("weir:limit:").await;
    for _ in 0..50 {
        assert!(!taken(&limiter, &[ask("greedy", 1)], 11).await);
        assert!(!taken(&limiter, &[ask("huge", 1)], u32::MAX).await);
    }
    assert_eq!(keys(&world).await, BTreeSet::new());
    assert!(taken(&limiter, &[ask("greedy", 1)], 10).await);
    let level = || world.ask::<String>(&["HGET", "weir:limit:app:greedy", "level"]);
    let before = level().await;
    assert!(!taken(&limiter, &[ask("greedy", 1)], 10).await);
    assert_eq!(level().await, before);
}

#[tokio::test]
async fn the_largest_numbers_are_no_trouble() {
    let world = World::new();
    let limiter = world.limiter("weir:limit:").await;
    assert!(taken(&limiter, &[ask("most", u32::MAX)], u32::MAX).await);
    let never = limiter.take(&[ask("least", 1)], u32::MAX).await;
    assert!(matches!(never, Err(TakeError::OverLimit(over)) if over.retry_after.is_none()), "{never:?}");
    let level: f64 = world.ask(&["HGET", "weir:limit:app:most", "level"]).await;
    let expected = f64::from(u32::MAX) * 9e6;
    assert!((level - expected).abs() < expected * 1e-9, "{level}");
}

#[tokio::test]
async fn a_batch_is_one_round_trip() {
    let world = World::new();
    let limiter = world.limiter("weir:limit:").await;
    let calls = async |command: &str| {
        let text: String = world.ask(&["INFO", "commandstats"]).await;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let group = Ask { scope: Scope::Group, rate: NonZeroU32::MIN };
    for _ in 0..8 {
        assert!(taken(&limiter, &[ask("shop", 1), group], 1).await);
    }
    assert_eq!((calls("evalsha").await, calls("eval").await), (8, 1), "the first one brings the script");
}
