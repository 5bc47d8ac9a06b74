//! How long a server is waited for, and with what.

use std::fmt;
use std::time::{Duration, Instant};

use weir_foundation::clock::{Clock, timeout};

/// What is wanted of a server while it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Connect,
    Enrol,
    Recover,
    Token,
    Attend,
    Stream,
    Welcome,
    Store,
    RenewToken,
    Renew,
}

/// The server took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not {step}: the server did not answer within {limit:?}")]
pub struct Silent {
    pub step: Step,
    pub limit: Duration,
}

/// A time within which one step or several have to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a> {
    clock: &'a dyn Clock,
    limit: Duration,
    until: Instant,
}

impl<'a> Patience<'a> {
    /// From now on.
    pub(crate) fn new(clock: &'a dyn Clock, limit: Duration) -> Self {
        Self { clock, limit, until: clock.monotonic() + limit }
    }

    /// Half of what is left, so that there is time for something else.
    pub(crate) fn half(&self) -> Self {
        let left = self.until.saturating_duration_since(self.clock.monotonic());
        Self::new(self.clock, left / 2)
    }

    /// What a step comes to, if it is done in time.
    pub(crate) async fn wait<T>(&self, step: Step, work: impl Future<Output = T>) -> Result<T, Silent> {
        let left = self.until.saturating_duration_since(self.clock.monotonic());
        timeout(self.clock, left, work).await.map_err(|_elapsed| Silent { step, limit: self.limit })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Enrol => "enrol",
            Self::Recover => "recover the certificate",
            Self::Token => "get an access token",
            Self::Attend => "attend",
            Self::Stream => "begin a stream",
            Self::Welcome => "be welcomed",
            Self::Store => "have a batch stored",
            Self::RenewToken => "renew the access token",
            Self::Renew => "renew the certificate",
        })
    }
}
