//! One error type per operation of the seams.

use std::time::Duration;

use weir_model::Offset;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a batch was not taken; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No space; the store goes on by itself when there is.
    #[error("the store has no space left")]
    Full(#[source] Option<Source>),
    /// It can not take anything now.
    #[error("the store is not available")]
    Unavailable(#[source] Source),
    /// The batch starts beyond what the store has taken: something between was never given to it.
    #[error("the store expected a batch from offset {expected} or below, got one from {got}")]
    Gap {
        /// Where the store is.
        expected: Offset,
        /// What came.
        got: Offset,
    },
    /// The process drains.
    #[error("the store is closing")]
    Closing,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// It took too long.
    #[error("the search took longer than {}s", .limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It needed too much memory.
    #[error("the search needs more than {limit} bytes of memory")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Too many searches wait already.
    #[error("too many searches are waiting")]
    Busy,
    /// The caller left.
    #[error("the search was cancelled")]
    Cancelled,
    /// The storage failed.
    #[error("the store could not be searched")]
    Failed(#[source] Source),
    /// The process drains.
    #[error("the store is closing")]
    Closing,
}

/// Why the store could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the store could not be inspected")]
pub struct InspectError(#[source] pub Source);

/// Why indices could not be dropped.
#[derive(Debug, thiserror::Error)]
#[error("the indices could not be dropped")]
pub struct DropError(#[source] pub Source);

/// Why dead letters could not be kept, read or purged.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No space.
    #[error("there is no space for a dead letter")]
    Full(#[source] Option<Source>),
    /// Anything else.
    #[error("the dead letters can not be used")]
    Failed(#[source] Source),
}
