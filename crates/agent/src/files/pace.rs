//! How fast a file is read that has a limit.

use std::time::{Duration, Instant};

/// Lines that may be sent: a second's worth of them at most, and what was taken too many is waited for.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u32,
    /// When all lines that were taken are paid for.
    paid: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.max(1), paid: now }
    }

    /// How many lines may be taken now, at least one.
    pub(super) fn most(&self, now: Instant) -> u64 {
        let debt = self.paid.saturating_duration_since(now);
        let left = Duration::from_secs(1).saturating_sub(debt);
        ((left.as_secs_f64() * f64::from(self.per_second)) as u64).max(1)
    }

    /// So many were taken; gives when the next may be.
    pub(super) fn took(&mut self, lines: u64, now: Instant) -> Instant {
        let cost = Duration::from_secs_f64(lines as f64 / f64::from(self.per_second));
        self.paid = self.paid.max(now) + cost;
        // A line more has to be within the second.
        let one = Duration::from_secs_f64(1.0 / f64::from(self.per_second));
        let due = self.paid + one;
        due.checked_sub(Duration::from_secs(1)).map_or(now, |due| due.max(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use weir_foundation::clock::{Clock as _, ManualClock};

    use super::*;

    #[test]
    fn lines_are_as_many_as_the_rate_allows() {
        for (rate, seconds) in [(1, 20), (10, 10), (1_000, 7), (3_333_333, 3)] {
            let start = ManualClock::new(SystemTime::UNIX_EPOCH).monotonic();
            let end = start + Duration::from_secs(seconds);
            let (mut pace, mut now, mut lines) = (Pace::new(rate, start), start, 0);
            assert_eq!(pace.most(now), u64::from(rate));
            while now < end {
                let taken = pace.most(now).min(500);
                lines += taken;
                now = pace.took(taken, now);
            }
            let allowed = u64::from(rate) * (seconds + 1);
            assert!(lines <= allowed + 500 && lines * 10 >= allowed * 9, "{rate}: {lines} of {allowed}");
        }
    }

    #[test]
    fn what_is_too_much_is_waited_for() {
        let start = ManualClock::new(SystemTime::UNIX_EPOCH).monotonic();
        let mut pace = Pace::new(10, start);
        assert_eq!(pace.took(100, start), start + Duration::from_millis(9_100));
        let mut slow = Pace::new(1, start);
        assert_eq!(slow.took(1, start), start + Duration::from_secs(1));
    }
}
