//! The first signal drains, the second ends at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::settle;

fn client(number: usize) -> Client {
    Client { name: format!("c{number}"), app: "drain".to_owned(), batch: 50, pause: Duration::ZERO }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_under_load_drains_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let weir = setup.start().await;
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..4)
        .map(|number| tokio::spawn(client(number).run(setup.addresses.grpc, Arc::clone(&ledger))))
        .collect();
    while ledger.acknowledged() < 2000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = weir.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let weir = setup.start().await;
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    settle(&setup, "drain", &ledger).await;
    assert_eq!(weir.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let mut weir = setup.start().await;
    // A client that never finishes its request holds the first phase of the drain.
    let _held = weir.unfinished_request();
    weir.signal(Signal::TERM);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    weir.signal(Signal::TERM);
    let status = weir.ended().await;
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(status.code(), Some(1), "{status}");
}
