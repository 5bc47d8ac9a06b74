//! How long to wait before the next attempt.
//!
//! Exponential back-off with full jitter: the n-th delay is drawn evenly from zero to
//! `min(longest, first × 2ⁿ)`, so that many callers that failed together do not come back together.
//!
//! ```
//! # use std::time::Duration;
//! # use weir_foundation::retry::{Attempts, Backoff};
//! # use rand::SeedableRng;
//! let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10), Attempts::Unlimited)?;
//! let mut delays = backoff.delays(rand::rngs::StdRng::seed_from_u64(7));
//! assert!(delays.next().is_some_and(|delay| delay <= Duration::from_millis(100)));
//! # Ok::<(), weir_foundation::retry::BackoffError>(())
//! ```

use std::num::NonZeroU32;
use std::time::Duration;

use rand::{Rng, RngExt};

/// A validated schedule of delays. Cheap to copy; each series of attempts takes [`Backoff::delays`] anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: Attempts,
}

/// How often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    Unlimited,
    /// The first attempt is not counted.
    AtMost(NonZeroU32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackoffError {
    #[error("the first delay is zero, so attempts would follow each other without pause")]
    ZeroFirst,
    #[error("the longest delay {longest:?} is shorter than the first {first:?}")]
    LongestBelowFirst { first: Duration, longest: Duration },
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration, attempts: Attempts) -> Result<Self, BackoffError> {
        if first.is_zero() {
            return Err(BackoffError::ZeroFirst);
        }
        if longest < first {
            return Err(BackoffError::LongestBelowFirst { first, longest });
        }
        Ok(Self { first, longest, attempts })
    }

    /// The delays before the second, third, … attempt; ends when the attempts are used up.
    pub fn delays<R: Rng>(self, rng: R) -> Delays<R> {
        Delays { backoff: self, ceiling: self.first, taken: 0, rng }
    }
}

/// Iterator of [`Backoff::delays`].
#[derive(Debug)]
pub struct Delays<R> {
    backoff: Backoff,
    ceiling: Duration,
    taken: u32,
    rng: R,
}

impl<R: Rng> Iterator for Delays<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if let Attempts::AtMost(limit) = self.backoff.attempts
            && self.taken >= limit.get()
        {
            return None;
        }
        self.taken = self.taken.saturating_add(1);
        let delay = self.rng.random_range(Duration::ZERO..=self.ceiling);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.backoff.longest);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn refuses_schedules_without_sense() {
        let check = |first, longest, expected| {
            assert_eq!(Backoff::new(first, longest, Attempts::Unlimited).map(|_| ()), expected);
        };
        check(MS, MS, Ok(()));
        check(Duration::ZERO, MS, Err(BackoffError::ZeroFirst));
        check(MS * 2, MS, Err(BackoffError::LongestBelowFirst { first: MS * 2, longest: MS }));
    }

    #[test]
    fn stays_below_a_ceiling_that_doubles() {
        for seed in 0..200 {
            let backoff = Backoff::new(MS * 100, MS * 350, Attempts::Unlimited).expect("is valid");
            let delays: Vec<_> = backoff.delays(StdRng::seed_from_u64(seed)).take(5).collect();
            let ceilings = [100, 200, 350, 350, 350];
            for (delay, ceiling) in delays.iter().zip(ceilings) {
                assert!(*delay <= MS * ceiling, "seed {seed}: {delays:?} above {ceilings:?}");
            }
        }
    }

    #[test]
    fn uses_the_whole_width() {
        let backoff = Backoff::new(MS * 100, MS * 100, Attempts::Unlimited).expect("is valid");
        let delays: Vec<_> = backoff.delays(StdRng::seed_from_u64(1)).take(1000).collect();
        assert!(delays.iter().any(|delay| *delay < MS * 10) && delays.iter().any(|delay| *delay > MS * 90));
    }

    #[test]
    fn ends_after_the_last_attempt() {
        let three = NonZeroU32::new(3).expect("is not zero");
        let backoff = Backoff::new(MS, MS, Attempts::AtMost(three)).expect("is valid");
        assert_eq!(backoff.delays(StdRng::seed_from_u64(1)).count(), 3);
    }

    #[test]
    fn same_seed_same_delays() {
        let backoff = Backoff::new(MS, MS * 1000, Attempts::Unlimited).expect("is valid");
        let draw = || backoff.delays(StdRng::seed_from_u64(9)).take(20).collect::<Vec<_>>();
        assert_eq!(draw(), draw());
    }
}
