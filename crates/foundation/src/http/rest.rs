use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Incoming};

use crate::clock::{self, Clock};
use crate::supervise::{DrainPhase, Policy, Spawner};

/// Reads and forgets what handlers leave of the bodies of HTTP/2 requests.
///
/// A client whose request is refused early has more of the body under way. h2 takes what comes for a stream that
/// is gone for an error of the client, and closes a connection with more than 1024 of them
/// (<https://rustsec.org/advisories/RUSTSEC-2024-0003.html>): the answers to all other requests would be lost.
pub(super) struct Rest {
    pub(super) task_name: String,
    pub(super) phase: DrainPhase,
    pub(super) spawner: Spawner,
    pub(super) clock: Arc<dyn Clock>,
    /// A client that goes on sending for longer is cut off.
    pub(super) longest: Duration,
}

impl Rest {
    /// Returns at once. The reading ends with the connection at the latest.
    pub(super) fn discard(&self, mut body: Incoming) {
        let (clock, longest) = (Arc::clone(&self.clock), self.longest);
        self.spawner.spawn(&self.task_name, Policy::expendable(self.phase), |_| async move {
            let end = poll_fn(|context| {
                loop {
                    match ready!(Pin::new(&mut body).poll_frame(context)) {
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                }
            });
            clock::timeout(&*clock, longest, end).await.ok();
            Ok::<(), Infallible>(())
        });
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("longest", &self.longest).finish_non_exhaustive()
    }
}
