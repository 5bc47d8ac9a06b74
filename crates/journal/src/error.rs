//! One error type per operation of the seam.

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_foundation::lock::LockError;
use weir_model::{StreamName, StreamPartition};

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nobody created the stream.
    #[error("stream `{0}` does not exist")]
    UnknownStream(StreamName),
    /// The record can never fit.
    #[error("the record has {size} bytes, the journal takes at most {limit}")]
    TooLarge {
        /// Bytes of the record's value.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// No space, or not more than the reserve.
    #[error("the journal has no space left")]
    Full(#[source] Option<Source>),
    /// The journal can not take it now; nothing was stored.
    #[error("the journal is not available")]
    Unavailable(#[source] Source),
    /// The journal failed while storing; whether the record is in it is not known.
    #[error("the journal failed while storing the record")]
    Failed(#[source] Source),
    /// Some of the records are stored. Never of an embedded journal.
    #[error("{} of {} records were stored", .stored.iter().filter(|stored| **stored).count(), .stored.len())]
    Partial {
        /// Of each record, in the order in which they were given, whether it is durable.
        stored: Vec<bool>,
        /// What became of the others.
        source: Box<AppendError>,
    },
    /// The process drains.
    #[error("the journal is closing")]
    Closing,
}

impl AppendError {
    /// Whether a record that is not known to be stored may be in the journal all the same.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Partial { source, .. } => source.outcome_unknown(),
            _ => false,
        }
    }

    /// The reason, without what it says about single records.
    #[must_use]
    pub fn reason(&self) -> &Self {
        match self {
            Self::Partial { source, .. } => source.reason(),
            other => other,
        }
    }

    /// How long a caller should wait before it tries again; absent if trying again is of no use.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::UnknownStream(_) | Self::TooLarge { .. } => None,
            Self::Partial { source, .. } => source.retry_after(),
            Self::Full(_) => Some(Duration::from_secs(5)),
            Self::Unavailable(_) | Self::Failed(_) | Self::Closing => Some(Duration::from_secs(1)),
        }
    }
}

/// Why a stream was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateStreamError {
    /// More than the operator allows.
    #[error("stream `{name}` would be one more than the {limit} that the journal may hold")]
    TooMany {
        /// The stream.
        name: StreamName,
        /// The limit.
        limit: usize,
    },
    /// It is not there, and was not to be made.
    #[error("there is no stream `{0}`")]
    Missing(StreamName),
    /// No space.
    #[error("the journal has no space left for a new stream")]
    Full(#[source] Option<Source>),
    /// Anything else.
    #[error("stream `{name}` could not be created")]
    Failed {
        /// The stream.
        name: StreamName,
        /// Why.
        source: Source,
    },
    /// The process drains.
    #[error("the journal is closing")]
    Closing,
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such partition, or of another life of the stream.
    #[error("the journal has no partition {0} of that incarnation")]
    UnknownPartition(StreamPartition),
    /// The storage failed.
    #[error("the journal could not be read")]
    Failed(#[source] Source),
    /// The process drains.
    #[error("the journal is closing")]
    Closing,
}

/// Why a group could not subscribe.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The group has its members: an embedded journal serves one.
    #[error("group `{0}` has a subscription already")]
    Taken(String),
    /// The storage failed.
    #[error("group `{group}` could not subscribe")]
    Failed {
        /// The group.
        group: String,
        /// Why.
        source: Source,
    },
}

/// Why a commit is not noted.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The storage failed; what was committed before stands.
    #[error("the commit of group `{group}` could not be stored")]
    Failed {
        /// The group.
        group: String,
        /// Why.
        source: Source,
    },
    /// Only of a deletion: the group has a subscription.
    #[error("group `{0}` has a subscription")]
    Live(String),
    /// The process drains.
    #[error("the journal is closing")]
    Closing,
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the journal in `{path}` is in use by another process{owner}", owner = .owner.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who, if known.
        owner: Option<u32>,
    },
    /// Written by a newer weir.
    #[error("`{path}` has journal format {found}, this weir reads up to {known}; use a newer weir")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Something that weir did not write is where only files of a journal may be.
    #[error("`{path}` is not a file of a journal; move it away")]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// The directory can not be used.
    #[error("the journal directory `{path}` can not be used")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The linked SQLite has a known corruption bug.
    #[error("the linked SQLite is {found}, the journal needs 3.51.3 or newer")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// The storage failed.
    #[error("the journal in `{path}` could not be opened")]
    Failed {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: Source,
    },
}

impl OpenError {
    pub(crate) fn locking(directory: &Path, error: LockError) -> Self {
        let path = directory.to_owned();
        match error {
            LockError::Taken { owner } => Self::InUse { path, owner },
            LockError::Io(source) => Self::Directory { path, source: source.into() },
        }
    }
}
