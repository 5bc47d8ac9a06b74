//! Since when what is not stored of a file has been there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Times that are kept of a file: how precise the answer is.
const MOST: usize = 16;

/// Half of them are left when they become too many.
const HALF: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Lag {
    /// How long the file was, and when that was first seen, oldest first. What lies within a step is as old as the oldest
    /// of it.
    lengths: VecDeque<(u64, Instant)>,
    step: Duration,
}

impl Lag {
    pub(super) fn grew(&mut self, length: u64, at: Instant) {
        self.push(length, at);
        if self.lengths.len() > MOST
            && let Some((_, oldest)) = self.lengths.front()
        {
            self.step = at.saturating_duration_since(*oldest) / HALF;
            for (length, at) in std::mem::take(&mut self.lengths) {
                self.push(length, at);
            }
        }
    }

    fn push(&mut self, length: u64, at: Instant) {
        match self.lengths.back_mut() {
            Some((last, since)) if at.saturating_duration_since(*since) < self.step => *last = length,
            _ => self.lengths.push_back((length, at)),
        }
    }

    pub(super) fn is_stored(&mut self, up_to: u64) {
        while self.lengths.front().is_some_and(|(length, _)| *length <= up_to) {
            self.lengths.pop_front();
        }
        if self.lengths.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.lengths.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use weir_foundation::clock::{Clock as _, ManualClock};

    use super::*;

    #[test]
    fn the_oldest_byte_counts() {
        let start = ManualClock::new(SystemTime::UNIX_EPOCH).monotonic();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut lag = Lag::default();
        assert_eq!(lag.since(), None);
        for (length, seconds) in [(10, 0), (20, 5), (30, 9)] {
            lag.grew(length, after(seconds));
        }
        for (stored, expected) in [(0, Some(0)), (9, Some(0)), (10, Some(5)), (29, Some(9)), (30, None)] {
            lag.is_stored(stored);
            assert_eq!(lag.since(), expected.map(after), "{stored}");
        }
    }

    /// Never younger than it is, and not much older.
    #[test]
    fn a_long_time_is_told_well_enough() {
        let start = ManualClock::new(SystemTime::UNIX_EPOCH).monotonic();
        let mut lag = Lag::default();
        for second in 0..3_600 {
            lag.grew(second + 1, start + Duration::from_secs(second));
        }
        for stored in 0..3_600 {
            lag.is_stored(stored);
            let since = lag.since().expect("something is not stored").saturating_duration_since(start);
            let (real, told) = (3_600 - stored, 3_600 - since.as_secs());
            assert!(real <= told && told <= real + 3_600 / 4, "{stored}: {real} {told}");
        }
    }
}
