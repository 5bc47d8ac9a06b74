//! A full disk is named by the readiness page, takes nothing that was acknowledged away, and passes when there is
//! space again. Under the journal it stops acknowledgements; under the index alone it does not: the journal holds
//! what the index can not take.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tonic::Code;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::{Setup, Weir};
use weir_system_tests::raw::{RawClient, collection, field};
use weir_system_tests::reckoning::settle;
use weir_system_tests::small_disk::SmallDisk;
use weir_system_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// More than the reserves, which are 64 MiB.
const SIZE: &str = "size=192m";

/// What is said of a full disk: of the journal, of the index, of either by the system or by SQLite.
const FULL: [&str; 4] = ["no space", "would stay free", "No space left on device", "disk is full"];

/// Events: ten batches of each client.
const WAITING: u64 = 2000;

/// A weir under load.
struct World {
    setup: Setup,
    weir: Weir,
    app: &'static str,
    ledger: Arc<Ledger>,
    clients: Vec<JoinHandle<()>>,
}

impl World {
    async fn new(directory: &Path, app: &'static str) -> Self {
        // Small heads, so that the index meets the full disk soon.
        let setup = Setup::new(directory).with("store.head_memory", "4MiB").with("store.seal_after", "1s");
        let weir = setup.start().await;
        let ledger = Arc::new(Ledger::default());
        let client = |number: usize| Client {
            name: format!("c{number}"),
            app: app.to_owned(),
            batch: 100,
            pause: Duration::from_millis(5),
        };
        let clients = (0..2).map(|n| tokio::spawn(client(n).run(setup.addresses.grpc, Arc::clone(&ledger))));
        let clients = clients.collect();
        let world = Self { setup, weir, app, ledger, clients };
        world.acknowledged(1000).await;
        world
    }

    async fn acknowledged(&self, more: usize) {
        let goal = self.ledger.acknowledged() + more;
        let reached = async || (self.ledger.acknowledged() >= goal).then_some(());
        until("events are acknowledged", PATIENCE, reached).await;
    }

    /// Waits until the readiness page says of these components that the disk is full; of the journal only if it is
    /// among them.
    async fn names(&self, components: &[&str]) {
        let page = until("the readiness page names what is full", PATIENCE, async || {
            let (status, page) = self.weir.readiness().await?;
            let failed = page.lines().filter_map(|line| line.split_once(": failed: "));
            let failed: Vec<_> = failed.map(|(component, _)| component.trim()).collect();
            let named = components.iter().all(|component| failed.contains(component));
            let journal = failed.contains(&"journal") == components.contains(&"journal");
            (status == 503 && named && journal).then_some(page)
        })
        .await;
        eprintln!("{page}");
        for (component, reason) in page.lines().filter_map(|line| line.split_once(": failed: ")) {
            assert!(FULL.iter().any(|full| reason.contains(full)), "{component} does not say why: {reason}");
        }
    }

    /// Waits until each door refuses, in the words that the documentation has for it, and makes sure that nobody
    /// is acknowledged anything from then on.
    async fn refuses(&self) {
        let addresses = self.setup.addresses;
        let http = reqwest::Client::new();
        let url = format!("http://{}/api/v1/apps/{}/events", addresses.http, self.app);
        let grpc = RawClient::connect(addresses.grpc).await;
        let timber = field(3, &field(1, &[field(1, b"id"), field(2, &field(3, b"refused-0"))].concat()));
        self.ledger.sent("refused", 1);
        let mut before = self.ledger.acknowledged();
        let mut refusals = 0;
        until("nothing is acknowledged any more", PATIENCE, async || {
            let answer = http.post(&url).body("{\"id\":\"refused-0\"}").send().await.expect("it answers");
            let retry =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let (status, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
            let code = body.parse::<Value>().expect("JSON")["error"]["code"].clone();
            assert_eq!((status, code, retry), (503, "journal-full".into(), Some(5u64)), "{body}");
            let answer = grpc.produce_batch(collection(self.app, [&timber[..]])).await;
            assert_eq!(answer.expect_err("it is full").code(), Code::Unavailable);
            // The answers of a moment ago may still be on their way.
            refusals = if self.ledger.acknowledged() == before { refusals + 1 } else { 0 };
            before = self.ledger.acknowledged();
            (refusals == 10).then_some(())
        })
        .await;
        self.ledger.refuse("refused");
    }

    /// Waits until the books say that more events wait for the index than a moment of load brings.
    async fn counts_waiting(&self) {
        let waiting = |row: &Value| row["waiting"].as_u64().expect("a count") >= WAITING;
        until("the audit counts what waits", PATIENCE, async || {
            let rows: Vec<Value> = self.setup.run(&["audit", "-o", "json"]).json();
            rows.iter().any(waiting).then_some(())
        })
        .await;
    }

    /// What is there can be searched meanwhile.
    fn searches(&self) {
        let hits = self.setup.run(&["query", self.app, "level:error", "--limit", "5", "-o", "json"]).good();
        assert_eq!(hits.lines().count(), 5, "{hits}");
    }

    /// All goes on by itself, and all is there in the end.
    async fn recovers(self) {
        until("it is ready again by itself", PATIENCE, async || {
            let (status, _) = self.weir.readiness().await?;
            (status == 200).then_some(())
        })
        .await;
        self.acknowledged(1000).await;
        self.ledger.stop();
        for client in self.clients {
            client.await.unwrap();
        }
        settle(&self.setup, self.app, &self.ledger).await;
        assert!(self.weir.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_journal_stops_acknowledgements_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&directory.path().join("journal"), SIZE);
    let world = World::new(directory.path(), "journalfull").await;
    disk.fill();
    world.names(&["journal"]).await;
    world.refuses().await;
    world.searches();
    disk.free();
    world.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_index_is_bridged_by_the_journal_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&directory.path().join("index"), SIZE);
    let world = World::new(directory.path(), "indexfull").await;
    disk.fill();
    world.names(&["index"]).await;
    world.counts_waiting().await;
    world.acknowledged(5000).await;
    world.names(&["index", "consumer.deliver"]).await;
    world.searches();
    disk.free();
    world.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_both_stops_acknowledgements_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(directory.path(), SIZE);
    let world = World::new(directory.path(), "bothfull").await;
    disk.fill();
    world.names(&["journal", "index"]).await;
    world.refuses().await;
    world.searches();
    disk.free();
    world.recovers().await;
}
