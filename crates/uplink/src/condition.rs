//! What agent and server tell each other beside the events.

use std::fmt;
use std::time::Duration;

use weir_wire::proto::control;

/// A configuration that the server would like this agent to run.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// Grows with every configuration of the server.
    pub revision: u64,
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
    pub text: String,
}

/// How the agent is; it is told whenever it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Hash of the configuration that runs; empty if none does.
    pub running: String,
    /// What became of the last one that was tried.
    pub outcome: Option<Outcome>,
    pub inputs: Vec<InputCondition>,
    /// What is wrong in general.
    pub error: Option<String>,
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub hash: String,
    pub revision: u64,
    /// Absent if it is applied.
    pub error: Option<String>,
}

/// How an input is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputCondition {
    pub kind: &'static str,
    /// What tells it from others: its patterns.
    pub name: String,
    pub app: String,
    pub files: u64,
    /// Bytes that are there and not stored, and how long the oldest of them has been there.
    pub lag_bytes: u64,
    pub lag_age: Duration,
    pub stored_bytes: u64,
    pub lines: u64,
    pub errors: u64,
    pub last_error: Option<String>,
}

impl Condition {
    /// Whether somebody waits for what is new here; counts can wait.
    pub(crate) fn is_news(&self, told: &Self) -> bool {
        (&self.running, &self.outcome, &self.error) != (&told.running, &told.outcome, &told.error)
    }
}

impl From<Outcome> for control::Outcome {
    fn from(outcome: Outcome) -> Self {
        let Outcome { hash, revision, error } = outcome;
        Self { hash, revision, error: error.unwrap_or_default() }
    }
}

impl From<InputCondition> for control::Input {
    fn from(input: InputCondition) -> Self {
        Self {
            kind: input.kind.to_owned(),
            name: input.name,
            app: input.app,
            files: input.files,
            lag_bytes: input.lag_bytes,
            lag_millis: millis(input.lag_age),
            stored_bytes: input.stored_bytes,
            lines: input.lines,
            errors: input.errors,
            last_error: input.last_error.unwrap_or_default(),
        }
    }
}

impl From<control::Configuration> for Offer {
    fn from(configuration: control::Configuration) -> Self {
        let control::Configuration { revision, hash, text } = configuration;
        Self { revision, hash, text }
    }
}

/// The text may hold what is nobody's business.
impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("revision", &self.revision)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
