//! The spool of an agent and the producer's door over a real journal, in one process: whatever happens to either of them or
//! to what is between them, every event is stored once and in order.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::transport::Endpoint;
use weir_agent::{Spool, SpoolMetrics, SpoolParts, SpoolSettings, WhenFull};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::health::Health;
use weir_foundation::http::{Listener, Security};
use weir_foundation::metrics;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_journal::sqlite::{Settings, SqliteJournal};
use weir_journal::{Journal as _, ReadBudget};
use weir_model::{ByteSize, IndexPrefix, Offset, Timestamp};
use weir_producer::{Producer, ProducerSection, Records};
use weir_testkit::{Cable, CableState};
use weir_uplink::{Pings, Server, Uplink};
use weir_wire::{EventsBuilder, decode_record};

/// What goes wrong at least.
const FAULTS: u64 = 80;

const NAME: &str = "syslog";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn supervisor(handle: &Handle) -> Supervisor {
    Supervisor::new(handle.clone(), clock(), DrainDeadlines::default())
}

/// A producer with its door open.
struct Instance {
    journal: Arc<SqliteJournal>,
    supervisor: Supervisor,
    address: SocketAddr,
}

impl Instance {
    async fn start(folder: &Path, address: SocketAddr) -> Self {
        let supervisor = supervisor(&Handle::current());
        let spawner = supervisor.spawner();
        let journal =
            SqliteJournal::open(Settings::new(folder.to_owned()), clock(), &spawner).expect("it opens");
        let mut metrics = metrics::Builder::new();
        let settings = weir_producer::Settings::validate(&ProducerSection::default()).expect("are valid");
        let parts = weir_producer::Parts {
            journal: Arc::clone(&journal) as Arc<dyn weir_journal::Journal>,
            clock: clock(),
            spawner,
            health: &Health::new(clock()),
            metrics: &mut metrics,
            records: Records::AsReceived,
            shared_limits: None,
            fleet: None,
        };
        let producer = Producer::start(settings, parts).await.expect("the journal can be read");
        let socket = TcpListener::bind(address).expect("the port is free");
        let address = socket.local_addr().expect("it is bound");
        producer.serve_ingest(Listener { socket, security: Security::Plain }, None).expect("it listens");
        Self { journal, supervisor, address }
    }

    async fn restart(self, folder: &Path) -> Self {
        assert_eq!(self.supervisor.run_until(async {}).await, ExitCode::Good);
        Self::start(folder, self.address).await
    }

    /// The numbers of all events, in the order of the journal.
    async fn numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        for stream in self.journal.streams().await.expect("it is readable") {
            for bounds in stream.partitions {
                let mut next = Offset(0);
                loop {
                    let budget = ReadBudget { bytes: 4 << 20, records: 1_000 };
                    let batch =
                        self.journal.read(&bounds.partition, next, budget).await.expect("it is readable");
                    if batch.next == next {
                        break;
                    }
                    next = batch.next;
                    for stored in batch.records {
                        let record = stored.record;
                        let events = decode_record(record.format, &record.value, Timestamp::default());
                        let events = events.expect("the door looked at it");
                        numbers
                            .extend(events.events().map(|event| number(&event.content.unwrap().to_string())));
                    }
                }
            }
        }
        numbers
    }
}

fn number(content: &str) -> u64 {
    let content: serde_json::Value = serde_json::from_str(content).expect("it is JSON");
    let message = content["message"].as_str().expect("a text");
    message.split(' ').next().expect("a number").parse().expect("a number")
}

/// An agent with a spool, in a runtime of its own, with which it can be killed.
struct Agent {
    runtime: Runtime,
    supervisor: Supervisor,
    spool: Spool,
}

impl Agent {
    async fn start(folder: &Path, server: SocketAddr) -> Self {
        Self::with(folder, server, WhenFull::Block, None).await
    }

