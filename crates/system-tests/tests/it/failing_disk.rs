//! Writes that fail for another reason than a full disk: the journal says so on the readiness page and ends the
//! process, the index tries again, and neither loses or repeats what was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_system_tests::last_words;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::settle;
use weir_system_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn clients(app: &str, batch: usize, setup: &Setup, ledger: &Arc<Ledger>) -> Vec<JoinHandle<()>> {
    let client = |number: usize| Client {
        name: format!("c{number}"),
        app: app.to_owned(),
        batch,
        pause: Duration::from_millis(2),
    };
    (0..3).map(|n| tokio::spawn(client(n).run(setup.addresses.grpc, Arc::clone(ledger)))).collect()
}

async fn acknowledged(ledger: &Ledger, more: usize) {
    let goal = ledger.acknowledged() + more;
    until("events are acknowledged", PATIENCE, async || (ledger.acknowledged() >= goal).then_some(())).await;
}

/// Bytes of the longest of the journal's files that end so.
fn longest(setup: &Setup, suffix: &str) -> u64 {
    let entries = std::fs::read_dir(setup.data_dir.join("journal")).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.starts_with("journal-") && name.ends_with(suffix)
    });
    files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).max().unwrap_or(0)
}

/// Starts it, limits the size of its files as soon as `limit` says how, and waits until it has said why it gives up,
/// and has.
async fn run_until_writes_fail(setup: &Setup, limit: impl Fn() -> Option<u64>) -> u64 {
    let (mut weir, log) = setup.spawn_with_failing_writes();
    weir.ready().await;
    let limit = until("the files are long enough", PATIENCE, async || limit()).await;
    let unfinished = weir.unfinished_request();
    weir.limit_files(limit);
    eprintln!("limit {limit}");
    last_words::heard(weir, log, unfinished).await;
    limit
}

async fn settled(setup: &Setup, app: &str, ledger: &Ledger, clients: Vec<JoinHandle<()>>) {
    let weir = setup.start().await;
    acknowledged(ledger, 1000).await;
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    settle(setup, app, ledger).await;
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_can_not_write_ends_the_process_and_keeps_its_word() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path()).with("store.seal_after", "1s");
    let ledger = Arc::new(Ledger::default());
    let clients = clients("failing", 50, &setup, &ledger);
    // From the length of the WAL: the next page fails; a page fails after a piece of it; a page in the middle
    // of the WAL; nothing can be written, not even the last words of others.
    let limits: [fn(u64) -> u64; 4] = [|wal| wal, |wal| wal + 100_001, |wal| wal / 2 + 1, |_| 0];
    for limit in limits {
        let goal = ledger.acknowledged() + 1000;
        run_until_writes_fail(&setup, || {
            let wal = longest(&setup, ".db-wal");
            (wal > 200_000 && ledger.acknowledged() >= goal).then(|| limit(wal))
        })
        .await;
    }
    settled(&setup, "failing", &ledger, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_can_not_check_point_ends_the_process_and_keeps_its_word() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path()).with("journal.compression", "none");
    let ledger = Arc::new(Ledger::default());
    let clients = clients("checkpoint", 500, &setup, &ledger);
    // The file is longer than its WAL ever is, so that only a checkpoint comes to its end.
    let limit = run_until_writes_fail(&setup, || {
        Some(longest(&setup, ".db"))
            .filter(|length| *length > 16_000_000 && *length > longest(&setup, ".db-wal"))
    })
    .await;
    assert!(longest(&setup, ".db-wal") < limit, "the WAL had room");
    settled(&setup, "checkpoint", &ledger, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_can_not_write_is_named_and_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path()).with("store.seal_after", "1s").with("store.head_memory", "4MiB");
    let weir = setup.start().await;
    let ledger = Arc::new(Ledger::default());
    let clients = clients("blocked", 50, &setup, &ledger);
    // The place of the app's segments is taken by a file.
    let segments = directory.path().join("index/blocked");
    let away = directory.path().join("away");
    until("there is a segment", PATIENCE, async || {
        let files = std::fs::read_dir(&segments).ok()?;
        files.flatten().any(|file| file.path().extension().is_some_and(|e| e == "parquet")).then_some(())
    })
    .await;
    std::fs::rename(&segments, &away).unwrap();
    std::fs::write(&segments, "in the way").unwrap();
    let reason = until("the readiness page names the index", PATIENCE, async || {
        let (status, page) = weir.readiness().await?;
        (status == 503 && page.contains("index")).then_some(page)
    })
    .await;
    eprintln!("{reason}");
    // The journal holds what the index can not take.
    acknowledged(&ledger, 2000).await;
    std::fs::remove_file(&segments).unwrap();
    std::fs::rename(&away, &segments).unwrap();
    until("it is ready again by itself", PATIENCE, async || {
        let (status, _) = weir.readiness().await?;
        (status == 200).then_some(())
    })
    .await;
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    settle(&setup, "blocked", &ledger).await;
    assert!(weir.terminate().await.success());
}
