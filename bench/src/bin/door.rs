//! The producer over the embedded journal and nothing else: what the door alone costs.
//!
//! `door DIRECTORY` prints the addresses of its gRPC and HTTP doors and serves until it is killed.

#![allow(clippy::print_stdout, reason = "it tells its parent where it listens")]

use std::net::TcpListener;
use std::sync::Arc;

use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::http::{Limits, Process, serve};
use weir_foundation::metrics;
use weir_foundation::supervise::{DrainDeadlines, DrainPhase, DrainSection, Supervisor};
use weir_journal::sqlite::{Settings as JournalSettings, SqliteJournal};
use weir_producer::{Parts, Producer, ProducerSection, Records, Settings};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let directory = std::env::args_os().nth(1).ok_or("usage: door DIRECTORY")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let deadlines = DrainDeadlines::validate(&DrainSection::default()).map_err(|p| p.to_string())?;
        let supervisor = Supervisor::new(runtime.handle().clone(), Arc::clone(&clock), deadlines);
        let spawner = supervisor.spawner();
        let settings = JournalSettings::new(directory.into());
        let journal = SqliteJournal::open(settings, Arc::clone(&clock), &spawner)?;
        let health = Health::new(Arc::clone(&clock));
        let mut metrics = metrics::Builder::new();
        let parts = Parts {
            journal,
            clock: Arc::clone(&clock),
            spawner: spawner.clone(),
            health: &health,
            metrics: &mut metrics,
            records: Records::AsReceived,
            shared_limits: None,
            fleet: None,
        };
        let settings = Settings::validate(&ProducerSection::default()).map_err(|p| p.to_string())?;
        let producer = Producer::start(settings, parts).await?;
        let (grpc, http) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        println!("{} {}", grpc.local_addr()?, http.local_addr()?);
        producer.serve_grpc(grpc)?;
        let process = Process { spawner: &spawner, clock: &clock };
        serve("http", http, producer.router(), Limits::default(), DrainPhase::StopIntake, process)?;
        supervisor.run_until(std::future::pending()).await;
        Ok(())
    })
}
