//! Syncs of a running process that fail, by strace.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::Weir;
use crate::wait::until;

/// The thread whose syncs come before acknowledgements, as the system names it.
const WRITER: &str = "journal.writer";

const PATIENCE: Duration = Duration::from_secs(60);

/// Which syncs fail, of each thread of the process, counted from now on.
#[derive(Debug, Clone, Copy)]
pub enum Failing {
    All,
    /// As after a disk dropped what it could not write: later syncs succeed and mean nothing.
    First,
}

/// Syncs fail with an I/O error as long as this lives.
#[derive(Debug)]
pub struct FailingSyncs {
    strace: Child,
}

impl FailingSyncs {
    /// From the return on, syncs of the process fail. They are listed in the file `list`.
    pub async fn begin(weir: &Weir, failing: Failing, list: &Path) -> Self {
        let when = match failing {
            Failing::All => "1+",
            Failing::First => "1",
        };
        // What is not traced is not made to fail either.
        let strace = Command::new("strace")
            .args(["-f", "-e", "trace=fsync,fdatasync", "-e"])
            .arg(format!("inject=fsync,fdatasync:error=EIO:when={when}"))
            .arg("-o")
            .arg(list)
            .args(["-p", &weir.pid().to_string()])
            .stdin(Stdio::null())
            .spawn();
        let mut syncs = Self { strace: strace.expect("strace is there: `scripts/setup test` installs it") };
        // It resumes no thread before it holds all of them; the writer may have met its failure already.
        until("strace holds the process", PATIENCE, async || {
            let ended = syncs.strace.try_wait().expect("it was started here");
            assert!(
                ended.is_none(),
                "strace could not trace the process, for which it may need root: {ended:?}"
            );
            (!weir.has_untraced(WRITER)).then_some(())
        })
        .await;
        syncs
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        // It ended with the process, or a test failed.
        if self.strace.kill().is_ok() {
            drop(self.strace.wait());
        }
    }
}
