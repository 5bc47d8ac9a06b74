use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A call of a seam that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Append,
    Read,
    Next,
    Commit,
    Streams,
    Write,
    Flush,
    Audit,
    Positions,
    PutLetters,
    ReadLetters,
}

/// What goes wrong, for all wrappers that share it.
///
/// Time is counted in *crossings*: each call of a seam is crossed twice, before it has any effect and after it
/// has all of it. A crash is a crossing that never returns, and with it every later one: what a process sees
/// of its own death.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    crossed: watch::Sender<u64>,
    dead: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    crash_at: Option<u64>,
    crossings: u64,
    /// How many calls are still to fail.
    failures: HashMap<Call, u64>,
    calls: HashMap<Call, u64>,
}

/// What a wrapper does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Proceed,
    Fail,
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl Faults {
    /// Nothing goes wrong until told to.
    #[must_use]
    pub fn none() -> Self {
        Self::with(State::default())
    }

    /// The crossing with this number, counted from 0, is a crash.
    #[must_use]
    pub fn crash_at(crossing: u64) -> Self {
        Self::with(State { crash_at: Some(crossing), ..State::default() })
    }

    fn with(state: State) -> Self {
        let (crossed, dead) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { shared: Arc::new(Shared { state: Mutex::new(state), crossed, dead }) }
    }

    /// The next `times` calls fail, and have no effect.
    pub fn fail(&self, call: Call, times: u64) {
        self.state().failures.insert(call, times);
    }

    /// Ends what [`Faults::fail`] began.
    pub fn heal(&self, call: Call) {
        self.state().failures.remove(&call);
    }

    /// How often the call was made, failed ones included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.state().calls.get(&call).copied().unwrap_or(0)
    }

    /// Waits until the call was made so often.
    pub async fn called(&self, call: Call, times: u64) {
        let mut crossed = self.shared.crossed.subscribe();
        while self.calls(call) < times {
            if crossed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for the crash.
    pub async fn crashed(&self) {
        let mut dead = self.shared.dead.subscribe();
        dead.wait_for(|dead| *dead).await.expect("the sender lives in `self`");
    }

    pub(crate) async fn before(&self, call: Call) -> Fate {
        self.cross().await;
        let mut state = self.state();
        *state.calls.entry(call).or_default() += 1;
        match state.failures.get_mut(&call) {
            Some(times) if *times > 0 => {
                *times -= 1;
                Fate::Fail
            }
            _ => Fate::Proceed,
        }
    }

    pub(crate) async fn after(&self) {
        self.cross().await;
    }

    async fn cross(&self) {
        let is_dead = {
            let mut state = self.state();
            let now = state.crossings;
            state.crossings += 1;
            state.crash_at.is_some_and(|crash_at| crash_at <= now)
        };
        if is_dead {
            self.shared.dead.send_replace(true);
            pending::<()>().await;
        }
        self.shared.crossed.send_modify(|crossed| *crossed += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a call that was told to fail.
#[derive(Debug, thiserror::Error)]
#[error("the test wants this call to fail")]
pub struct Wanted;
