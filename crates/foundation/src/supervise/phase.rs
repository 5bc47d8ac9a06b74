use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::settings::{DurationText, Problem, Problems};

/// The steps in which a process ends, in this order.
///
/// A task belongs to the phase in which it is asked to return; until then the earlier tasks, which feed it or
/// wait for it, find it alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DrainPhase {
    /// Listeners close and what is being received is answered or refused: nothing new comes in.
    StopIntake,
    /// What was accepted becomes durable in the journal.
    FlushJournal,
    /// What was read from the journal reaches the stores.
    FinishDeliveries,
    /// The watermarks become durable.
    Commit,
    /// Files are closed. Whatever is left ends here.
    Close,
}

impl DrainPhase {
    pub const ALL: [Self; 5] =
        [Self::StopIntake, Self::FlushJournal, Self::FinishDeliveries, Self::Commit, Self::Close];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StopIntake => "stop intake",
            Self::FlushJournal => "flush journal",
            Self::FinishDeliveries => "finish deliveries",
            Self::Commit => "commit",
            Self::Close => "close",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DrainPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tells a task that its phase has begun. Clones are cheap and fire together.
#[derive(Debug, Clone, Default)]
pub struct DrainToken(pub(super) CancellationToken);

impl DrainToken {
    /// Waits until the task's phase begins; returns at once if it has begun. Cancel safe.
    pub async fn draining(&self) {
        self.0.cancelled().await;
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_cancelled()
    }

    /// As [`DrainToken::draining`], as a future that owns its token, for servers that want `'static`.
    pub fn into_draining(self) -> impl Future<Output = ()> + Send + 'static {
        self.0.cancelled_owned()
    }
}

/// How long each phase of the drain may last before the tasks in it are aborted.
#[derive(Debug, Clone, Deserialize, JsonSchema, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct DrainSection {
    /// For requests that are being received when the drain begins. Default: `10s`.
    pub stop_intake: Option<DurationText>,
    /// For what was accepted to become durable in the journal. Default: `15s`.
    pub flush_journal: Option<DurationText>,
    /// For what was read from the journal to reach the stores. Default: `30s`.
    pub finish_deliveries: Option<DurationText>,
    /// For the watermarks to become durable. Default: `10s`.
    pub commit: Option<DurationText>,
    /// For files to be closed and queries to end. Default: `10s`.
    pub close: Option<DurationText>,
}

/// The validated [`DrainSection`]. The sum of the defaults is below the 90 s that systemd grants by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainDeadlines([Duration; DrainPhase::ALL.len()]);

impl DrainDeadlines {
    pub fn validate(raw: &DrainSection) -> Result<Self, Problems> {
        let fields = [
            ("stop_intake", &raw.stop_intake),
            ("flush_journal", &raw.flush_journal),
            ("finish_deliveries", &raw.finish_deliveries),
            ("commit", &raw.commit),
            ("close", &raw.close),
        ];
        let mut deadlines = Self::default();
        let mut problems = Problems::default();
        for (phase, (field, given)) in DrainPhase::ALL.into_iter().zip(fields) {
            match given.map(DurationText::duration) {
                Some(Duration::ZERO) => {
                    problems.push(Problem::at(field, "must be longer than zero, or nothing is drained"));
                }
                Some(deadline) => deadlines.0[phase.index()] = deadline,
                None => {}
            }
        }
        problems.or(deadlines)
    }

    #[must_use]
    pub const fn of(&self, phase: DrainPhase) -> Duration {
        self.0[phase.index()]
    }
}

impl Default for DrainDeadlines {
    fn default() -> Self {
        Self([10, 15, 30, 10, 10].map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_listed_in_order() {
        assert!(DrainPhase::ALL.is_sorted());
        assert!(DrainPhase::ALL.iter().enumerate().all(|(index, phase)| phase.index() == index));
    }

    #[test]
    fn refuses_zero_by_field() {
        let raw = DrainSection { commit: Some(DurationText::from_secs(0)), ..DrainSection::default() };
        let problems = DrainDeadlines::validate(&raw).expect_err("zero is refused");
        assert_eq!(problems.to_string(), "commit: must be longer than zero, or nothing is drained\n");
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: DrainSection = crate::settings::documented_defaults();
        assert_eq!(DrainDeadlines::validate(&documented).expect("are valid"), DrainDeadlines::default());
    }
}
