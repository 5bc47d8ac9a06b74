//! What a process says before it ends because its journal failed.

use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::process::Weir;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the system says of a failed write, as SQLite passes it on.
const REASON: &str = "disk I/O error";

/// Panics unless the process, whose journal fails, first names the journal and the reason on its readiness page,
/// then ends with a failure, and has logged both. It finds time for the page because of the unfinished request.
pub async fn heard(mut weir: Weir, log: JoinHandle<String>, unfinished: TcpStream) {
    let reason = until("the readiness page names the journal", PATIENCE, async || {
        let (status, page) = weir.readiness().await?;
        let reason = page.lines().find_map(|line| line.strip_prefix("journal: failed: "))?;
        (status == 503).then(|| reason.to_owned())
    })
    .await;
    assert!(reason.contains(REASON), "{reason}");
    drop(unfinished);
    let status = weir.ended().await;
    let log = log.join().expect("reading does not panic");
    eprintln!("{log}");
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(log.contains("the journal failed") && log.contains(REASON), "the reason is not in the log");
    assert!(!log.contains("panicked"), "a failed disk is no bug");
}
