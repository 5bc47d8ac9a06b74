//! How the journal is, for readiness and for the end of the process.

use std::sync::Arc;

use tokio::sync::watch;

/// How the journal is.
#[derive(Debug, Clone)]
pub enum Condition {
    /// It takes records.
    Running,
    /// It takes none until there is space again; it looks by itself.
    Full(Arc<str>),
    /// Storing failed; the process must end, because nobody knows what the disk holds.
    Failed(Arc<str>),
    /// It was closed.
    Closed,
}

impl Condition {
    /// Whether records are taken.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running)
    }
}

/// The journal can not go on; the process must end and start again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the journal failed: {0}")]
pub struct JournalFailed(pub(super) Arc<str>);

/// Who may change the condition tells it here; a failure is never taken back.
#[derive(Debug)]
pub(super) struct ConditionCell(watch::Sender<Condition>);

impl Default for ConditionCell {
    fn default() -> Self {
        Self(watch::Sender::new(Condition::Running))
    }
}

impl ConditionCell {
    pub(super) fn get(&self) -> Condition {
        self.0.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Condition> {
        self.0.subscribe()
    }

    pub(super) fn running(&self) {
        let back = self.0.send_if_modified(|now| {
            let was_full = matches!(now, Condition::Full(_));
            if was_full {
                *now = Condition::Running;
            }
            was_full
        });
        if back {
            tracing::info!("the journal has space again");
        }
    }

    pub(super) fn full(&self, why: &str) {
        let new = self.0.send_if_modified(|now| {
            let was_running = now.is_running();
            if was_running {
                *now = Condition::Full(why.into());
            }
            was_running
        });
        if new {
            tracing::error!(why, "the journal is full and takes no records until there is space");
        }
    }

    pub(super) fn failed(&self, why: &str) {
        let first = self.0.send_if_modified(|now| {
            let first = !matches!(now, Condition::Failed(_));
            if first {
                *now = Condition::Failed(why.into());
            }
            first
        });
        if first {
            tracing::error!(why, "the journal failed");
        }
    }

    /// Why everything is refused since a failure, if there was one.
    pub(super) fn failure(&self) -> Option<JournalFailed> {
        match &*self.0.borrow() {
            Condition::Failed(why) => Some(JournalFailed(Arc::clone(why))),
            _ => None,
        }
    }

    pub(super) fn closed(&self) {
        self.0.send_if_modified(|now| {
            let failed = matches!(now, Condition::Failed(_));
            if !failed {
                *now = Condition::Closed;
            }
            !failed
        });
    }
}
