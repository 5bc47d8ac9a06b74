//! How fast the embedded journal takes records, alone: `append_bench [seconds per cell] [directory]`.
//!
//! Callers append batches of 100 events of about 300 bytes of JSON text, each waiting for its answer. A cell is
//! one number of callers, with and without a subscription that reads everything at the same time. The paced cell
//! offers 50,000 events a second. At the end the directory of the last cell is opened again.

#![expect(clippy::print_stdout, reason = "prints a table")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::runtime::{Builder, Handle, Runtime};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::supervise::{DrainDeadlines, DrainPhase, Policy, Supervisor};
use weir_journal::sqlite::{Codec, Settings, SqliteJournal};
use weir_journal::{Journal, Origin, StreamPattern, StreamSpec, SubscriptionEvent};
use weir_model::{Record, RecordFormat, StreamName, Timestamp};

const EVENTS: u32 = 100;
const BATCHES: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let parent = arguments.next().map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let batches = batches();
    let size = batches.iter().map(Bytes::len).sum::<usize>() / BATCHES;
    println!("batches of {EVENTS} events, {size} bytes on average");
    println!(
        "callers codec  tail  events/s    MB/s CPU-s/M   p50 ms   p99 ms  max ms written/payload records/sync"
    );
    for (codec, tail) in [(Codec::Lz4, false), (Codec::None, false), (Codec::Zstd, false), (Codec::Lz4, true)]
    {
        for callers in [64, 8, 1] {
            let cell = Cell { callers, codec, tail, seconds, pause: Duration::ZERO };
            run(&runtime, &cell, &batches, &parent)?;
        }
    }
    let pause = Duration::from_millis(16);
    run(&runtime, &Cell { callers: 8, codec: Codec::Lz4, tail: true, seconds, pause }, &batches, &parent)?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("peak memory of all cells: {peak}");
    Ok(())
}

#[derive(Clone, Copy)]
struct Cell {
    callers: usize,
    codec: Codec,
    tail: bool,
    seconds: u64,
    /// Of a caller between two appends.
    pause: Duration,
}

