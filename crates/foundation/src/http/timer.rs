use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use crate::clock::Clock;

/// A sleep that owns its clock.
pub(super) type Nap = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) fn nap(clock: Arc<dyn Clock>, duration: Duration) -> Nap {
    Box::pin(async move { clock.sleep(duration).await })
}

/// The process's clock, as hyper wants it.
#[derive(Clone)]
pub(super) struct ClockTimer {
    clock: Arc<dyn Clock>,
}

impl ClockTimer {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Timer for ClockTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(SharedNap(Mutex::new(nap(Arc::clone(&self.clock), duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.clock.monotonic()))
    }

    fn now(&self) -> Instant {
        self.clock.monotonic()
    }
}

impl fmt::Debug for ClockTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockTimer").finish_non_exhaustive()
    }
}

/// hyper asks for `Sync`; the lock is never contended.
struct SharedNap(Mutex<Nap>);

impl Future for SharedNap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(context)
    }
}

impl Sleep for SharedNap {}
