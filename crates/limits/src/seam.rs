use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

/// Whose bucket a batch takes its events from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The app with this stream.
    App(&'a str),
    /// All that are limited as a group.
    Group,
}

/// What is asked of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    pub scope: Scope<'a>,
    /// Events per second. A rate other than the bucket had applies from now on; more capacity is filled at the
    /// rate and not given.
    pub rate: NonZeroU32,
}

/// A batch asks its app's bucket, and that of the group.
pub const MOST_ASKS: usize = 2;

/// The batch is over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch is over the limit of {rate} events per second")]
pub struct OverLimit {
    pub rate: u32,
    /// When the batch would fit if nothing else came; `None` if it never can.
    pub retry_after: Option<Duration>,
}

/// What a shared limiter answers instead of yes.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// Nobody can tell; the batch may have been charged.
    #[error("the shared limits can not be reached: {reason}")]
    Unavailable { reason: String },
}

/// Buckets that several processes take from.
///
/// Guarantees: the events of a batch are taken from all buckets that are asked, or from none; what is refused is
/// not charged; a batch costs one round trip at most; a bucket that nobody asks is forgotten once it is full. The
/// buckets behave as those of [`LocalLimiter`](crate::LocalLimiter), by a clock that all processes share.
///
/// Freedoms: how long it is to be seen as unavailable, and how it comes back. It answers at once, or within the
/// time-out of a command.
#[async_trait]
pub trait SharedLimiter: fmt::Debug + Send + Sync {
    /// Takes `events` from each bucket asked, at most [`MOST_ASKS`] of them, or nothing. The first that is short
    /// of them is named.
    async fn take(&self, asks: &[Ask<'_>], events: u32) -> Result<(), TakeError>;
}
