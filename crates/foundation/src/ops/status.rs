use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::health::Health;

/// What this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub version: String,
    /// `up`, `producer`, `consumer`, …
    pub role: String,
    /// When an acknowledgement is given, by name: anything weaker than the default must be visible.
    pub durability: String,
}

/// What `/status` says. Components add sections; clones share them.
#[derive(Clone)]
pub struct StatusBoard {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    clock: Arc<dyn Clock>,
    started: SystemTime,
    started_monotonic: Instant,
    sections: Mutex<BTreeMap<String, Section>>,
}

type Section = Arc<dyn Fn() -> Value + Send + Sync>;

impl StatusBoard {
    /// The process counts as started now.
    #[must_use]
    pub fn new(identity: Identity, clock: Arc<dyn Clock>) -> Self {
        let (started, started_monotonic) = (clock.now(), clock.monotonic());
        let sections = Mutex::default();
        Self { shared: Arc::new(Shared { identity, clock, started, started_monotonic, sections }) }
    }

    /// Shows what `describe` returns as `sections.<name>`, replacing an earlier section of this name.
    ///
    /// It is called for each request on the thread of the listener and must not block.
    pub fn section(&self, name: impl Into<String>, describe: impl Fn() -> Value + Send + Sync + 'static) {
        self.shared.sections().insert(name.into(), Arc::new(describe));
    }

    pub(super) fn page(&self, health: &Health) -> Value {
        let shared = &*self.shared;
        let components = health.readiness();
        let sections: Vec<(String, Section)> =
            shared.sections().iter().map(|(name, section)| (name.clone(), Arc::clone(section))).collect();
        let sections: Map<String, Value> =
            sections.into_iter().map(|(name, describe)| (name, describe())).collect();
        let uptime = shared.clock.monotonic().saturating_duration_since(shared.started_monotonic);
        json!({
            "version": shared.identity.version,
            "role": shared.identity.role,
            "durability": shared.identity.durability,
            // Null only for a clock outside the years that RFC 3339 knows.
            "started": Timestamp::try_from(shared.started).ok().map(|time| time.to_string()),
            "uptime_seconds": uptime.as_secs(),
            "ready": components.iter().all(|component| component.condition.is_ready()),
            "components": components,
            "sections": sections,
        })
    }
}

impl Shared {
    fn sections(&self) -> MutexGuard<'_, BTreeMap<String, Section>> {
        self.sections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StatusBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusBoard").field("identity", &self.shared.identity).finish_non_exhaustive()
    }
}
