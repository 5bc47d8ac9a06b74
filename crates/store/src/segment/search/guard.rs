//! What a search may cost, checked at every page.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use weir_foundation::clock::Clock;

use crate::error::SearchError;
use crate::search::SearchLimits;

#[derive(Debug)]
pub(super) struct Guard {
    clock: Arc<dyn Clock>,
    deadline: Instant,
    limits: SearchLimits,
    left: Arc<AtomicBool>,
    used: Cell<usize>,
}

/// Tells the search that its caller left, by being dropped.
#[derive(Debug)]
pub(in super::super) struct Leaving(pub(in super::super) Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Guard {
    pub(super) fn new(clock: Arc<dyn Clock>, limits: SearchLimits) -> (Self, Leaving) {
        let left = Arc::new(AtomicBool::new(false));
        let deadline = clock.monotonic() + limits.timeout;
        let leaving = Leaving(Arc::clone(&left));
        (Self { clock, deadline, limits, left, used: Cell::new(0) }, leaving)
    }

    pub(super) fn check(&self) -> Result<(), SearchError> {
        if self.left.load(Ordering::Relaxed) {
            return Err(SearchError::Cancelled);
        }
        if self.clock.monotonic() >= self.deadline {
            return Err(SearchError::TimedOut { limit: self.limits.timeout });
        }
        Ok(())
    }

    /// Counts memory that the search holds on to.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), SearchError> {
        self.used.set(self.used.get() + bytes);
        if self.used.get() > self.limits.memory {
            return Err(SearchError::TooLarge { limit: self.limits.memory });
        }
        Ok(())
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}
