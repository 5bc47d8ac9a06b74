use std::fmt;
use std::io;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::warn;

use crate::exit::ExitCode;

/// SIGINT and SIGTERM of this process, listened to on a thread of its own, so that the second one works
/// whatever the rest of the process does.
#[derive(Debug, Clone)]
pub struct Signals {
    first: watch::Receiver<Option<Signal>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signals {
    /// From now on the first signal is for [`Signals::first`], and the second ends the process at once with
    /// [`ExitCode::Failure`].
    pub fn listen() -> io::Result<Self> {
        let (found, first) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        drop(entered);
        let listen = async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupts.recv() => Signal::Interrupt,
                    _ = terminations.recv() => Signal::Terminate,
                }
            };
            found.send_replace(Some(next().await));
            let second = next().await;
            warn!(signal = %second, "second signal, ending without drain");
            end_process();
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
        Ok(Self { first })
    }

    /// Waits for the first signal; returns at once if it has arrived.
    pub async fn first(&self) -> Signal {
        let mut first = self.first.clone();
        let found = first.wait_for(Option::is_some).await;
        found.ok().and_then(|signal| *signal).expect("the listening thread ends with the process")
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

#[expect(clippy::disallowed_methods, clippy::exit, reason = "the user asked twice; nothing else is to run")]
fn end_process() {
    std::process::exit(i32::from(ExitCode::Failure.code()));
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Number, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_is_told_to_everyone() {
        let signals = Signals::listen().expect("a thread and two handlers");
        kill_process(getpid(), Number::TERM).expect("may signal itself");
        assert_eq!(signals.first().await, Signal::Terminate);
        assert_eq!(signals.clone().first().await, Signal::Terminate);
    }
}
