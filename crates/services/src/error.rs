//! What can go wrong while a server is fetched or started.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A program that fetches or builds servers, or a server of the distribution, is not installed.
    #[error("`{program}` is missing: install it with `apt-get install {package}`")]
    Missing {
        /// What was called.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Fetching or building ended badly.
    #[error("`{program}` failed while preparing {what}; it said:\n{output}")]
    Prepare {
        /// What was called.
        program: String,
        /// The server.
        what: &'static str,
        /// The end of its output.
        output: String,
    },
    /// The server ended before it was ready.
    #[error("{what} ended before it was ready; its log `{log}` ends with:\n{tail}")]
    Ended {
        /// The server.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The server is there but does not answer.
    #[error("{what} was not ready within {waited:?}; its log is `{log}`")]
    NotReady {
        /// The server.
        what: String,
        /// How long it was waited for.
        waited: Duration,
        /// Its log.
        log: PathBuf,
    },
    /// Nobody started it.
    #[error("{what} does not run: start it with `cargo xtask services up {what}`")]
    NotRunning {
        /// The server.
        what: &'static str,
    },
    /// A file or a process could not be handled.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: String,
        #[source]
        /// What the system said.
        source: io::Error,
    },
}

/// Names what was tried when the system refuses it.
pub(crate) fn trying(action: impl Into<String>) -> impl FnOnce(io::Error) -> ServiceError {
    let action = action.into();
    move |source| ServiceError::Io { action, source }
}