    async fn with(folder: &Path, server: SocketAddr, when_full: WhenFull, max_age: Option<Duration>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let supervisor = supervisor(runtime.handle());
        let milliseconds = Duration::from_millis;
        let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("a URL");
        let settings = weir_uplink::Settings {
            server: Server::Open { endpoint: Box::new(endpoint), agent: "web-1".to_owned() },
            connect_timeout: milliseconds(600),
            answer_timeout: milliseconds(600),
            backoff: Backoff::new(milliseconds(5), milliseconds(50), Attempts::Unlimited).expect("is valid"),
            pings: Pings::default(),
        };
        let parts = SpoolParts {
            uplink: Uplink::start(settings, clock(), &supervisor.spawner()),
            clock: clock(),
            spawner: supervisor.spawner(),
            metrics: SpoolMetrics::register(metrics::Builder::new().weir()),
            folder: folder.to_owned(),
        };
        let settings =
            SpoolSettings { name: NAME.to_owned(), max_size: ByteSize::mib(8), max_age, when_full };
        let opening = runtime.spawn(Spool::open(settings, parts));
        let spool = opening.await.expect("it does not panic").expect("it opens");
        Self { runtime, supervisor, spool }
    }

    async fn is_empty(&self) {
        let sent = async {
            while self.spool.report().waiting > 0 {
                SystemClock.sleep(Duration::from_millis(10)).await;
            }
        };
        let sent = tokio::time::timeout(Duration::from_secs(60), sent).await;
        assert!(sent.is_ok(), "{:?}", self.spool.report());
    }

    async fn drains(self) {
        let Self { runtime, supervisor, spool } = self;
        drop(spool);
        let draining = runtime.spawn(supervisor.run_until(async {}));
        assert_eq!(draining.await.expect("it does not panic"), ExitCode::Good);
        runtime.shutdown_background();
    }

    /// What a machine that dies now leaves of its folder.
    fn dies(self, folder: &Path) -> TempDir {
        let left = copy(folder);
        self.runtime.shutdown_background();
        left
    }
}

