//! What the errors of all operations have in common.

use std::time::Duration;

use weir_foundation::failure::{Audience, Disposition};
use weir_state::{CommitError, Key, StateError};

use crate::codes;

/// The state did not do what an operation needed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not read the state")]
    Read(#[from] StateError),
    #[error("could not change the state")]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Nothing was changed.
    #[error("others changed the same all the time")]
    Contended,
}

/// A document of the state can not be read. What stands there is not told: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} in the state is damaged, or of a newer weir (line {line}, column {column})")]
pub struct Damaged {
    pub key: Key,
    pub line: usize,
    pub column: usize,
}

/// What a failure of an operation is to whoever asked.
pub(crate) enum Nature<'a> {
    /// What was asked can not be done, with the code that says why.
    Refused(&'static str),
    RefusedFor(&'static str, Duration),
    Store(&'a StoreError),
    /// A key of the instance does not do what it is for.
    Broken,
}

const SOON: Duration = Duration::from_secs(1);

impl Nature<'_> {
    pub(crate) fn disposition(&self) -> Disposition {
        match self {
            Self::Refused(_) | Self::Broken => Disposition::GiveUp,
            Self::RefusedFor(_, delay) => Disposition::RetryAfter(*delay),
            Self::Store(StoreError::Read(StateError::Closing) | StoreError::Commit(CommitError::Closing)) => {
                Disposition::ShuttingDown
            }
            Self::Store(StoreError::Read(error)) => Disposition::RetryAfter(error.retry_after()),
            Self::Store(StoreError::Commit(error)) => {
                error.retry_after().map_or(Disposition::GiveUp, Disposition::RetryAfter)
            }
            Self::Store(StoreError::Damaged(_)) => Disposition::GiveUp,
            Self::Store(StoreError::Contended) => Disposition::RetryAfter(SOON),
        }
    }

    pub(crate) fn audience(&self) -> Audience {
        match self {
            Self::Refused(_) | Self::RefusedFor(..) => Audience::Caller,
            Self::Store(_) | Self::Broken => Audience::Ours,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused(code) | Self::RefusedFor(code, _) => code,
            Self::Broken => codes::INSTANCE_KEYS,
            Self::Store(StoreError::Damaged(_)) => codes::STATE_DAMAGED,
            Self::Store(StoreError::Read(StateError::Closing) | StoreError::Commit(CommitError::Closing)) => {
                codes::CLOSING
            }
            Self::Store(StoreError::Commit(CommitError::Full(_))) => codes::STATE_FULL,
            Self::Store(StoreError::Commit(CommitError::Failed(_))) => codes::STATE_OUTCOME_UNKNOWN,
            Self::Store(StoreError::Read(_) | StoreError::Commit(_) | StoreError::Contended) => {
                codes::STATE_UNAVAILABLE
            }
        }
    }
}

/// Makes errors with a method `nature` a [`Failure`](weir_foundation::failure::Failure), and takes those of the state
/// in.
macro_rules! failures {
    ($($error:ty),* $(,)?) => {$(
        impl weir_foundation::failure::Failure for $error {
            fn disposition(&self) -> weir_foundation::failure::Disposition {
                self.nature().disposition()
            }

            fn audience(&self) -> weir_foundation::failure::Audience {
                self.nature().audience()
            }

            fn code(&self) -> &'static str {
                self.nature().code()
            }
        }
    )*};
}

/// Lets `?` turn what the state says into errors with a variant `Store`.
macro_rules! store_failures {
    ($($error:ty),* $(,)?) => {$(
        impl From<weir_state::StateError> for $error {
            fn from(error: weir_state::StateError) -> Self {
                Self::Store(error.into())
            }
        }

        impl From<crate::failure::Damaged> for $error {
            fn from(error: crate::failure::Damaged) -> Self {
                Self::Store(error.into())
            }
        }
    )*};
}

failures!(StoreError);

impl StoreError {
    fn nature(&self) -> Nature<'_> {
        Nature::Store(self)
    }
}

pub(crate) use {failures, store_failures};
