//! How many events an app may send.
//!
//! Each app has a token bucket: it holds as many events as the app's rate allows in the window, starts full, and
//! fills at the rate. A batch takes its events from it whole or is refused whole. Beside them there is one
//! bucket for all requests that ask to be limited as a group.

mod bucket;

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use weir_foundation::clock::Clock;

use self::bucket::Bucket;

/// The buckets of all apps. A bucket that is full again is forgotten: a new one would be the same.
#[derive(Debug)]
pub(crate) struct Limits {
    apps: [Mutex<Shard>; SHARDS],
    group: Mutex<Option<Bucket>>,
    hasher: foldhash::fast::RandomState,
    window: Duration,
    clock: Arc<dyn Clock>,
    began: Instant,
}

/// Whose bucket a batch takes its events from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// The app with this stream.
    App(&'a str),
    /// All that are limited as a group.
    Group,
}

/// The batch is over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch is over the limit of {rate} events per second")]
pub(crate) struct OverLimit {
    pub(crate) rate: u32,
    /// When the batch would fit if nothing else came; `None` if it never can.
    pub(crate) retry_after: Option<Duration>,
}

const SHARDS: usize = 16;

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<Box<str>, Bucket, foldhash::fast::RandomState>,
    /// When full buckets were last looked for, in microseconds.
    swept: u64,
}

impl Limits {
    /// A bucket holds what its rate allows in `window`.
    pub(crate) fn new(window: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            apps: std::array::from_fn(|_| Mutex::default()),
            group: Mutex::default(),
            hasher: foldhash::fast::RandomState::default(),
            window,
            began: clock.monotonic(),
            clock,
        }
    }

    /// Takes `events` from the bucket, or nothing.
    pub(crate) fn take(&self, scope: Scope<'_>, rate: NonZeroU32, events: u32) -> Result<(), OverLimit> {
        let now = micros(self.clock.monotonic().saturating_duration_since(self.began));
        let window = micros(self.window);
        match scope {
            Scope::Group => {
                let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
                group.get_or_insert_with(|| Bucket::full(rate, window, now)).take(rate, window, now, events)
            }
            Scope::App(app) => {
                let index = self.hasher.hash_one(app) as usize % SHARDS;
                let mut shard = self.apps[index].lock().unwrap_or_else(PoisonError::into_inner);
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
