//! Kill -9 at any instant loses nothing that was acknowledged and repeats nothing.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::settle;

const KILLS: usize = 100;
const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_lose_and_repeat_nothing() {
    let seed: u64 = std::env::var("WEIR_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("seed {seed} (set WEIR_SEED to repeat)");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path()).restless();
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Client {
                name: format!("c{number}"),
                app: "crash".to_owned(),
                batch: 20,
                pause: Duration::from_millis(10),
            };
            tokio::spawn(client.run(setup.addresses.grpc, Arc::clone(&ledger)))
        })
        .collect();
    for _ in 0..KILLS {
        let weir = setup.start().await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..1200))).await;
        weir.kill();
    }
    let weir = setup.start().await;
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    settle(&setup, "crash", &ledger).await;
    assert!(weir.terminate().await.success());
}
