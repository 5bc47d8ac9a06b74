//! Buckets in the memory of this process.

mod bucket;

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hashbrown::HashMap;
use weir_foundation::clock::Clock;

use self::bucket::Bucket;
use crate::seam::{Ask, OverLimit, Scope, SharedLimiter, TakeError};

/// The buckets of all apps in this process. A bucket that is full again is forgotten: a new one would be the same.
#[derive(Debug)]
pub struct LocalLimiter {
    apps: [Mutex<Shard>; SHARDS],
    group: Mutex<Option<Bucket>>,
    hasher: foldhash::fast::RandomState,
    window: Duration,
    clock: Arc<dyn Clock>,
    began: Instant,
}

const SHARDS: usize = 16;

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<Box<str>, Bucket, foldhash::fast::RandomState>,
    /// When full buckets were last looked for, in microseconds.
    swept: u64,
}

impl LocalLimiter {
    /// A bucket holds what its rate allows in `window`.
    #[must_use]
    pub fn new(window: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            apps: std::array::from_fn(|_| Mutex::default()),
            group: Mutex::default(),
            hasher: foldhash::fast::RandomState::default(),
            window,
            began: clock.monotonic(),
            clock,
        }
    }

    /// Takes `events` from each bucket asked, or nothing. Each bucket is locked for itself: one that is refused
    /// later gives back what was taken before.
    pub fn take_all(&self, asks: &[Ask<'_>], events: u32) -> Result<(), OverLimit> {
        for (taken, Ask { scope, rate }) in asks.iter().enumerate() {
            if let Err(over) = self.take(*scope, *rate, events) {
                asks.iter().take(taken).for_each(|ask| self.give_back(ask, events));
                return Err(over);
            }
        }
        Ok(())
    }

    fn give_back(&self, ask: &Ask<'_>, events: u32) {
        let window = micros(self.window);
        match ask.scope {
            Scope::Group => {
                let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
                group.iter_mut().for_each(|bucket| bucket.give_back(window, events));
            }
            Scope::App(app) => {
                let mut shard = self.shard(app).lock().unwrap_or_else(PoisonError::into_inner);
                shard.buckets.get_mut(app).into_iter().for_each(|bucket| bucket.give_back(window, events));
            }
        }
    }

    fn shard(&self, app: &str) -> &Mutex<Shard> {
        &self.apps[self.hasher.hash_one(app) as usize % SHARDS]
    }

    /// Takes `events` from the bucket, or nothing.
    pub fn take(&self, scope: Scope<'_>, rate: NonZeroU32, events: u32) -> Result<(), OverLimit> {
        let now = micros(self.clock.monotonic().saturating_duration_since(self.began));
        let window = micros(self.window);
        match scope {
            Scope::Group => {
                let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
                group.get_or_insert_with(|| Bucket::full(rate, window, now)).take(rate, window, now, events)
            }
            Scope::App(app) => {
                let mut shard = self.shard(app).lock().unwrap_or_else(PoisonError::into_inner);
                shard.sweep(window, now);
                shard.take(app, rate, window, now, events)
            }
        }
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.apps.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).buckets.len()).sum()
    }
}

/// Shared by the parts of a process.
#[async_trait]
impl SharedLimiter for LocalLimiter {
    async fn take(&self, asks: &[Ask<'_>], events: u32) -> Result<(), TakeError> {
        Ok(self.take_all(asks, events)?)
    }
}

impl Shard {
    fn take(
        &mut self,
        app: &str,
        rate: NonZeroU32,
        window: u64,
        now: u64,
        events: u32,
    ) -> Result<(), OverLimit> {
        if let Some(bucket) = self.buckets.get_mut(app) {
            return bucket.take(rate, window, now, events);
        }
        let mut bucket = Bucket::full(rate, window, now);
        bucket.take(rate, window, now, events)?;
        self.buckets.insert(app.into(), bucket);
        Ok(())
    }

    /// Once a window, so that it costs next to nothing per batch.
    fn sweep(&mut self, window: u64, now: u64) {
        if now.saturating_sub(self.swept) < window {
            return;
        }
        self.swept = now;
        self.buckets.retain(|_, bucket| !bucket.is_full(window, now));
    }
}

/// Saturates after half a million years.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
