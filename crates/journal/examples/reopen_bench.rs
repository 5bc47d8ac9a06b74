//! How long a journal takes to open, for the bar of a restart with 10 GB of records.
//!
//! `reopen_bench fill DIRECTORY GIB` appends until the journal holds so much as stored, then exits without closing
//! it, as a crash would; `reopen_bench open DIRECTORY` opens it and says how long that took.

#![expect(clippy::print_stdout, reason = "prints a result")]

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::supervise::{DrainDeadlines, Spawner, Supervisor};
use weir_journal::sqlite::{Codec, Retention, Settings, SqliteJournal, Undelivered};
use weir_journal::{Journal, Origin, StreamSpec};
use weir_model::{Record, RecordFormat, StreamName, Timestamp};

type Failure = Box<dyn std::error::Error>;

/// Of a batch of a hundred lines after compression.
const RECORD_BYTES: usize = 9_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let supervisor = Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default());
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["fill", directory, gib] => fill(directory.into(), gib.parse()?, &supervisor.spawner()).await,
        ["open", directory] => open(directory.into(), &supervisor.spawner()).await,
        _ => Err("usage: reopen_bench fill DIRECTORY GIB | open DIRECTORY".into()),
    }
}

fn settings(directory: PathBuf) -> Settings {
    let retention = Retention { age: None, size: None, undelivered: Undelivered::Hold };
    Settings { codec: Codec::None, retention, ..Settings::new(directory) }
}

async fn fill(directory: PathBuf, gib: u64, spawner: &Spawner) -> Result<(), Failure> {
    let journal = SqliteJournal::open(settings(directory), Arc::new(SystemClock), spawner)?;
    let mut streams = Vec::new();
    for index in 0..64 {
        let name = StreamName::new(&format!("stream{index}_logs"))?;
        journal.create_stream(StreamSpec::new(name.clone())).await?;
        streams.push(name);
    }
    let mut value = vec![0; RECORD_BYTES];
    StdRng::seed_from_u64(17).fill_bytes(&mut value);
    let record = Record {
        format: RecordFormat::Events,
        events: Some(100),
        received: Timestamp::from(SystemClock.now()),
        batch: None,
        value: Bytes::from(value),
    };
    while journal.stats().retained_bytes < gib << 30 {
        try_join_all(streams.iter().map(|stream| journal.append(stream, Origin::Any, vec![record.clone()])))
            .await?;
    }
    println!("{:?}", journal.stats());
    #[expect(clippy::exit, clippy::disallowed_methods, reason = "ends as a crash does, nothing is closed")]
    std::process::exit(0)
}

async fn open(directory: PathBuf, spawner: &Spawner) -> Result<(), Failure> {
    let began = SystemClock.monotonic();
    let journal = SqliteJournal::open(settings(directory), Arc::new(SystemClock), spawner)?;
    let took = SystemClock.monotonic().duration_since(began);
    let stats = journal.stats();
    println!(
        "opened {} files with {} MB in {:.0} ms",
        stats.files,
        stats.retained_bytes / 1_000_000,
        took.as_secs_f64() * 1e3
    );
    journal.close().await;
    Ok(())
}
