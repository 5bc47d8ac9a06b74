//! How many events a spool keeps, alone: `spool_bench [seconds per cell] [folder]`.
//!
//! Callers keep batches of events of 120 bytes, each waiting until they are durable; no server takes them, and what is
//! oldest is dropped. A cell is one size of batches and one number of callers.

#![expect(clippy::print_stdout, reason = "prints a table")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use weir_agent::{Spool, SpoolMetrics, SpoolParts, SpoolSettings, WhenFull};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::metrics;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_model::{ByteSize, IndexPrefix, Timestamp};
use weir_uplink::{Pings, Server, Settings, Uplink};
use weir_wire::EventsBuilder;

type Failed = Box<dyn std::error::Error>;

const LINE: usize = 120;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let parent = arguments.next().map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("events of {LINE} bytes\nbatch callers  events/s     MB/s    calls/s  dropped");
    for batch in [100, 1_000] {
        for callers in [1, 8] {
            run(&runtime, batch, callers, Duration::from_secs(seconds), &parent)?;
        }
    }
    Ok(())
}

fn run(runtime: &Runtime, batch: u64, callers: usize, time: Duration, parent: &Path) -> Result<(), Failed> {
    let folder = parent.join(format!("weir-spool-bench-{}", std::process::id()));
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let spool = open(&folder, &clock, &supervisor).await?;
        let (began, mut keeping) = (clock.monotonic(), JoinSet::new());
        for seed in 0..callers as u64 {
            let (spool, clock) = (spool.clone(), Arc::clone(&clock));
            keeping.spawn(async move {
                let lines = lines(seed);
                while clock.monotonic().duration_since(began) < time {
                    spool.keep(events(&lines, batch, clock.now().into())).await?;
                }
                Ok::<(), weir_agent::KeepError>(())
            });
        }
        while let Some(kept) = keeping.join_next().await {
            kept??;
        }
        let (report, took) = (spool.report(), clock.monotonic().duration_since(began).as_secs_f64());
        let rate = report.kept as f64 / took;
        println!(
            "{batch:>5} {callers:>7} {rate:>9.0} {:>8.1} {:>10.0} {:>8}",
            rate * LINE as f64 / 1e6,
            rate / batch as f64,
            report.dropped.total()
        );
        supervisor.run_until(async {}).await;
        Ok::<(), Failed>(())
    })?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

async fn open(folder: &Path, clock: &Arc<dyn Clock>, supervisor: &Supervisor) -> Result<Spool, Failed> {
    let pause = Duration::from_secs(1);
    let settings = Settings {
        // Nobody listens there.
        server: Server::Open {
            endpoint: Box::new(Endpoint::from_static("http://127.0.0.1:1")),
            agent: "bench".to_owned(),
        },
        connect_timeout: pause,
        answer_timeout: pause,
        backoff: Backoff::new(pause, pause, Attempts::Unlimited)?,
        pings: Pings::default(),
    };
    let parts = SpoolParts {
        uplink: Uplink::start(settings, Arc::clone(clock), &supervisor.spawner()),
        clock: Arc::clone(clock),
        spawner: supervisor.spawner(),
        metrics: SpoolMetrics::register(metrics::Builder::new().weir()),
        folder: folder.to_owned(),
    };
    let settings = SpoolSettings {
        name: "bench".to_owned(),
        max_size: ByteSize::mib(256),
        max_age: None,
        when_full: WhenFull::DropOldest,
    };
    Ok(Spool::open(settings, parts).await?)
}

/// As a program writes them: some words come again, numbers do not.
fn lines(seed: u64) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let words = ["GET", "POST", "/api/orders/", "/api/items/", "status=200", "status=404", "user=", "took="];
    let line = |_| {
        let mut line = String::new();
        while line.len() < LINE {
            let word = words.get(rng.random_range(0..words.len())).copied().unwrap_or_default();
            line.push_str(&format!("{word}{} ", rng.random_range(0..100_000)));
        }
        line.truncate(LINE);
        line
    };
    (0..10_000).map(line).collect()
}

fn events(lines: &[String], count: u64, time: Timestamp) -> EventsBuilder {
    let prefix = IndexPrefix::new("bench").expect("it is a name");
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut events = EventsBuilder::with_capacity(&prefix, count * LINE);
    lines.iter().cycle().take(count).for_each(|line| events.push_line(line, Some(time)));
    events
}
