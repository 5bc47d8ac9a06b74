use std::time::Duration;

use weir_foundation::supervise::BlockingError;
use weir_journal::{AppendError, CommitError, CreateStreamError, OpenError, ReadError};
use weir_model::IllegalStreamName;

use super::gate::GateClosed;

/// The spool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("a spool can not be called so")]
    Name(#[from] IllegalStreamName),
    #[error("the journal of the spool could not be opened")]
    Open(#[from] OpenError),
    #[error("opening the spool was given up")]
    GivenUp(#[from] BlockingError),
    #[error("the stream of the spool could not be made")]
    Stream(#[from] CreateStreamError),
    #[error("the journal in the place of the spool has another shape")]
    NoPartition,
    #[error("could not find out what is in the spool")]
    Read(#[from] ReadError),
    #[error("the place of the sender in the spool could not be written down")]
    Commit(#[from] CommitError),
}

/// Events are not known to be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// One event can never be kept.
    #[error("an event has {size} bytes, the spool takes at most {limit}")]
    EventTooLarge { size: usize, limit: usize },
    /// They are too many at once.
    #[error("the events have {size} bytes together, the spool takes at most {limit} at once")]
    TooMuch { size: usize, limit: usize },
    #[error("the journal of the spool did not take the events")]
    Append(#[from] AppendError),
    /// There is no room, and the process drains.
    #[error("the spool is closing")]
    Closing,
}

impl KeepError {
    /// How long to wait before the same is tried again; none if that is of no use.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::EventTooLarge { .. } | Self::TooMuch { .. } => None,
            Self::Append(error) => error.retry_after(),
            Self::Closing => Some(Duration::from_secs(1)),
        }
    }

    /// Whether the events may be kept all the same.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Append(error) => error.outcome_unknown(),
            Self::EventTooLarge { .. } | Self::TooMuch { .. } | Self::Closing => false,
        }
    }
}

impl From<GateClosed> for KeepError {
    fn from(_: GateClosed) -> Self {
        Self::Closing
    }
}
