//! A bounded queue for work that must not starve the rest: some run, some wait, the others are told so.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets at most `running` callers through at once, and as many as `waiting` more wait for them.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

/// Everybody runs who may, and everybody waits who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Admission {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        let places = running.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), running: Arc::new(Semaphore::new(running)) }
    }

    /// Waits for a turn, in order of arrival. Leaving the queue is dropping the future.
    pub(crate) async fn enter(&self) -> Result<Place, Crowded> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| Crowded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.expect("the semaphore is never closed");
        Ok(Place { _place: place, _running: running })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_sent_away() {
        let admission = Admission::new(1, 1);
        let first = admission.enter().await.expect("nobody is there");
        let mut second = Box::pin(admission.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(admission.enter().await.expect_err("the queue is full"), Crowded);
        drop(first);
        second.await.expect("it is the next");
        admission.enter().await.expect("nobody is there any more");
    }

    #[tokio::test]
    async fn who_leaves_the_queue_gives_the_place_back() {
        let admission = Admission::new(1, 1);
        let _first = admission.enter().await.expect("nobody is there");
        assert!(admission.enter().now_or_never().is_none());
        assert!(admission.enter().now_or_never().is_none());
    }
}
