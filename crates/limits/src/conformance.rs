//! What every limiter keeps. Each function takes one whose buckets are full and hold what their rate allows in
//! [`WINDOW`], by a clock that runs; apps are its own, the group is not touched but by [`asks_are_one`].

#![expect(clippy::panic, reason = "a suite fails by panics")]

use std::num::NonZeroU32;
use std::time::Duration;

use weir_foundation::clock::{Clock, SystemClock};

use crate::seam::{Ask, OverLimit, Scope, SharedLimiter, TakeError};

/// Of the limiter that is examined.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Runs all of them.
pub async fn all(limiter: &dyn SharedLimiter) {
    whole_or_nothing(limiter).await;
    never_fits(limiter).await;
    fills_at_its_rate(limiter).await;
    a_rate_that_changes(limiter).await;
    asks_are_one(limiter).await;
}

/// A batch is taken whole or refused whole, and what is refused is not charged.
pub async fn whole_or_nothing(limiter: &dyn SharedLimiter) {
    let ask = [ask("whole", 1)];
    assert!(taken(limiter, &ask, 6).await);
    for _ in 0..20 {
        assert!(!taken(limiter, &ask, 8).await);
    }
    assert!(taken(limiter, &ask, 4).await);
    assert!(taken(limiter, &ask, 0).await);
}

/// What the bucket can never hold is refused without a delay, and leaves nothing behind.
pub async fn never_fits(limiter: &dyn SharedLimiter) {
    let never = over(limiter, &[ask("never", 1)], 11).await;
    assert_eq!((never.rate, never.retry_after), (1, None));
    assert_eq!(over(limiter, &[ask("never", 1)], u32::MAX).await.retry_after, None);
    assert!(taken(limiter, &[ask("never", u32::MAX)], u32::MAX).await);
}

/// An empty bucket says when there is room, and then there is.
pub async fn fills_at_its_rate(limiter: &dyn SharedLimiter) {
    let ask = [ask("fills", 20)];
    assert!(taken(limiter, &ask, 200).await);
    let wait = over(limiter, &ask, 10).await.retry_after.expect("it fits some time");
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
    SystemClock.sleep(wait).await;
    assert!(taken(limiter, &ask, 10).await);
    assert!(!taken(limiter, &ask, 190).await, "no more than what came meanwhile");
}

/// More capacity is filled at the rate and not given.
pub async fn a_rate_that_changes(limiter: &dyn SharedLimiter) {
    assert!(taken(limiter, &[ask("changes", 2)], 20).await);
    let wait = over(limiter, &[ask("changes", 1000)], 5000).await.retry_after.expect("it fits some time");
    assert!(wait > Duration::from_secs(3) && wait <= Duration::from_secs(5), "{wait:?}");
}

/// Of two buckets either both are charged or none.
pub async fn asks_are_one(limiter: &dyn SharedLimiter) {
    let group = Ask { scope: Scope::Group, rate: NonZeroU32::MIN };
    let both = |app| [ask(app, 2), group];
    assert!(taken(limiter, &both("one"), 6).await);
    for _ in 0..20 {
        assert_eq!(over(limiter, &both("one"), 8).await.rate, 1, "the group is short of them");
    }
    assert!(taken(limiter, &[ask("one", 2)], 14).await, "the app was not charged");
    assert_eq!(over(limiter, &both("one"), 4).await.rate, 2, "the app is short of them");
    assert!(taken(limiter, &[group], 4).await, "the group was not charged");
}

fn ask(app: &str, rate: u32) -> Ask<'_> {
    Ask { scope: Scope::App(app), rate: NonZeroU32::new(rate).expect("the suite uses no zero") }
}

async fn taken(limiter: &dyn SharedLimiter, asks: &[Ask<'_>], events: u32) -> bool {
    match limiter.take(asks, events).await {
        Ok(()) => true,
        Err(TakeError::OverLimit(_)) => false,
        Err(error @ TakeError::Unavailable { .. }) => panic!("{error}"),
    }
}

async fn over(limiter: &dyn SharedLimiter, asks: &[Ask<'_>], events: u32) -> OverLimit {
    match limiter.take(asks, events).await {
        Err(TakeError::OverLimit(over)) => over,
        outcome => panic!("{events} events should be over the limit: {outcome:?}"),
    }
}
