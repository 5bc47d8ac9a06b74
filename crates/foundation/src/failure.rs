//! What an error means to the one who asked.
//!
//! Every error type of a boundary implements [`Failure`]; one table per transport maps it to a status.
//! `Display` of an error never prints its source: whoever logs prints the whole [`chain`].

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// An error of any type, as tasks return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What to do about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same call may succeed at once, for example after a lost race.
    RetryNow,
    /// The same call may succeed once this much time has passed.
    RetryAfter(Duration),
    /// The same call will fail again.
    GiveUp,
    /// The process is going down: repeat the call elsewhere, or after the restart.
    ShuttingDown,
}

/// Whose fault it is, hence who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Whoever called sent something that can not be taken.
    Caller,
    /// weir itself, or the machine it runs on.
    Ours,
    /// A system that weir depends on.
    Dependency,
}

/// An error that crosses a boundary.
pub trait Failure: Error {
    fn disposition(&self) -> Disposition;

    fn audience(&self) -> Audience;

    /// Stable across releases; has a page in `docs/errors/` if users can meet it.
    fn code(&self) -> &'static str;
}

/// Prints an error and all its sources: `open journal: read header: permission denied`.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read header")]
    struct Header(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("open journal")]
    struct Open(#[source] Header);

    #[test]
    fn prints_every_source_once() {
        let error = Open(Header(io::Error::other("disk on fire")));
        assert_eq!(chain(&error).to_string(), "open journal: read header: disk on fire");
    }

    #[test]
    fn takes_boxed_errors() {
        let error: BoxError = "alone".into();
        assert_eq!(chain(&*error).to_string(), "alone");
    }
}
