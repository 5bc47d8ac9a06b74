//! Syncs that fail: what they were to make durable is not acknowledged, nor is anything after it, the process
//! says why and ends, and what was acknowledged before is there once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_system_tests::failing_sync::{Failing, FailingSyncs};
use weir_system_tests::last_words;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::{delivered, settle};
use weir_system_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

const CLIENTS: usize = 6;
const BATCH: usize = 50;

/// Clients that send a batch, wait for its answer, and send the next.
fn clients(app: &str, round: usize, setup: &Setup, ledger: &Arc<Ledger>) -> Vec<JoinHandle<()>> {
    let client = |number: usize| Client {
        name: format!("c{round}.{number}"),
        app: app.to_owned(),
        batch: BATCH,
        pause: Duration::from_millis(1),
    };
    (0..CLIENTS).map(|n| tokio::spawn(client(n).run(setup.addresses.grpc, Arc::clone(ledger)))).collect()
}

async fn stopped(ledger: &Ledger, clients: Vec<JoinHandle<()>>) {
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
}

async fn acknowledged(ledger: &Ledger, more: usize) {
    let goal = ledger.acknowledged() + more;
    until("events are acknowledged", PATIENCE, async || (ledger.acknowledged() >= goal).then_some(())).await;
}

/// Starts it, makes syncs fail once `ready` is through, does `then`, and waits until the process has ended. Answers
/// with how many events were acknowledged after the syncs began to fail.
async fn run_until_syncs_fail<T>(
    setup: &Setup,
    ledger: &Ledger,
    failing: Failing,
    ready: impl AsyncFnOnce(),
    then: impl AsyncFnOnce() -> T,
) -> (usize, T) {
    let (mut weir, log) = setup.spawn_logged();
    weir.ready().await;
    ready().await;
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("syncs");
    let unfinished = weir.unfinished_request();
    let _syncs = FailingSyncs::begin(&weir, failing, &list).await;
    let before = ledger.acknowledged();
    let done = then().await;
    last_words::heard(weir, log, unfinished).await;
    eprintln!("{failing:?}: {}", listed(&list));
    (ledger.acknowledged() - before, done)
}

/// How many syncs were tried and how many failed.
fn listed(list: &Path) -> String {
    let list = std::fs::read_to_string(list).unwrap();
    let failed = list.matches("(INJECTED)").count();
    assert!(failed > 0, "no sync failed: {list}");
    format!("{failed} of {} syncs failed", list.matches("sync(").count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_whose_sync_failed() {
    let directory = tempfile::tempdir().unwrap();
    // Nothing but batches is synced.
    let setup = Setup::new(directory.path()).with("store.seal_after", "1h");
    let ledger = Arc::new(Ledger::default());
    let mut running = clients("sync", 0, &setup, &ledger);
    for (round, failing) in [Failing::All, Failing::First].into_iter().enumerate() {
        let ready = async || {
            acknowledged(&ledger, 1000).await;
            // All that was sent is answered; what is sent from here on is synced in vain.
            stopped(&ledger, running).await;
            delivered(setup.addresses).await;
            ledger.resume();
        };
        let then = async || clients("sync", round + 1, &setup, &ledger);
        let (after, begun) = run_until_syncs_fail(&setup, &ledger, failing, ready, then).await;
        assert_eq!(after, 0, "events were acknowledged, and syncs failed");
        running = begun;
    }
    let weir = setup.start().await;
    acknowledged(&ledger, 1000).await;
    stopped(&ledger, running).await;
    settle(&setup, "sync", &ledger).await;
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syncs_that_fail_under_load_end_the_process_and_keep_its_word() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path()).restless();
    let ledger = Arc::new(Ledger::default());
    let running = clients("synced", 0, &setup, &ledger);
    for failing in [Failing::All, Failing::First, Failing::All, Failing::First] {
        let ready = async || acknowledged(&ledger, 5000).await;
        let (after, ()) = run_until_syncs_fail(&setup, &ledger, failing, ready, async || {}).await;
        // Each client had at most one batch under way, whose sync may have succeeded just before.
        assert!(after <= CLIENTS * BATCH, "{after} events were acknowledged, and syncs failed");
    }
    let weir = setup.start().await;
    acknowledged(&ledger, 1000).await;
    stopped(&ledger, running).await;
    settle(&setup, "synced", &ledger).await;
    assert!(weir.terminate().await.success());
}
