//! Whether the components of the process make progress.
//!
//! A component registers once and gets a [`Progress`], which it touches as it works: [`Progress::busy`] when
//! there is something to do, [`Progress::advanced`] whenever some of it is done, [`Progress::idle`] when
//! nothing is left. Being busy without advancing for longer than the component's own limit is being stuck,
//! whatever the reason: nobody has to foresee how it can hang. What a component knows to be wrong it says with
//! [`Progress::failed`] (not ready until it advances again) or [`Progress::degraded`] (worth showing, ready).
//!
//! Touching costs a few relaxed atomic operations and one reading of the clock; touch once a batch.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::Clock;

/// All components of the process. Clones share them.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    started: Instant,
    components: Mutex<Vec<Arc<Component>>>,
}

struct Component {
    name: String,
    stall_after: Duration,
    /// Nothing was heard of it since it was registered.
    silent: AtomicBool,
    pending: AtomicU64,
    /// Microseconds since [`Shared::started`].
    last_progress: AtomicU64,
    /// Whether `trouble` needs to be looked at, so that the good path takes no lock.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    failure: Option<String>,
    degradation: Option<String>,
}

/// A component's handle. Clones speak for the same component.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
    component: Arc<Component>,
}

/// A component as `/readyz?verbose` and `/status` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentState {
    pub name: String,
    pub condition: Condition,
    /// What is wrong, if anything is.
    pub reason: Option<String>,
    /// Pieces of work in hand, in the component's own unit.
    pub pending: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Registered, and nothing heard of it yet. Not ready.
    Starting,
    Idle,
    Working,
    /// Works, with less than was asked for.
    Degraded,
    /// Says itself that it can not work. Not ready.
    Failed,
    /// Has had work for too long without getting any of it done. Not ready.
    Stuck,
}

impl Condition {
    #[must_use]
    pub const fn is_ready(self) -> bool {
        match self {
            Self::Idle | Self::Working | Self::Degraded => true,
            Self::Starting | Self::Failed | Self::Stuck => false,
        }
    }
}

impl Health {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.monotonic();
        Self { shared: Arc::new(Shared { clock, started, components: Mutex::default() }) }
    }

    /// Adds a component, which is not ready until it says anything but [`Progress::failed`].
    ///
    /// `stall_after` is how long it may be busy without advancing; choose several times of what its slowest
    /// healthy step takes.
    #[must_use]
    pub fn register(&self, name: impl Into<String>, stall_after: Duration) -> Progress {
        let component = Arc::new(Component {
            name: name.into(),
            stall_after,
            silent: AtomicBool::new(true),
            pending: AtomicU64::new(0),
            last_progress: AtomicU64::new(self.shared.micros()),
            troubled: AtomicBool::new(false),
            trouble: Mutex::default(),
        });
        self.shared.components().push(Arc::clone(&component));
        Progress { shared: Arc::clone(&self.shared), component }
    }

    /// Every component in the order of registration.
    #[must_use]
    pub fn readiness(&self) -> Vec<ComponentState> {
        let now = self.shared.micros();
        self.shared.components().iter().map(|component| component.state(now)).collect()
    }

    /// Whether every component is ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        let now = self.shared.micros();
        self.shared.components().iter().all(|component| component.state(now).condition.is_ready())
    }
}

impl Progress {
    /// There is work. The time without progress counts from now, unless the component was busy already.
    pub fn busy(&self) {
        let before = self.component.pending.fetch_max(1, Ordering::Relaxed);
        self.worked_on_from(before);
    }

    /// There are `count` pieces of work, or none.
    pub fn pending(&self, count: u64) {
        let before = self.component.pending.swap(count, Ordering::Relaxed);
        self.worked_on_from(before);
    }

    /// There is one piece of work more. Each is to be [`done`](Self::done), on whichever thread.
    pub fn began(&self) {
        let before = self.component.pending.fetch_add(1, Ordering::Relaxed);
        self.worked_on_from(before);
    }

    /// One piece of work that [`began`](Self::began) is done.
    pub fn done(&self) {
        self.advanced();
        self.component.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Some work was done, so whatever was said to be failed works again.
    pub fn advanced(&self) {
        self.touch();
        self.speak();
        if self.component.troubled.load(Ordering::Relaxed) {
            self.component.change_trouble(|trouble| trouble.failure = None);
        }
    }

    /// Nothing is left to do. A failure stands, since idling proves nothing.
    pub fn idle(&self) {
        self.component.pending.store(0, Ordering::Relaxed);
        self.speak();
    }

    /// The component can not work, until it advances or recovers.
    pub fn failed(&self, reason: impl Into<String>) {
        self.component.change_trouble(|trouble| trouble.failure = Some(reason.into()));
    }

    /// The component works with less than was asked for, until it recovers.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.component.change_trouble(|trouble| trouble.degradation = Some(reason.into()));
        self.speak();
    }

    /// Takes back what was said with [`Progress::failed`] and [`Progress::degraded`].
    pub fn recovered(&self) {
        self.touch();
        self.speak();
        self.component.change_trouble(|trouble| *trouble = Trouble::default());
    }

    /// The component has ended as it should and is no longer part of the readiness.
    pub fn retire(self) {
        self.shared.components().retain(|component| !Arc::ptr_eq(component, &self.component));
    }

    /// The time without progress starts when there was nothing to do `before`.
    fn worked_on_from(&self, before: u64) {
        if before == 0 {
            self.touch();
        }
        self.speak();
    }

    fn touch(&self) {
        self.component.last_progress.store(self.shared.micros(), Ordering::Relaxed);
    }

    fn speak(&self) {
        if self.component.silent.load(Ordering::Relaxed) {
            self.component.silent.store(false, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn micros(&self) -> u64 {
        let elapsed = self.clock.monotonic().saturating_duration_since(self.started);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }

    fn components(&self) -> MutexGuard<'_, Vec<Arc<Component>>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    fn state(&self, now: u64) -> ComponentState {
        let pending = self.pending.load(Ordering::Relaxed);
        let (condition, reason) = self.condition(now, pending);
        ComponentState { name: self.name.clone(), condition, reason, pending }
    }

    fn condition(&self, now: u64, pending: u64) -> (Condition, Option<String>) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = &trouble.failure {
            return (Condition::Failed, Some(failure.clone()));
        }
        let still = Duration::from_micros(now.saturating_sub(self.last_progress.load(Ordering::Relaxed)));
        if pending > 0 && still >= self.stall_after {
            let reason = format!("{pending} pending and no progress for {} s", still.as_secs());
            return (Condition::Stuck, Some(reason));
        }
        if self.silent.load(Ordering::Relaxed) {
            return (Condition::Starting, Some(format!("starting for {} s", still.as_secs())));
        }
        match &trouble.degradation {
            Some(degradation) => (Condition::Degraded, Some(degradation.clone())),
            None if pending > 0 => (Condition::Working, None),
            None => (Condition::Idle, None),
        }
    }

    fn change_trouble(&self, change: impl FnOnce(&mut Trouble)) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut trouble);
        self.troubled.store(trouble.failure.is_some(), Ordering::Relaxed);
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
        })
    }
}

/// `store.delivery: stuck: 12 pending and no progress for 31 s`
impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.condition)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.readiness()).finish()
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.component.name).finish()
    }
}

#[cfg(test)]
mod tests;
