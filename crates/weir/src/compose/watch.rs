//! Tells the health of the process how the journal is.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use weir_foundation::health::{Health, Progress};
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_journal::sqlite::{Condition, SqliteJournal};

/// The journal says itself when it can not work; nothing is to be guessed from silence.
const NEVER_STALLS: Duration = Duration::MAX;

pub(super) fn journal(journal: &SqliteJournal, health: &Health, spawner: &Spawner) {
    let progress = health.register("journal", NEVER_STALLS);
    let condition = journal.condition();
    spawner.spawn("journal.watch", Policy::essential(DrainPhase::Close), |drain| async move {
        follow(condition, &progress, &drain).await;
        Ok::<(), Infallible>(())
    });
}

async fn follow(mut condition: watch::Receiver<Condition>, progress: &Progress, drain: &DrainToken) {
    loop {
        match &*condition.borrow_and_update() {
            Condition::Running => progress.recovered(),
            Condition::Full(reason) => progress.failed(format!("no space: {reason}")),
            Condition::Failed(reason) => progress.failed(reason.as_ref()),
            Condition::Closed => progress.failed("closed"),
        }
        tokio::select! {
            // What was said last is shown, also when it is why the process drains.
            biased;
            changed = condition.changed() => if changed.is_err() { return },
            () = drain.draining() => return,
        }
    }
}
