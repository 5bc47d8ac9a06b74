use std::num::NonZeroU32;
use std::time::Duration;

use crate::seam::OverLimit;

/// A token bucket. Its level is counted in millionths of an event, since a rate per second times
/// microseconds is just that; with windows up to an hour all products fit 64 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    level: u64,
    /// The rate that filled it since `updated`.
    rate: NonZeroU32,
    /// In microseconds.
    updated: u64,
}

const MILLIONTHS: u64 = 1_000_000;

impl Bucket {
    pub(super) fn full(rate: NonZeroU32, window: u64, now: u64) -> Self {
        Self { level: capacity(rate, window), rate, updated: now }
    }

    pub(super) fn is_full(&self, window: u64, now: u64) -> bool {
        self.level_at(self.rate, window, now) == capacity(self.rate, window)
    }

    /// A rate other than before applies from now on; more capacity is filled at the rate and not given.
    pub(super) fn take(
        &mut self,
        rate: NonZeroU32,
        window: u64,
        now: u64,
        events: u32,
    ) -> Result<(), OverLimit> {
        let level = self.level_at(rate, window, now);
        let cost = u64::from(events) * MILLIONTHS;
        *self = Self { level, rate, updated: self.updated.max(now) };
        match level.checked_sub(cost) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err(OverLimit { rate: rate.get(), retry_after: wait(cost, level, rate, window) }),
        }
    }

    /// What was taken and is not used after all.
    pub(super) fn give_back(&mut self, window: u64, events: u32) {
        let given = self.level.saturating_add(u64::from(events) * MILLIONTHS);
        self.level = given.min(capacity(self.rate, window));
    }

    fn level_at(&self, rate: NonZeroU32, window: u64, now: u64) -> u64 {
        let filled = now.saturating_sub(self.updated).saturating_mul(u64::from(self.rate.get()));
        self.level.saturating_add(filled).min(capacity(rate, window))
    }
}

fn capacity(rate: NonZeroU32, window: u64) -> u64 {
    u64::from(rate.get()).saturating_mul(window)
}

/// `None` if the bucket can never hold as much.
fn wait(cost: u64, level: u64, rate: NonZeroU32, window: u64) -> Option<Duration> {
    let micros = (cost - level).div_ceil(u64::from(rate.get()));
    (cost <= capacity(rate, window)).then(|| Duration::from_micros(micros))
}
