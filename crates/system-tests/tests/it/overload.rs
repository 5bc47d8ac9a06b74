//! More than can be taken is refused; memory stays bounded, and health and queries are answered all the while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_system_tests::load::{Client, Ledger, Retry};
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::settle;

/// Budgets of the process: bodies, heads and what stands beside them whatever the load.
const BUDGETS: u64 = (64 + 16) << 20;
const CONSTANT: u64 = 160 << 20;
const SECONDS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_refused_and_everything_answers() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path())
        .with("producer.memory_budget", "64MB")
        .with("producer.max_app_tps", "2000")
        .with("store.head_memory", "16MiB");
    let weir = setup.start().await;
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..16)
        .map(|number| {
            let client = Client {
                name: format!("c{number}"),
                app: "flood".to_owned(),
                batch: 100,
                pause: Duration::ZERO,
                retry: Retry::Never,
            };
            tokio::spawn(client.run(setup.addresses.grpc, Arc::clone(&ledger)))
        })
        .collect();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let began = Instant::now();
    let mut answered = 0;
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let health = http.get(format!("http://{}/healthz", setup.addresses.ops)).send().await.unwrap();
        assert!(health.status().is_success());
        let url = format!("http://{}/api/v1/search?prefix=flood&q=level:error&limit=5", setup.addresses.http);
        let search = http.get(url).send().await.unwrap();
        assert!(search.status().is_success(), "{}", search.text().await.unwrap());
        answered += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered > 10, "only {answered} rounds of questions were answered");
    let (sent, acknowledged) = (ledger.sent().len() as u64, ledger.acknowledged().len() as u64);
    let refused = ledger.refused.load(Ordering::Relaxed);
    assert_eq!(sent, acknowledged + refused);
    assert!(refused > acknowledged, "it was no overload: {acknowledged} taken, {refused} refused");
    let peak = weir.peak_memory();
    assert!(peak < BUDGETS + CONSTANT, "peak memory {} MiB", peak >> 20);
    settle(&setup, "flood", &ledger).await;
    assert!(weir.terminate().await.success());
}
