//! When to look at files.

use std::time::{Duration, Instant};

/// How often everything is looked at, whatever was told.
const SAFETY: Duration = Duration::from_secs(60);

/// The same where something could not be looked at.
const AGAIN: Duration = Duration::from_secs(5);

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Everything,
    /// What is known to have changed, and what nothing is told of.
    Changed,
}

/// Why files are looked at, and when they were.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Everything, and anything.
    scanned: Option<Instant>,
    looked: Option<Instant>,
    /// Something could not be looked at.
    pub(super) failed: bool,
    /// More may have changed than is known.
    pub(super) anew: bool,
    /// Something is known to have changed, or has to be told.
    pub(super) restless: bool,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self { scanned: None, looked: None, failed: false, anew: true, restless: false }
    }

    /// The first time at which anything may be looked at again; none if that is at once.
    pub(super) fn tick(&self, interval: Duration) -> Option<Instant> {
        self.looked.map(|looked| looked + interval)
    }

    /// What comes next, and when; at once, if there is no time.
    pub(super) fn next(&self, interval: Duration, is_polling: bool) -> (Option<Instant>, Look) {
        let (Some(scanned), Some(tick)) = (self.scanned, self.tick(interval)) else {
            return (None, Look::Everything);
        };
        let patience = if self.failed { AGAIN } else { SAFETY };
        let all = (scanned + patience).max(tick);
        if is_polling || self.anew || all == tick {
            (Some(tick), Look::Everything)
        } else if self.restless {
            (Some(tick), Look::Changed)
        } else {
            (Some(all), Look::Everything)
        }
    }

    pub(super) fn looked(&mut self, look: Look, now: Instant) {
        self.looked = Some(now);
        self.restless = false;
        if look == Look::Everything {
            self.scanned = Some(now);
            self.anew = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use weir_foundation::clock::{Clock as _, ManualClock};

    use super::*;

    #[test]
    fn what_changes_is_looked_at_soon_and_everything_now_and_then() {
        let start = ManualClock::new(SystemTime::UNIX_EPOCH).monotonic();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let second = Duration::from_secs(1);
        let mut schedule = Schedule::new();
        assert_eq!(schedule.next(second, false), (None, Look::Everything));
        schedule.looked(Look::Everything, start);
        assert_eq!(schedule.next(second, false), (Some(after(60)), Look::Everything));
        assert_eq!(schedule.next(second, true), (Some(after(1)), Look::Everything));
        schedule.restless = true;
        assert_eq!(schedule.next(second, false), (Some(after(1)), Look::Changed));
        schedule.looked(Look::Changed, after(10));
        assert_eq!(schedule.next(second, false), (Some(after(60)), Look::Everything));
        schedule.failed = true;
        assert_eq!(schedule.next(second, false), (Some(after(11)), Look::Everything));
        schedule.failed = false;
        schedule.anew = true;
        assert_eq!(schedule.next(second, false), (Some(after(11)), Look::Everything));
        schedule.looked(Look::Everything, after(11));
        schedule.restless = true;
        schedule.looked(Look::Changed, after(70));
        schedule.restless = true;
        assert_eq!(schedule.next(2 * second, false), (Some(after(72)), Look::Everything));
    }
}
