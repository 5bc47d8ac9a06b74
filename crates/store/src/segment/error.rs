//! Why the embedded store does not open, and why its worker has to try again.

use std::path::PathBuf;

use super::file::WriteSegmentError;
use super::manifest::{ManifestError, is_full};
use super::open::ReadSegmentError;

/// Why a segment store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it.
    #[error("the index in `{}` is in use by another process", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory can not be used.
    #[error("the index directory `{}` can not be used", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest can not be read, or was written by a newer weir.
    #[error("the index in `{}` could not be opened", .path.display())]
    Manifest {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The machine has no thread for the worker.
    #[error("the worker of the index could not be started")]
    Worker(#[source] std::io::Error),
}

/// Why a piece of the worker's work failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    #[error("less than {0} bytes would stay free on the disk")]
    Reserve(u64),
    #[error("a segment could not be written")]
    Write(#[from] WriteSegmentError),
    #[error("a segment could not be read")]
    Read(#[from] ReadSegmentError),
    #[error("the manifest could not be changed")]
    Manifest(#[from] rusqlite::Error),
    #[error("whether the manifest was changed is not known")]
    Doubtful(#[source] rusqlite::Error),
    #[error("the index directory could not be used")]
    Io(#[from] std::io::Error),
    #[error("the rows could not be put in order")]
    Arrow(#[from] arrow_schema::ArrowError),
}

impl WorkError {
    pub(super) fn is_full(&self) -> bool {
        let io_full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
        match self {
            Self::Reserve(_) => true,
            Self::Manifest(error) => is_full(error),
            Self::Io(error) | Self::Write(WriteSegmentError::Io(error)) => io_full(error),
            // The Parquet writer wraps what its file said.
            Self::Write(WriteSegmentError::Parquet(error)) => std::error::Error::source(error)
                .and_then(|source| source.downcast_ref::<std::io::Error>())
                .is_some_and(io_full),
            Self::Doubtful(_) | Self::Write(WriteSegmentError::Arrow(_)) | Self::Read(_) | Self::Arrow(_) => {
                false
            }
        }
    }
}

impl From<ManifestError> for WorkError {
    fn from(error: ManifestError) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}