fn run(
    runtime: &Runtime,
    cell: &Cell,
    batches: &[Bytes],
    parent: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let directory = parent.join(format!("weir-append-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let settings = Settings { codec: cell.codec, ..Settings::new(directory.clone()) };
    runtime.block_on(async {
        let clock = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), clock.clone(), DrainDeadlines::default());
        let journal = SqliteJournal::open(settings.clone(), clock.clone(), &supervisor.spawner())?;
        let stream = StreamName::new("bench_logs")?;
        journal.create_stream(StreamSpec::new(stream.clone())).await?;
        let tailed = Arc::new(AtomicU64::new(0));
        if cell.tail {
            let mut subscription = journal.subscribe("bench", StreamPattern::default()).await?;
            let tailed = Arc::clone(&tailed);
            let policy = Policy::expendable(DrainPhase::FinishDeliveries);
            supervisor.spawner().spawn("bench.tail", policy, |_| async move {
                loop {
                    if let SubscriptionEvent::Batch(batch) = subscription.next().await? {
                        let events = batch.records.iter().filter_map(|stored| stored.record.events);
                        tailed.fetch_add(events.map(u64::from).sum(), Ordering::Relaxed);
                    }
                }
                #[expect(unreachable_code, reason = "names the type of the error")]
                Ok::<(), weir_journal::ReadError>(())
            });
        }
        let before = Usage::now();
        let started = clock.monotonic();
        let stop = Arc::new(AtomicBool::new(false));
        let spawner = supervisor.spawner();
        let (sender, mut results) = tokio::sync::mpsc::channel(cell.callers);
        for caller in 0..cell.callers {
            let (journal, stream, stop, sender) =
                (Arc::clone(&journal), stream.clone(), Arc::clone(&stop), sender.clone());
            let batches = batches.to_vec();
            let clock = clock.clone();
            let pause = cell.pause;
            spawner.spawn("bench.caller", Policy::expendable(DrainPhase::StopIntake), move |_| async move {
                let mut times = Vec::new();
                let mut next = caller * 7;
                while !stop.load(Ordering::Relaxed) {
                    next += 1;
                    let Some(value) = batches.get(next % batches.len()) else { break };
                    let began = clock.monotonic();
                    journal.append(&stream, Origin::Any, vec![record(&clock, value)]).await?;
                    times.push(clock.monotonic().duration_since(began));
                    if !pause.is_zero() {
                        clock.sleep(pause).await;
                    }
                }
                drop(sender.send(times).await);
                Ok::<(), weir_journal::AppendError>(())
            });
        }
        drop(sender);
        clock.sleep(Duration::from_secs(cell.seconds)).await;
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        while let Some(more) = results.recv().await {
            times.extend(more);
        }
        let took = clock.monotonic().duration_since(started);
        journal.close().await;
        let used = Usage::now().since(&before);
        report(cell, &mut times, took, &used, &journal, tailed.load(Ordering::Relaxed));
        drop(journal);
        let began = clock.monotonic();
        let again = SqliteJournal::open(settings, clock.clone(), &supervisor.spawner())?;
        let opened = clock.monotonic().duration_since(began);
        println!(
            "        opened again in {:.1} ms: {} events",
            opened.as_secs_f64() * 1e3,
            held(&*again).await?
        );
        again.close().await;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

async fn held(journal: &dyn Journal) -> Result<u64, weir_journal::ReadError> {
    let streams = journal.streams().await?;
    Ok(streams.iter().flat_map(|stream| &stream.partitions).map(|bounds| bounds.end_event.unwrap_or(0)).sum())
}

fn record(clock: &SystemClock, value: &Bytes) -> Record {
    let received = Timestamp::from(clock.now());
    Record { format: RecordFormat::Events, events: Some(EVENTS), received, batch: None, value: value.clone() }
}

fn report(
    cell: &Cell,
    times: &mut [Duration],
    took: Duration,
    used: &Usage,
    journal: &SqliteJournal,
    tailed: u64,
) {
    times.sort_unstable();
    let stats = journal.stats();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let events = stats.events as f64;
    println!(
        "{:>7} {:<5} {:>5} {:>9.0} {:>7.0} {:>7.2} {:>8.2} {:>8.2} {:>7.1} {:>15.2} {:>12.1}",
        cell.callers,
        format!("{:?}", cell.codec).to_lowercase(),
        if cell.tail { format!("{:.0}%", tailed as f64 / events * 100.0) } else { "no".to_owned() },
        events / took.as_secs_f64(),
        stats.value_bytes as f64 / took.as_secs_f64() / 1e6,
        used.cpu / events * 1e6,
        at(0.5),
        at(0.99),
        at(1.0),
        used.written as f64 / stats.value_bytes as f64,
        stats.records as f64 / stats.commits as f64,
    );
}

/// CPU-seconds and bytes written by this process.
struct Usage {
    cpu: f64,
    written: u64,
}

impl Usage {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let written =
            io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0);
        // Fields 14 and 15 of proc(5), in ticks of 10 ms on every Linux that weir runs on.
        Self { cpu: (ticks(11) + ticks(12)) / 100.0, written }
    }

    fn since(&self, before: &Self) -> Self {
        Self { cpu: self.cpu - before.cpu, written: self.written - before.written }
    }
}

fn batches() -> Vec<Bytes> {
    let mut random = StdRng::seed_from_u64(17);
    (0..BATCHES).map(|_| batch(&mut random)).collect()
}

fn batch(random: &mut StdRng) -> Bytes {
    const WORDS: [&str; 16] = [
        "order",
        "payment",
        "accepted",
        "timed",
        "out",
        "user",
        "cart",
        "checkout",
        "retry",
        "upstream",
        "cache",
        "miss",
        "connection",
        "reset",
        "shipped",
        "invoice",
    ];
    let mut text = String::new();
    for _ in 0..EVENTS {
        let message: Vec<&str> = (0..14).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect();
        text.push_str(&format!(
            "{{\"time\":\"2026-11-21T13:{:02}:{:02}.{:06}Z\",\"level\":\"{}\",\"service\":\"svc-{}\",\"trace\":\"{:032x}\",\"status\":{},\"ms\":{},\"message\":\"{}\"}}\n",
            random.random_range(0..60),
            random.random_range(0..60),
            random.random_range(0..1_000_000),
            ["info", "info", "info", "warn", "error"][random.random_range(0..5)],
            random.random_range(0..40),
            random.random::<u128>(),
            [200, 200, 200, 404, 500][random.random_range(0..5)],
            random.random_range(0..5000),
            message.join(" "),
        ));
    }
    text.into()
}
