//! Spools: a real journal on one side, a door that keeps to the protocol on the other.

mod disk;
mod life;
mod limits;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use tokio::runtime::Handle;
use weir_agent::{Spool, SpoolError, SpoolMetrics, SpoolParts, SpoolReport, SpoolSettings, WhenFull};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::metrics::{Builder, Metrics};
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_journal::sqlite::{Disk, SystemDisk};
use weir_model::{ByteSize, IndexPrefix};
use weir_testkit::Cable;
use weir_uplink::{Pings, Server, Settings, Uplink};
use weir_wire::EventsBuilder;

use crate::door::Door;

/// Reached by code that does not work, and by no other.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "syslog";

/// A node with a spool, and its way to a door.
struct Node {
    directory: TempDir,
    door: Door,
    cable: Cable,
    settings: SpoolSettings,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
}

/// A spool that is open.
struct Life {
    spool: Spool,
    supervisor: Supervisor,
    metrics: Metrics,
}

impl Node {
    async fn new() -> Self {
        Self::before(Door::open().await).await
    }

    async fn before(door: Door) -> Self {
        let cable = Cable::to(door.address).await.expect("there is a free port");
        let settings = SpoolSettings {
            name: NAME.to_owned(),
            max_size: ByteSize::mib(8),
            max_age: None,
            when_full: WhenFull::Block,
        };
        let directory = tempfile::tempdir().expect("there is space");
        let (clock, disk) = (Arc::new(SystemClock), Arc::new(SystemDisk));
        Self { directory, door, cable, settings, clock, disk }
    }

    fn folder(&self) -> PathBuf {
        self.directory.path().join("spool").join(NAME)
    }

    async fn open(&self) -> Life {
        self.try_open().await.expect("it opens")
    }

    async fn try_open(&self) -> Result<Life, SpoolError> {
        let clock = Arc::clone(&self.clock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let milliseconds = Duration::from_millis;
        let endpoint = format!("http://{}", self.cable.address());
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("a URL");
        let uplink = Settings {
            server: Server::Open { endpoint: Box::new(endpoint), agent: "web-1".to_owned() },
            connect_timeout: milliseconds(60_000),
            answer_timeout: milliseconds(600_000),
            backoff: Backoff::new(milliseconds(5), milliseconds(50), Attempts::Unlimited).expect("is valid"),
            pings: Pings::default(),
        };
        let uplink = Uplink::start(uplink, Arc::clone(&clock), &supervisor.spawner());
        let mut metrics = Builder::new();
        let parts = SpoolParts {
            uplink,
            clock,
            spawner: supervisor.spawner(),
            metrics: SpoolMetrics::register(metrics.weir()),
            folder: self.directory.path().to_owned(),
        };
        let spool = Spool::open_on(Arc::clone(&self.disk), self.settings.clone(), parts).await?;
        Ok(Life { spool, supervisor, metrics: metrics.build() })
    }

    /// Bytes of the disk that the spool takes, but for what was put aside.
    fn used(&self) -> u64 {
        let length = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        let counts = |path: &PathBuf| {
            let name = path.to_string_lossy();
            !name.contains("quarantined") && !name.ends_with("-shm")
        };
        files(&self.folder()).into_iter().filter(counts).map(length).sum()
    }

    /// The limit, and one file more.
    #[track_caller]
    fn is_within_bounds(&self) {
        let (used, limit) = (self.used(), self.settings.max_size.bytes());
        assert!(used <= limit + limit / 8, "{used} bytes of {limit}");
    }

    /// The numbers of the events that arrived.
    fn numbers(&self) -> Vec<u64> {
        self.door.messages().iter().map(|message| number(message)).collect()
    }
}

impl Life {
    fn report(&self) -> SpoolReport {
        self.spool.report()
    }

    async fn drains(self) {
        assert_eq!(self.supervisor.run_until(async {}).await, ExitCode::Good);
    }

    async fn is_empty(&self) {
        eventually("everything is sent", || self.report().waiting == 0).await;
    }

    /// The value of a metric, as printed.
    fn metric(&self, name: &str) -> u64 {
        let exposition = self.metrics.exposition();
        let value = exposition.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("is a number"))
    }
}

/// Events with numbers, and something behind that can not be compressed.
struct Source {
    next: u64,
    text: usize,
    rng: StdRng,
}

impl Source {
    #[expect(clippy::print_stdout, reason = "whoever sees a test fail wants to know its seed")]
    fn new(text: usize) -> Self {
        let seed = rand::random();
        println!("seed {seed}");
        Self { next: 0, text, rng: StdRng::seed_from_u64(seed) }
    }

    fn events(&mut self, count: u64) -> EventsBuilder {
        let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
        for number in self.next..self.next + count {
            let mut noise = vec![0; self.text];
            self.rng.fill(&mut noise[..]);
            noise.iter_mut().for_each(|byte| *byte = b'!' + *byte % 94);
            let noise = String::from_utf8(noise).expect("it is ASCII");
            events.push_line(&format!("{number} {noise}"), None);
        }
        self.next += count;
        events
    }

    /// Keeps so many events, in calls of so many.
    async fn keep(&mut self, spool: &Spool, events: u64, at_once: u64) {
        let end = self.next + events;
        while self.next < end {
            let events = self.events(at_once.min(end - self.next));
            spool.keep(events).await.expect("there is room");
        }
    }
}

fn number(message: &str) -> u64 {
    message.split(' ').next().expect("a number").parse().expect("a number")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

/// Waits until nothing more is kept: whoever keeps waits.
async fn is_stuck(life: &Life) {
    let mut last = (u64::MAX, SystemClock.monotonic());
    eventually("nothing more is kept", || {
        let kept = life.report().kept;
        if kept != last.0 {
            last = (kept, SystemClock.monotonic());
        }
        SystemClock.monotonic().duration_since(last.1) > Duration::from_millis(500)
    })
    .await;
}
