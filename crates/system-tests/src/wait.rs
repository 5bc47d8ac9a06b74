//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// How often it is looked at where a look costs whoever is waited for.
const SELDOM: Duration = Duration::from_millis(300);

/// Waits until `condition` gives something; panics with `what` after `longest`.
pub async fn until<T>(what: &str, longest: Duration, condition: impl AsyncFnMut() -> Option<T>) -> T {
    wait(what, longest, EVERY, condition).await
}

/// As [`until`], of a condition that is dear.
pub async fn until_seldom<T>(what: &str, longest: Duration, condition: impl AsyncFnMut() -> Option<T>) -> T {
    wait(what, longest, SELDOM, condition).await
}

async fn wait<T>(
    what: &str,
    longest: Duration,
    every: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {longest:?}");
        tokio::time::sleep(every).await;
    }
}
