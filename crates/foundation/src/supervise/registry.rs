use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OnceCell};
use tokio::task::AbortHandle;

use super::phase::{DrainPhase, DrainToken};

/// Who is alive, and whether the process is to end.
#[derive(Debug, Default)]
pub(super) struct Registry {
    tasks: Mutex<HashMap<TaskId, Entry>>,
    next: AtomicU64,
    changed: Notify,
    phases: [DrainToken; DrainPhase::ALL.len()],
    stop: DrainToken,
    fatal: OnceCell<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TaskId(u64);

#[derive(Debug)]
struct Entry {
    name: String,
    phase: DrainPhase,
    /// None for OS threads and blocking work, which can not be aborted.
    abort: Option<AbortHandle>,
}

/// Names of tasks with how many bear it: `journal.writer, grpc.connection ×37`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holders(BTreeMap<String, usize>);

impl Registry {
    pub(super) fn enter(&self, name: &str, phase: DrainPhase) -> TaskId {
        let id = TaskId(self.next.fetch_add(1, Ordering::Relaxed));
        self.tasks().insert(id, Entry { name: name.to_owned(), phase, abort: None });
        id
    }

    /// Without effect on a task that has left already.
    pub(super) fn set_abort(&self, id: TaskId, abort: AbortHandle) {
        if let Some(entry) = self.tasks().get_mut(&id) {
            entry.abort = Some(abort);
        }
    }

    pub(super) fn leave(&self, id: TaskId) {
        self.tasks().remove(&id);
        self.changed.notify_waiters();
    }

    pub(super) fn token(&self, phase: DrainPhase) -> DrainToken {
        self.phases[phase.index()].clone()
    }

    pub(super) fn begin(&self, phase: DrainPhase) {
        self.phases[phase.index()].0.cancel();
    }

    /// Waits until no task of `phase` is alive.
    pub(super) async fn emptied(&self, phase: DrainPhase) {
        loop {
            let changed = self.changed.notified();
            if self.holders(phase).is_empty() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn holders(&self, phase: DrainPhase) -> Holders {
        let mut names = BTreeMap::new();
        for entry in self.tasks().values().filter(|entry| entry.phase == phase) {
            *names.entry(entry.name.clone()).or_default() += 1;
        }
        Holders(names)
    }

    pub(super) fn abort(&self, phase: DrainPhase) {
        for entry in self.tasks().values().filter(|entry| entry.phase == phase) {
            if let Some(abort) = &entry.abort {
                abort.abort();
            }
        }
    }

    pub(super) fn request_stop(&self) {
        self.stop.0.cancel();
    }

    pub(super) async fn stop_requested(&self) {
        self.stop.draining().await;
    }

    pub(super) fn fail(&self) {
        // A second failure changes nothing.
        self.fatal.set(()).ok();
        self.request_stop();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.fatal.initialized()
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, count)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match count {
                1 => write!(f, "{separator}{name}")?,
                _ => write!(f, "{separator}{name} ×{count}")?,
            }
        }
        Ok(())
    }
}
