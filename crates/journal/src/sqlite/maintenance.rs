//! Looking after limits and the disk now and then, and the end of the journal.

use std::sync::Arc;

use tokio::sync::watch;
use weir_foundation::supervise::DrainToken;

use super::condition::{Condition, JournalFailed};
use super::journal::Shared;
use super::queue::Job;
use super::retention;

impl Shared {
    /// Has the writer look at limits and at the disk.
    pub(super) fn probe(&self) {
        // A queue that is full or closed has its own reasons to look at the limits.
        drop(self.queue.try_push(Job::Maintain));
    }

    /// Removes what may go. What goes wrong is logged.
    pub(super) async fn retain(self: &Arc<Self>) {
        let retained = Arc::clone(self);
        match self.spawner.blocking("journal.retention", move || retention::run(&retained)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = weir_foundation::failure::chain(&error).to_string();
                tracing::error!(error, "retention of the journal failed");
            }
            Err(error) => tracing::warn!(%error, "retention of the journal was given up"),
        }
    }
}

/// Waits until the journal takes nothing any more.
pub(super) async fn ended(condition: &mut watch::Receiver<Condition>) -> Result<(), JournalFailed> {
    let end = condition.wait_for(|now| matches!(now, Condition::Closed | Condition::Failed(_))).await;
    match end.as_deref() {
        Ok(Condition::Failed(why)) => Err(JournalFailed(Arc::clone(why))),
        _ => Ok(()),
    }
}

/// Looks at limits now and then, and closes the journal when its time has come.
pub(super) async fn run(shared: Arc<Shared>, drain: DrainToken) -> Result<(), JournalFailed> {
    let mut condition = shared.condition.subscribe();
    loop {
        tokio::select! {
            () = drain.draining() => {
                shared.close().await;
                return Ok(());
            }
            outcome = ended(&mut condition) => return outcome,
            () = shared.rolled.notified() => {}
            () = shared.clock.sleep(shared.settings.maintenance) => {}
        }
        shared.probe();
        shared.retain().await;
    }
}
