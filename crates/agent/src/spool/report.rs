//! What a spool counts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_journal::sqlite::SqliteJournal;

use crate::metrics::SpoolMeters;

/// What a spool did since it was opened, and how it is.
///
/// What is waiting is what was waiting when it was opened, and what was kept since, without what was sent or dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolReport {
    /// Events that were made durable.
    pub kept: u64,
    /// Events that the server has, by its word.
    pub sent: u64,
    pub dropped: Dropped,
    /// Events that are neither with the server nor dropped.
    pub waiting: u64,
    /// How long the oldest of them has waited, when that was last looked at; none if nothing waits.
    pub oldest: Option<Duration>,
    /// Bytes of the disk, when that was last looked at.
    pub disk_bytes: u64,
    /// Bytes of packed events in memory.
    pub memory_bytes: usize,
    /// Why nothing is sent though the server is there, or why the disk can not be used.
    pub trouble: Option<String>,
}

/// Events that neither the server nor the node has, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// There was no room.
    pub full: u64,
    /// They were too old.
    pub expired: u64,
    /// The disk did not keep them.
    pub damaged: u64,
    /// The server takes nothing of their size.
    pub too_large: u64,
}

/// Why events were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Full,
    Expired,
    Damaged,
    TooLarge,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.full + self.expired + self.damaged + self.too_large
    }
}

impl Reason {
    /// One word for labels: stable.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::TooLarge => "too_large",
        }
    }
}

#[derive(Debug)]
pub(super) struct Counts {
    state: Mutex<State>,
    meters: SpoolMeters,
}

#[derive(Debug)]
struct State {
    /// How much was waiting when it was opened.
    found: u64,
    report: SpoolReport,
}

impl Counts {
    pub(super) fn new(found: u64, meters: SpoolMeters) -> Self {
        Self { state: Mutex::new(State { found, report: SpoolReport::default() }), meters }
    }

    /// By what the journal says, which also knows of calls that were cancelled.
    pub(super) fn kept(&self, journal: &SqliteJournal) {
        let mut state = self.state();
        let kept = journal.stats().events;
        self.meters.kept.inc_by(kept.saturating_sub(state.report.kept));
        state.report.kept = kept.max(state.report.kept);
        state.tell_waiting(&self.meters);
    }

    pub(super) fn sent(&self, events: u64) {
        let mut state = self.state();
        self.meters.sent.inc_by(events);
        state.report.sent += events;
        state.tell_waiting(&self.meters);
    }

    pub(super) fn dropped(&self, events: u64, reason: Reason) {
        let mut state = self.state();
        self.meters.dropped(reason.as_str()).inc_by(events);
        let dropped = &mut state.report.dropped;
        *match reason {
            Reason::Full => &mut dropped.full,
            Reason::Expired => &mut dropped.expired,
            Reason::Damaged => &mut dropped.damaged,
            Reason::TooLarge => &mut dropped.too_large,
        } += events;
        state.tell_waiting(&self.meters);
    }

    pub(super) fn disk(&self, bytes: u64) {
        self.meters.disk_bytes.set(gauge(bytes));
        self.state().report.disk_bytes = bytes;
    }

    pub(super) fn memory(&self, bytes: usize) {
        self.state().report.memory_bytes = bytes;
    }

    pub(super) fn oldest(&self, age: Option<Duration>) {
        self.meters.oldest_seconds.set(gauge(age.unwrap_or_default().as_secs()));
        self.state().report.oldest = age;
    }

    /// Whether it is another trouble than before.
    pub(super) fn trouble(&self, trouble: &str) -> bool {
        let before = self.state().report.trouble.replace(trouble.to_owned());
        before.as_deref() != Some(trouble)
    }

    pub(super) fn no_trouble(&self) {
        self.state().report.trouble = None;
    }

    pub(super) fn report(&self, journal: &SqliteJournal) -> SpoolReport {
        self.kept(journal);
        let state = self.state();
        SpoolReport { waiting: state.waiting(), ..state.report.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> u64 {
        let SpoolReport { kept, sent, dropped, .. } = &self.report;
        (self.found + kept).saturating_sub(sent + dropped.total())
    }

    fn tell_waiting(&self, meters: &SpoolMeters) {
        meters.waiting.set(gauge(self.waiting()));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
