use std::path::PathBuf;
use std::time::Duration;

use crate::seam::{Key, MAX_NAME, MAX_VALUE};

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state could not be read")]
    Failed(#[source] Source),
    /// The process drains.
    #[error("the state is closing")]
    Closing,
}

/// Why a commit is not known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A document is not as expected: the first in the order of the writes.
    #[error("{key} is not as it was expected")]
    Conflict { key: Key },
    /// It can never be written.
    #[error("{key} can not be written: {why}")]
    Illegal { key: Key, why: IllegalWrite },
    #[error("the commit has {writes} writes, {limit} is the most")]
    TooMany { writes: usize, limit: usize },
    #[error("the state has no space left")]
    Full(#[source] Source),
    /// Nothing was stored.
    #[error("the state can not be written now")]
    Unavailable(#[source] Source),
    /// Whether it is stored is not known.
    #[error("the state failed while storing")]
    Failed(#[source] Source),
    /// The process drains.
    #[error("the state is closing")]
    Closing,
}

/// What no store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IllegalWrite {
    #[error("its name is empty")]
    EmptyName,
    #[error("its name has more than {MAX_NAME} bytes")]
    LongName,
    #[error("its name has a NUL")]
    NulInName,
    #[error("it has {bytes} bytes, {MAX_VALUE} is the most")]
    LargeValue { bytes: usize },
    #[error("it is written twice")]
    Twice,
}

impl StateError {
    /// How long to wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }
}

impl CommitError {
    /// Whether the writes may be stored all the same.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether somebody else was faster: to read again and decide again is of use at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// How long to wait before the same is tried again; absent if that is of no use.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Conflict { .. } | Self::Illegal { .. } | Self::TooMany { .. } => None,
            Self::Full(_) => Some(Duration::from_secs(5)),
            Self::Unavailable(_) | Self::Failed(_) | Self::Closing => Some(Duration::from_secs(1)),
        }
    }
}

/// Why the file of the state could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer weir; it is as it was.
    #[error("`{path}` has state format {found}, this weir reads up to {known}; use a newer weir")]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    /// Something that weir did not write; it is as it was.
    #[error("`{path}` is not a file of the state; move it away")]
    ForeignFile { path: PathBuf },
    /// It holds private keys, and others may read or change it.
    #[error("`{path}` has mode {mode:04o}, so that others get at its secrets; make it `chmod {wanted:o}`")]
    Exposed { path: PathBuf, mode: u32, wanted: u32 },
    #[error("`{path}` is damaged; put a copy of it back")]
    Damaged { path: PathBuf, source: Source },
    /// The linked SQLite has a known corruption bug.
    #[error("the linked SQLite is {found}, the state needs 3.51.3 or newer")]
    OldSqlite { found: String },
    #[error("the state in `{path}` could not be opened")]
    Failed { path: PathBuf, source: Source },
}
