//! Kill -9 at any instant loses nothing that was acknowledged and repeats nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use tokio::task::JoinHandle;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::settle;
use weir_system_tests::seed;

const APP: &str = "crash";
const GRPC_CLIENTS: usize = 3;

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Before it is ready.
    Starting,
    /// At any time.
    Running,
    /// While it writes a segment, of what it has in memory or of other segments.
    Writing,
    /// While it merges.
    Merging,
}

/// How many of each, in an order that the seed gives.
const KILLS: [(Kill, usize); 4] =
    [(Kill::Starting, 25), (Kill::Running, 50), (Kill::Writing, 20), (Kill::Merging, 5)];

/// Milliseconds: an event is in memory for up to 1250 of them.
const LONGEST_LIFE: u64 = 1500;

/// As many small segments are merged. One more file is what becomes of them.
const MERGED: usize = 8;

/// Longer than `MERGED` segments take to be sealed. A process that does not get there is killed all the same.
const LONGEST_AIM: Duration = Duration::from_secs(15);

/// Milliseconds from the sight of a file that is being written to the kill, for the quarter of them that do not come at
/// once: some come after the file is finished.
const AFTERWARDS: u64 = 50;

/// Starts that found files of a segment that was not finished, or that was merged away.
#[derive(Debug, Default)]
struct Leftovers {
    starts: usize,
    /// Of these, after a kill that came while segments were merged.
    of_merges: usize,
}

fn clients(setup: &Setup, ledger: &Arc<Ledger>) -> Vec<JoinHandle<()>> {
    let client =
        |name: String| Client { name, app: APP.to_owned(), batch: 20, pause: Duration::from_millis(10) };
    let by_grpc = (0..GRPC_CLIENTS).map(|number| {
        let client = client(format!("grpc{number}"));
        tokio::spawn(client.run(setup.addresses.grpc, Arc::clone(ledger)))
    });
    let over_http = client("http".to_owned()).run_over_http(setup.addresses, Arc::clone(ledger));
    by_grpc.chain([tokio::spawn(over_http)]).collect()
}

fn segments(index: &Path) -> BTreeSet<PathBuf> {
    // It comes with the first segment; a file may go meanwhile.
    let entries = std::fs::read_dir(index).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

/// Looks all the time: what is waited for may be over within milliseconds.
async fn aim(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + LONGEST_AIM;
    while !reached() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

/// Waits until the kill of a process that is ready is due.
async fn due(kill: Kill, rng: &mut ChaCha8Rng, index: &Path) {
    match kill {
        Kill::Starting => return,
        Kill::Running => return pause(rng.random_range(1..LONGEST_LIFE)).await,
        Kill::Writing => {
            let known = segments(index);
            aim(|| !segments(index).is_subset(&known)).await;
        }
        Kill::Merging => aim(|| segments(index).len() > MERGED).await,
    }
    if rng.random_bool(0.25) {
        pause(rng.random_range(1..AFTERWARDS)).await;
    }
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// How many segments were finished, and how many of them were merged into others. Their files are numbered, and
/// the number of one that was not finished is given again.
fn finished(setup: &Setup) -> (u64, u64) {
    let listed: Vec<Listed> = setup.run(&["indices", APP, "--files", "-o", "json"]).json();
    // Events of two days may be in one file.
    let numbers: BTreeSet<u64> = listed.iter().map(Listed::number).collect();
    let newest = *numbers.last().expect("there are segments");
    (newest, newest - numbers.len() as u64)
}

/// A file, as `weir indices --files` lists it.
#[derive(Deserialize)]
struct Listed {
    file: PathBuf,
}

impl Listed {
    fn number(&self) -> u64 {
        let name = self.file.file_stem().and_then(|name| name.to_str()).expect("a segment has a name");
        name.parse().expect("the name is a number")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_lose_and_repeat_nothing() {
    let mut rng = seed::rng();
    let mut kills: Vec<Kill> = KILLS.iter().flat_map(|(kill, count)| vec![*kill; *count]).collect();
    kills.shuffle(&mut rng);
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path()).restless();
    let index = directory.path().join("index").join(APP);
    let ledger = Arc::new(Ledger::default());
    let clients = clients(&setup, &ledger);
    let mut leftovers = Leftovers::default();
    let mut merging = false;
    let mut shortest_start = Duration::from_millis(100);
    for kill in kills {
        let began = Instant::now();
        let (mut weir, log) = setup.spawn_logged();
        if matches!(kill, Kill::Starting) {
            tokio::time::sleep(shortest_start.mul_f64(rng.random_range(0.0..1.0))).await;
        } else {
            weir.ready().await;
            shortest_start = shortest_start.min(began.elapsed());
            due(kill, &mut rng, &index).await;
        }
        weir.kill();
        let log = log.join().unwrap();
        eprint!("{log}");
        assert!(!log.contains("panicked"), "it panicked");
        if log.contains("the manifest does not name") {
            leftovers.starts += 1;
            leftovers.of_merges += usize::from(merging);
        }
        merging = segments(&index).len() > MERGED;
    }
    let weir = setup.start().await;
    ledger.stop();
    for client in clients {
        client.await.unwrap();
    }
    settle(&setup, APP, &ledger).await;
    let (sealed, merged) = finished(&setup);
    eprintln!("{sealed} segments, {merged} of them merged; {leftovers:?}; ready after {shortest_start:?}");
    assert!(merged >= MERGED as u64, "kills left no time to merge");
    assert!(leftovers.of_merges > 0, "no kill came while segments were merged");
    assert!(leftovers.starts > leftovers.of_merges, "no kill came while a segment was sealed");
    assert!(weir.terminate().await.success());
}
