//! A full disk stops acknowledgements, is named by the readiness page, and passes when there is space again.

use std::sync::Arc;
use std::time::Duration;

use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::settle;
use weir_system_tests::small_disk::SmallDisk;
use weir_system_tests::wait::until;

fn client(app: &str, number: usize) -> Client {
    Client { name: format!("c{number}"), app: app.to_owned(), batch: 100, pause: Duration::from_millis(5) }
}

async fn fills_and_recovers(app: &'static str, part: &str, settings: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().join(part);
    let disk = SmallDisk::mount(&mount, "size=192m");
    let setup =
        settings.iter().fold(Setup::new(directory.path()), |setup, (path, value)| setup.with(path, value));
    let weir = setup.start().await;
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..2)
        .map(|number| tokio::spawn(client(app, number).run(setup.addresses.grpc, Arc::clone(&ledger))))
        .collect();
    until("some events are acknowledged", Duration::from_secs(60), async || {
        (ledger.acknowledged() > 1000).then_some(())
    })
    .await;
    disk.fill();
    let reason = until("the readiness page says that space is short", Duration::from_secs(60), async || {
        let (status, page) = weir.readiness().await?;
        (status == 503).then_some(page)
    })
    .await;
    eprintln!("{reason}");
    let words = ["space", "full", "free"];
    assert!(words.iter().any(|word| reason.contains(word)), "the reason is not named: {reason}");
    disk.free();
    until("it is ready again by itself", Duration::from_secs(60), async || {
        let (status, _) = weir.readiness().await?;
        (status == 200).then_some(())
    })
    .await;
    let before = ledger.acknowledged();
    until("events are acknowledged again", Duration::from_secs(60), async || {
        (ledger.acknowledged() > before + 1000).then_some(())
    })
    .await;
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    settle(&setup, app, &ledger).await;
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_journal_passes() {
    fills_and_recovers("journalfull", "journal", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_index_passes() {
    // Small heads, so that the store meets the full disk soon.
    let settings = [("store.head_memory", "4MiB"), ("store.seal_after", "1s")];
    fills_and_recovers("indexfull", "index", &settings).await;
}
