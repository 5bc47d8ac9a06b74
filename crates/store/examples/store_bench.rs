//! What the segment store alone costs: events in by way of the seam, merges, then searches over them.
//!
//! `store_bench [documents] [file of log lines …]`: lines of the files are the messages, in random order,
//! each with a number of its own; without files they are made up. Prints one figure a line.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures with the clock of the machine")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_foundation::clock::SystemClock;
use weir_foundation::health::Health;
use weir_foundation::supervise::{DrainDeadlines, DrainSection, Supervisor};
use weir_model::{
    EventBatch, EventBatchBuilder, Incarnation, IndexPrefix, Offset, PartitionIndex, StreamName,
    StreamPartition, Timestamp,
};
use weir_store::query::{Query, TimeRange};
use weir_store::segment::{SegmentParts, SegmentStore, Settings, StoreSection};
use weir_store::{
    Count, IndexStore, Interval, SearchLimits, SearchRequest, TopRequest, WriteBatch, WriteRecord,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const RECORD_EVENTS: usize = 100;
const BATCH_RECORDS: usize = 40;
const RUNS: u32 = 10;
/// A midnight: the documents are of one day, so that their segments are merged.
const START: i64 = 1_789_948_800_000_000;
const DAY: i64 = 86_400_000_000;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut arguments = std::env::args().skip(1);
    let documents: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let lines = lines(arguments)?;
    let directory = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock);
    let deadlines = DrainDeadlines::validate(&DrainSection::default()).map_err(|p| p.to_string())?;
    let supervisor = Supervisor::new(runtime.handle().clone(), clock.clone(), deadlines);
    let parts =
        SegmentParts { clock: clock.clone(), spawner: supervisor.spawner(), health: Health::new(clock) };
    let settings = Settings::validate(&StoreSection::default(), directory.path().to_owned())
        .map_err(|p| p.to_string())?;
    let store = SegmentStore::open(settings, parts)?;
    println!("calibration_cpu_s {:.3}", calibration());
    runtime.block_on(async {
        write(&store, documents, &lines).await?;
        searches(&store, documents).await
    })
}

/// A fixed piece of work, to compare machines and moments by.
fn calibration() -> f64 {
    let start = cpu_seconds();
    let mut state = 1u64;
    for _ in 0..400_000_000u64 {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    cpu_seconds() - start
}

async fn write(store: &SegmentStore, documents: usize, lines: &[String]) -> Outcome<()> {
    let partition = StreamPartition {
        stream: StreamName::new("bench_logs")?,
        incarnation: Incarnation(1),
        partition: PartitionIndex(0),
    };
    let mut generator = Generator::new(lines, documents);
    let (mut made, mut raw_bytes, mut generator_cpu) = (0, 0, 0.0);
    let (start, start_cpu) = (Instant::now(), cpu_seconds());
    let mut offset = 0;
    while made < documents {
        let before = cpu_seconds_of_thread();
        let mut records = Vec::with_capacity(BATCH_RECORDS);
        let from = Offset(offset);
        while records.len() < BATCH_RECORDS && made < documents {
            let count = RECORD_EVENTS.min(documents - made);
            let events = generator.batch(made, count, &mut raw_bytes)?;
            records.push(WriteRecord { offset: Offset(offset), received: generator.received(made), events });
            made += count;
            offset += 1;
        }
        generator_cpu += cpu_seconds_of_thread() - before;
        let batch =
            WriteBatch { partition: partition.clone(), from, records, next: Offset(offset), more: true };
        store.write(batch).await?;
    }
    store.flush().await?;
    let mut merged = store.stats().merged;
    loop {
        std::thread::sleep(Duration::from_millis(600));
        if store.stats().merged == merged {
            break;
        }
        merged = store.stats().merged;
    }
    let cpu = cpu_seconds() - start_cpu - generator_cpu;
    let indices = store.indices().await?;
    let bytes: u64 = indices.iter().map(|index| index.bytes).sum();
    let events: u64 = indices.iter().map(|index| index.events).sum();
    println!("documents {events}");
    println!("wall_s {:.2}", start.elapsed().as_secs_f64());
    println!("generator_cpu_s {generator_cpu:.2}");
    println!("cpu_s_per_million {:.3}", cpu / documents as f64 * 1e6);
    println!("raw_mb {:.1}", raw_bytes as f64 / 1e6);
    println!("disk_mb {:.1}", bytes as f64 / 1e6);
    println!("disk_per_raw {:.3}", bytes as f64 / raw_bytes as f64);
    println!("peak_rss_mib {:.0}", peak_rss_mib());
    println!("stats {:?}", store.stats());
    Ok(())
}

async fn searches(store: &SegmentStore, documents: usize) -> Outcome<()> {
    let base = |query: &str| -> Outcome<SearchRequest> {
        Ok(SearchRequest {
            prefix: IndexPrefix::new("bench")?,
            query: Query::parse(query)?,
            range: TimeRange::ALL,
            limit: 0,
            after: None,
            count: Count::No,
            histogram: None,
            top: None,
            limits: SearchLimits { timeout: Duration::from_secs(60), memory: 1 << 30 },
        })
    };
    let newest =
        |query: &str| Ok::<_, Box<dyn std::error::Error>>(SearchRequest { limit: 100, ..base(query)? });
    let count = |query: &str| {
        Ok::<_, Box<dyn std::error::Error>>(SearchRequest { count: Count::Exact, ..base(query)? })
    };
    let histogram = Some(Interval::new(Duration::from_secs(900))?);
    let top = |field: &str| Some(TopRequest { field: field.to_owned(), limit: 10 });
    let rare = format!("n{}", documents / 2);
    let cases = [
        ("rare word, newest 100", newest(&rare)?),
        ("absent word, newest 100", newest("nowhereatall")?),
        ("everything, newest 100", newest("")?),
        ("common word, newest 100", newest("error")?),
        ("phrase, newest 100", newest("\"authentication failure\"")?),
        ("two words, newest 100", newest("child 1567")?),
        ("word and service, newest 100", newest("error service:checkout")?),
        ("histogram of all", SearchRequest { histogram, ..base("")? }),
        ("histogram of level:error", SearchRequest { histogram, ..base("level:error")? }),
        ("top service", SearchRequest { top: top("service"), ..base("")? }),
        ("top status", SearchRequest { top: top("status"), ..base("")? }),
        ("count status:>=500", count("status:>=500")?),
        ("count common word", count("error")?),
        ("count message:word", count("message:error")?),
        ("count phrase", count("\"authentication failure\"")?),
        ("count wildcard", count("message:auth*")?),
        ("histogram of a common word", SearchRequest { histogram, ..base("error")? }),
    ];
    for (name, request) in cases {
        let first = store.search(request.clone()).await?;
        let mut times: Vec<Duration> = Vec::new();
        let cpu = cpu_seconds();
        for _ in 0..RUNS {
            let start = Instant::now();
            store.search(request.clone()).await?;
            times.push(start.elapsed());
        }
        let cpu = (cpu_seconds() - cpu) / f64::from(RUNS) * 1e3;
        times.sort();
        let millis = times[times.len() / 2].as_secs_f64() * 1e3;
        println!(
            "search {name:32} p50_ms {millis:8.2} cpu_ms {cpu:7.1} hits {:4} total {:?} scanned {}",
            first.hits.len(),
            first.total,
            first.stats.rows_scanned
        );
    }
    println!("peak_rss_mib {:.0}", peak_rss_mib());
    Ok(())
}

struct Generator<'a> {
    rng: ChaCha8Rng,
    lines: &'a [String],
    documents: usize,
    message: String,
}

