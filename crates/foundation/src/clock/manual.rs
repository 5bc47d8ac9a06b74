use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use super::Clock;

/// A clock for tests that stands still until told to move. Clones share the time.
///
/// Code under test runs in tasks of its own, so a test first waits until it sleeps, then moves the time:
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use weir_foundation::clock::{Clock, ManualClock};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
/// let nap = async { clock.sleep(Duration::from_secs(3600)).await };
/// let test = async {
///     clock.sleepers(1).await;
///     clock.advance(Duration::from_secs(3600));
/// };
/// tokio::join!(nap, test);
/// # }
/// ```
#[derive(Clone)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    wall: Mutex<SystemTime>,
    elapsed: watch::Sender<Duration>,
    asleep: watch::Sender<usize>,
}

impl ManualClock {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "an `Instant` can only be had from the machine")]
    pub fn new(wall: SystemTime) -> Self {
        let shared = Shared {
            started: Instant::now(),
            wall: Mutex::new(wall),
            elapsed: watch::Sender::new(Duration::ZERO),
            asleep: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Moves both the time of day and the monotonic time, and wakes every sleeper whose time has come.
    pub fn advance(&self, by: Duration) {
        *self.shared.wall() += by;
        self.shared.elapsed.send_modify(|elapsed| *elapsed += by);
    }

    /// Sets the time of day as an operator would: the monotonic time stays and nobody wakes.
    pub fn set_wall(&self, wall: SystemTime) {
        *self.shared.wall() = wall;
    }

    /// Waits until at least `count` calls of [`Clock::sleep`] are waiting.
    pub async fn sleepers(&self, count: usize) {
        let mut asleep = self.shared.asleep.subscribe();
        asleep.wait_for(|asleep| *asleep >= count).await.expect("the sender lives as long as `self`");
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("elapsed", &*self.shared.elapsed.borrow()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.shared.wall()
    }

    fn monotonic(&self) -> Instant {
        self.shared.started + *self.shared.elapsed.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut elapsed = self.shared.elapsed.subscribe();
        let wake_at = elapsed.borrow_and_update().saturating_add(duration);
        let _asleep = Asleep::begin(&self.shared);
        elapsed.wait_for(|elapsed| *elapsed >= wake_at).await.expect("the sender lives as long as `self`");
    }
}

impl Shared {
    fn wall(&self) -> std::sync::MutexGuard<'_, SystemTime> {
        self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a sleeper, also when its future is dropped before it wakes.
struct Asleep<'a>(&'a Shared);

impl<'a> Asleep<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.asleep.send_modify(|asleep| *asleep += 1);
        Self(shared)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.asleep.send_modify(|asleep| *asleep -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::clock::{Elapsed, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn wakes_only_those_whose_time_has_come() {
        let clock = ManualClock::new(UNIX_EPOCH);
        let (done, mut finished) = tokio::sync::mpsc::channel(2);
        let nap = |length: u32| {
            let (clock, done) = (clock.clone(), done.clone());
            async move {
                clock.sleep(SECOND * length).await;
                done.send(length).await.expect("the test receives");
            }
        };
        let test = async {
            clock.sleepers(2).await;
            clock.advance(SECOND);
            assert_eq!(finished.recv().await, Some(1));
            assert!(finished.try_recv().is_err(), "the second sleeper has a second left");
            clock.advance(SECOND);
            assert_eq!(finished.recv().await, Some(2));
        };
        tokio::join!(nap(1), nap(2), test);
    }

    #[test]
    fn setting_the_wall_leaves_the_monotonic_time() {
        let clock = ManualClock::new(UNIX_EPOCH);
        let before = clock.monotonic();
        clock.set_wall(UNIX_EPOCH + SECOND * 60);
        assert_eq!(clock.monotonic(), before);
        clock.advance(SECOND);
        assert_eq!(clock.now(), UNIX_EPOCH + SECOND * 61);
        assert_eq!(clock.monotonic(), before + SECOND);
    }

    #[tokio::test]
    async fn a_dropped_sleeper_is_not_counted() {
        let clock = ManualClock::new(UNIX_EPOCH);
        let outcome = timeout(&clock, Duration::ZERO, clock.sleep(SECOND)).await;
        assert_eq!(outcome, Err(Elapsed(Duration::ZERO)));
        assert_eq!(*clock.shared.asleep.borrow(), 0);
    }

    #[tokio::test]
    async fn finished_work_beats_the_limit() {
        let clock = ManualClock::new(UNIX_EPOCH);
        assert_eq!(timeout(&clock, Duration::ZERO, async { 7 }).await, Ok(7));
    }
}