/// The logs of writes first: what a checkpoint does meanwhile is then done twice, not lost.
fn copy(folder: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    let place = |root: &Path| root.join("spool").join(NAME);
    std::fs::create_dir_all(place(to.path())).unwrap();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(place(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.to_string_lossy().ends_with("-shm"));
    files.sort_by_key(|path| !path.to_string_lossy().ends_with("-wal"));
    for file in files {
        match std::fs::copy(&file, place(to.path()).join(file.file_name().unwrap())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
    to
}

/// What happens between agent and instance.
async fn suffer(cable: &Cable, rng: &mut StdRng, faults: &AtomicU64) {
    loop {
        SystemClock.sleep(Duration::from_millis(rng.random_range(5..80))).await;
        faults.fetch_add(1, Ordering::Relaxed);
        let state = match rng.random_range(0..6) {
            0 | 1 => {
                cable.snap();
                continue;
            }
            2 => CableState::Cut,
            3 => CableState::Dead,
            4 => CableState::Slow(Duration::from_millis(20)),
            _ => continue,
        };
        cable.becomes(state);
        SystemClock.sleep(Duration::from_millis(rng.random_range(5..900))).await;
        cable.becomes(CableState::Whole);
    }
}

/// So many events of sizes from small to more than a record has.
fn events(rng: &mut StdRng, next: &mut u64) -> EventsBuilder {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").unwrap());
    let (count, text) = match rng.random_range(0..20) {
        0 => (1, rng.random_range(60_000..200_000)),
        1 => (rng.random_range(100..2_000), 100),
        _ => (rng.random_range(1..50), rng.random_range(0..2_000)),
    };
    for number in *next..*next + count {
        let noise: String = (0..text).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
        events.push_line(&format!("{number} {noise}"), None);
    }
    *next += count;
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_kept_is_stored_once_and_in_order_whatever_happens() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let server = tempfile::tempdir().unwrap();
    let mut instance = Instance::start(server.path(), SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let cable = Cable::to(instance.address).await.expect("there is a free port");
    let mut folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(folder.path(), cable.address()).await;
    let (mut next, faults, mut ends) = (0, AtomicU64::new(0), [0; 3]);
    let mut fate = StdRng::seed_from_u64(rng.random());
    let working = async {
        while faults.load(Ordering::Relaxed) < FAULTS || ends.iter().any(|ends| *ends < 5) {
            for _ in 0..rng.random_range(1..40) {
                agent.spool.keep(events(&mut rng, &mut next)).await.expect("it is kept");
            }
            let end = rng.random_range(0..8);
            match end {
                0 => {
                    agent.drains().await;
                    agent = Agent::start(folder.path(), cable.address()).await;
                }
                1 => {
                    folder = agent.dies(folder.path());
                    agent = Agent::start(folder.path(), cable.address()).await;
                }
                2 => instance = instance.restart(server.path()).await,
                _ => continue,
            }
            ends[end] += 1;
            faults.fetch_add(1, Ordering::Relaxed);
        }
        (agent, instance)
    };
    let (agent, instance) = tokio::select! {
        ended = working => ended,
        () = suffer(&cable, &mut fate, &faults) => unreachable!("it goes on for ever"),
    };
    cable.becomes(CableState::Whole);
    agent.is_empty().await;
    let (numbers, report) = (instance.numbers().await, agent.spool.report());
    println!("{next} events, {faults:?} faults, {ends:?} ends of agent, machine, and server");
    let wrong = numbers.iter().zip(0..).find(|(found, expected)| *found != expected);
    assert_eq!((wrong, numbers.len() as u64), (None, next));
    assert_eq!(report.dropped.total(), 0, "{report:?}");
    agent.drains().await;
}

/// More is kept than there is room and time for, and the server is often away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_and_what_is_dropped_add_up_to_what_was_kept() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let server = tempfile::tempdir().unwrap();
    let mut instance = Instance::start(server.path(), SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let cable = Cable::to(instance.address).await.expect("there is a free port");
    let folder = tempfile::tempdir().unwrap();
    let max_age = rng.random_bool(0.5).then_some(Duration::from_millis(400));
    let agent = Agent::with(folder.path(), cable.address(), WhenFull::DropOldest, max_age).await;
    let (mut next, faults) = (0, AtomicU64::new(0));
    let mut fate = StdRng::seed_from_u64(rng.random());
    let working = async {
        while faults.load(Ordering::Relaxed) < FAULTS / 2 || agent.spool.report().dropped.total() == 0 {
            let mut events = EventsBuilder::new(&IndexPrefix::new("shop").unwrap());
            for number in next..next + 20 {
                let mut noise = vec![0; 8_000];
                rng.fill(&mut noise[..]);
                noise.iter_mut().for_each(|byte| *byte = b'!' + *byte % 94);
                events.push_line(&format!("{number} {}", String::from_utf8(noise).unwrap()), None);
            }
            next += 20;
            agent.spool.keep(events).await.expect("it is kept");
            if rng.random_range(0..400) == 0 {
                instance = instance.restart(server.path()).await;
                faults.fetch_add(1, Ordering::Relaxed);
            }
        }
        instance
    };
    let instance = tokio::select! {
        instance = working => instance,
        () = suffer(&cable, &mut fate, &faults) => unreachable!("it goes on for ever"),
    };
    cable.becomes(CableState::Whole);
    agent.is_empty().await;
    let (numbers, report) = (instance.numbers().await, agent.spool.report());
    println!("{max_age:?}, {faults:?} faults: {report:?}");
    assert!(numbers.is_sorted_by(|one, other| one < other), "once and in order");
    assert_eq!((report.kept, report.sent), (next, numbers.len() as u64));
    assert_eq!(report.sent + report.dropped.total(), report.kept);
    assert_eq!((report.dropped.damaged, report.dropped.too_large), (0, 0));
    agent.drains().await;
}
