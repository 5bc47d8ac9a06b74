use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{Instrument, error, info, warn};

use super::phase::{DrainDeadlines, DrainPhase, DrainToken};
use super::registry::{Registry, TaskId};
use crate::failure::{Audience, BoxError, Disposition, Failure, chain};

/// What the end of a task means for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub on_error: Reaction,
    pub on_panic: Reaction,
    pub phase: DrainPhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The process drains and ends with exit code 1.
    StopProcess,
    /// The process lives on without the task.
    LogAndGoOn,
}

impl Policy {
    /// A task without which the process is of no use.
    #[must_use]
    pub const fn essential(phase: DrainPhase) -> Self {
        Self { on_error: Reaction::StopProcess, on_panic: Reaction::StopProcess, phase }
    }

    /// A task that serves one client or one attempt: its failure is its own, a panic of it is a bug that
    /// harms nobody else.
    #[must_use]
    pub const fn expendable(phase: DrainPhase) -> Self {
        Self { on_error: Reaction::LogAndGoOn, on_panic: Reaction::LogAndGoOn, phase }
    }
}

/// Starts named tasks. Components hold a clone; works from any thread.
///
/// Names are for people, in the form `component.part`. Tasks may share one (connections do) and are then
/// reported with their number.
#[derive(Clone)]
pub struct Spawner {
    registry: Arc<Registry>,
    runtime: Handle,
    deadlines: DrainDeadlines,
}

impl Spawner {
    pub(super) fn new(registry: Arc<Registry>, runtime: Handle, deadlines: DrainDeadlines) -> Self {
        Self { registry, runtime, deadlines }
    }

    /// How long the tasks of a phase may take when it drains.
    #[must_use]
    pub const fn deadline(&self, phase: DrainPhase) -> Duration {
        self.deadlines.of(phase)
    }

    /// Starts a task. It gets the token of its phase and shall return soon after the token fires; returning
    /// earlier is fine if the work is done.
    pub fn spawn<F, T, E>(&self, name: &str, policy: Policy, task: F) -> TaskHandle
    where
        F: FnOnce(DrainToken) -> T,
        T: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let watch = TaskWatch::new(self, name, policy);
        let id = watch.id;
        let task = task(self.registry.token(policy.phase));
        let watched = async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            watch.ended(outcome.map(|result| result.map_err(Into::into)));
        };
        let join = self.runtime.spawn(watched.instrument(tracing::info_span!("task", task = name)));
        self.registry.set_abort(id, join.abort_handle());
        TaskHandle(join)
    }

    /// Starts an OS thread for work that blocks as long as the process lives, such as a database writer.
    ///
    /// A thread can not be aborted: one that ignores its token, or waits for something else, is left behind
    /// when its phase ends. Fails if the machine has no thread to give.
    pub fn spawn_thread<F, E>(&self, name: &str, policy: Policy, work: F) -> io::Result<()>
    where
        F: FnOnce(DrainToken) -> Result<(), E> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let watch = TaskWatch::new(self, name, policy);
        let token = self.registry.token(policy.phase);
        let span = tracing::info_span!("thread", thread = name);
        let run = move || {
            let _entered = span.enter();
            let outcome = catch_unwind(AssertUnwindSafe(|| work(token)));
            watch.ended(outcome.map(|result| result.map_err(Into::into)));
        };
        // Not joined: `TaskWatch` tells when it ends.
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
    }

    /// Runs `work` on the pool for blocking work and returns what it returns.
    ///
    /// It counts for [`DrainPhase::Close`] and can not be aborted, not even by dropping the future: work that
    /// may last checks by itself whether it is still wanted.
    pub fn blocking<F, T>(
        &self,
        name: &str,
        work: F,
    ) -> impl Future<Output = Result<T, BlockingError>> + Send + use<F, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let presence = Presence::new(&self.registry, name, DrainPhase::Close);
        self.blocking_detached(name, move || {
            let _present = presence;
            work()
        })
    }

    /// As [`Spawner::blocking`], for work that the end of the process may cut off at any point, such as a question
    /// to a machine that does not answer: no drain waits for it.
    pub fn blocking_detached<F, T>(
        &self,
        name: &str,
        work: F,
    ) -> impl Future<Output = Result<T, BlockingError>> + Send + use<F, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let span = tracing::Span::current();
        let join = self.runtime.spawn_blocking(move || span.in_scope(work));
        let name = name.to_owned();
        async move {
            match join.await {
                Ok(result) => Ok(result),
                Err(error) if error.is_panic() => {
                    Err(BlockingError::Panicked { name, message: panic_message(&*error.into_panic()) })
                }
                Err(_) => Err(BlockingError::ShuttingDown { name }),
            }
        }
    }

    /// The token of a phase, for a task that must know of the drain before its own phase begins.
    #[must_use]
    pub fn token(&self, phase: DrainPhase) -> DrainToken {
        self.registry.token(phase)
    }

    /// Asks the process to drain and end, with exit code 0 if nothing fails on the way.
    pub fn request_stop(&self, reason: &str) {
        info!(reason, "stop requested");
        self.registry.request_stop();
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

/// Blocking work gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockingError {
    #[error("`{name}` panicked: {message}")]
    Panicked { name: String, message: String },
    #[error("`{name}` was not started because the process is shutting down")]
    ShuttingDown { name: String },
}

impl Failure for BlockingError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Panicked { .. } => Disposition::GiveUp,
            Self::ShuttingDown { .. } => Disposition::ShuttingDown,
        }
    }

    fn audience(&self) -> Audience {
        Audience::Ours
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Panicked { .. } => "internal",
            Self::ShuttingDown { .. } => "shutting_down",
        }
    }
}

/// A started task. Dropping it leaves the task running.
#[derive(Debug)]
pub struct TaskHandle(JoinHandle<()>);

impl TaskHandle {
    /// Drops the task where it waits next. Not reported as a failure.
    pub fn abort(&self) {
        self.0.abort();
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until the task has ended in whatever way.
    pub async fn finished(self) {
        // How it ended was reported by its `TaskWatch`.
        drop(self.0.await);
    }
}

/// Reports the end of a task according to its policy.
struct TaskWatch {
    id: TaskId,
    name: String,
    policy: Policy,
    presence: Presence,
}

impl TaskWatch {
    fn new(spawner: &Spawner, name: &str, policy: Policy) -> Self {
        let presence = Presence::new(&spawner.registry, name, policy.phase);
        Self { id: presence.id, name: name.to_owned(), policy, presence }
    }

    fn ended(self, outcome: Result<Result<(), BoxError>, Box<dyn Any + Send>>) {
        let task = &*self.name;
        let reaction = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => {
                let reaction = self.policy.on_error;
                match reaction {
                    Reaction::StopProcess => error!(task, error = %chain(&*failure), "task failed, stopping"),
                    Reaction::LogAndGoOn => warn!(task, error = %chain(&*failure), "task failed"),
                }
                reaction
            }
            Err(payload) => {
                error!(task, panic = panic_message(&*payload), "task panicked");
                self.policy.on_panic
            }
        };
        if reaction == Reaction::StopProcess {
            self.presence.registry.fail();
        }
    }
}

/// An entry in the registry, until dropped.
struct Presence {
    registry: Arc<Registry>,
    id: TaskId,
}

impl Presence {
    fn new(registry: &Arc<Registry>, name: &str, phase: DrainPhase) -> Self {
        Self { registry: Arc::clone(registry), id: registry.enter(name, phase) }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.registry.leave(self.id);
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
