//! The bytes that requests may occupy between the head of the request and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One for the whole process: what all requests in hand occupy stays below the limit.
///
/// Nobody waits for it. A request that does not fit is refused with a delay, so that the sender holds its
/// bytes and not this process.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    used: AtomicU64,
    limit: u64,
}

/// Bytes of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    bytes: u64,
}

/// The budget does not have that many bytes left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes were asked for, {left} are left")]
pub(crate) struct Exhausted {
    pub(crate) asked: u64,
    pub(crate) left: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { shared: Arc::new(Shared { used: AtomicU64::new(0), limit }) }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.shared.limit
    }

    pub(crate) fn used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, Exhausted> {
        self.take(bytes)?;
        Ok(Reservation { budget: self.clone(), bytes })
    }

    fn take(&self, bytes: u64) -> Result<(), Exhausted> {
        let limit = self.shared.limit;
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= limit);
        let outcome = self.shared.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        outcome.map(drop).map_err(|used| Exhausted { asked: bytes, left: limit.saturating_sub(used) })
    }
}

impl Reservation {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it hold at least `bytes`.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let more = bytes.saturating_sub(self.bytes);
        self.budget.take(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back what is held beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.budget.shared.used.fetch_sub(less, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).expect("fits");
        assert_eq!(budget.reserve(41).map(drop), Err(Exhausted { asked: 41, left: 40 }));
        let second = budget.reserve(40).expect("fits exactly");
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_reservation_grows_and_shrinks() {
        let budget = Budget::new(100);
        let mut reservation = budget.reserve(10).expect("fits");
        reservation.grow_to(50).expect("fits");
        reservation.grow_to(20).expect("holds more already");
        assert_eq!(budget.used(), 50);
        assert_eq!(reservation.grow_to(101), Err(Exhausted { asked: 51, left: 50 }));
        reservation.shrink_to(5);
        assert_eq!((budget.used(), reservation.bytes()), (5, 5));
        assert_eq!(budget.reserve(u64::MAX).map(drop), Err(Exhausted { asked: u64::MAX, left: 95 }));
    }
}