impl<'a> Generator<'a> {
    fn new(lines: &'a [String], documents: usize) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(7), lines, documents, message: String::new() }
    }

    fn received(&self, number: usize) -> Timestamp {
        Timestamp::from_micros(START + DAY * number as i64 / self.documents as i64 + 500_000)
    }

    fn batch(&mut self, first: usize, count: usize, raw_bytes: &mut u64) -> Outcome<EventBatch> {
        use std::fmt::Write as _;
        const SERVICES: [&str; 8] =
            ["checkout", "cart", "payment", "catalog", "search", "shipping", "auth", "web"];
        let mut builder = EventBatchBuilder::with_capacity(count, count * 240);
        for number in first..first + count {
            let time = self.received(number).micros() - 500_000 - self.rng.random_range(0..400_000);
            builder.begin_event();
            builder.start_object()?;
            builder.key("message")?;
            self.message.clear();
            let line = &self.lines[self.rng.random_range(0..self.lines.len())];
            write!(self.message, "{line} n{number}")?;
            builder.str(&self.message)?;
            builder.key("service")?;
            builder.str(SERVICES[self.rng.random_range(0..8)])?;
            builder.key("level")?;
            let level = ["debug", "info", "info", "info", "warn", "error"][self.rng.random_range(0..6)];
            builder.str(level)?;
            builder.key("host")?;
            builder.str(&format!("host-{:02}", self.rng.random_range(0..50)))?;
            builder.key("status")?;
            builder.int([200, 200, 200, 201, 304, 404, 500, 503][self.rng.random_range(0..8)]);
            builder.key("dur_ms")?;
            builder.int(self.rng.random_range(1..2000));
            builder.key("trace_id")?;
            builder.str(&format!("{:032x}", self.rng.random::<u128>()))?;
            builder.end()?;
            // What the event would be as a JSON line with its time.
            *raw_bytes += self.message.len() as u64 + 187;
            builder.finish_event(Timestamp::from_micros(time), 0..0);
        }
        Ok(builder.build(IndexPrefix::new("bench")?, bytes::Bytes::new()))
    }
}

fn lines(files: impl Iterator<Item = String>) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        let text = std::fs::read(file)?;
        lines.extend(String::from_utf8_lossy(&text).lines().map(|line| line.trim_end().to_owned()));
    }
    if lines.is_empty() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let words: Vec<String> = (0..2000).map(|n| format!("word{}", n * n % 7919)).collect();
        for number in 0..8000 {
            let mut line = format!("Dec 10 06:55:{:02} combo svc[{}]:", number % 60, 20_000 + number % 977);
            for _ in 0..rng.random_range(6..16) {
                line.push(' ');
                line.push_str(&words[rng.random_range(0..words.len())]);
            }
            line.push_str(["", " error", " authentication failure", " child 1567 exited"][number % 4]);
            lines.push(line);
        }
    }
    Ok(lines)
}

fn cpu_seconds() -> f64 {
    ticks("/proc/self/stat")
}

fn cpu_seconds_of_thread() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn ticks(path: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (field(11) + field(12)) / 100.0
}

fn peak_rss_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
