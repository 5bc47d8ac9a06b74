//! Puts the roles together: what depends on what is decided here and nowhere else.
//!
//! Everything that can fail early does: addresses are bound and stores are opened before anything is served.

mod agent;
mod auditor;
mod consumer;
mod counts;
pub(crate) mod directory;
mod discovery;
mod door;
mod fleet;
mod instance;
mod listeners;
mod metrics;
pub(crate) mod offline;
mod producer;
mod secure;
mod server;
mod state;
mod watch;
mod ways;

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use weir_consumer::delivery::{self, Delivery};
use weir_consumer::metrics::ConsumerMetrics;
use weir_foundation::clock::Clock;
use weir_foundation::health::Health;
use weir_foundation::http::{self, Listener};
use weir_foundation::metrics::Builder;
use weir_foundation::notify::{self, Notifier};
use weir_foundation::ops::{self, Identity, Ops, StatusBoard, Views};
use weir_foundation::supervise::{DrainPhase, Spawner};
use weir_foundation::telemetry::LastLines;
use weir_journal::Journal;
use weir_journal::sqlite::SqliteJournal;
use weir_producer::{Producer, Records};
use weir_redaction::{RedactionMetrics, Redactor};
use weir_server::{JournalFiles, Server, StreamNames};
use weir_store::segment::{SegmentParts, SegmentStore};
use weir_store::{DeadLetterStore, IndexStore};

pub(crate) use self::agent::{CONNECTED, agent};
use self::auditor::Books;
pub(crate) use self::consumer::consumer;
use self::door::Doors;
use self::instance::{Instance, Reached};
pub(crate) use self::listeners::Addresses;
use self::listeners::Listeners;
pub(crate) use self::producer::producer;
use self::secure::Certificates;
pub(crate) use self::server::server;
use crate::settings::Settings;

/// What every component gets from the process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawner: Spawner,
    pub(crate) health: Health,
    /// What the process has logged.
    pub(crate) log: LastLines,
}

/// A process that serves.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) addresses: Addresses,
    /// Serves as long as this is held.
    pub(crate) ops: Ops,
    #[cfg(test)]
    pub(crate) fleet: weir_fleet::Fleet,
}

/// Where events are kept.
struct Storage {
    journal: Arc<SqliteJournal>,
    store: SegmentStore,
}

impl Process {
    pub(crate) fn new(clock: Arc<dyn Clock>, spawner: Spawner, log: LastLines) -> Self {
        let health = Health::new(Arc::clone(&clock));
        Self { clock, spawner, health, log }
    }
}

/// All roles in this process, over the embedded journal and the embedded store.
pub(crate) async fn up(settings: &Settings, process: &Process) -> Result<Running> {
    let listeners = Listeners::bind(settings)?;
    let addresses = listeners.addresses()?;
    directory::prepare(&settings.data_dir)?;
    let mut metrics = Builder::new();
    let doors = weir_fleet::Doors { agents: addresses.ingest, enrolment: addresses.enrolment };
    let reached = Reached { at: doors.agents, doors };
    let state = settings.instance_state();
    let instance = Instance::open(&state, settings, reached, process).await?;
    weir_server::agents::register_metrics(metrics.weir(), &instance.agents);
    let storage = Storage::open(settings, process, &mut metrics)?;

    let redaction = redaction(settings, process, &mut metrics)?;
    let redactor = redaction.redactor();
    let producer = embedded_producer(settings, process, &storage, &instance, &mut metrics).await?;
    let delivery = delivery(settings, process, &storage, redactor.clone(), &mut metrics).await?;
    let door = Doors::own(addresses, stream_names(settings), instance.fleet.clone());
    let server = embedded_server(settings, process, &storage, &instance, redactor, door, &mut metrics);

    let status = status(process, &storage, addresses);
    instance.show(&status, &state);
    let ops = show(listeners.ops, status, process, metrics)?;
    // Neither the index nor a tail may have what the rules would have taken out.
    redaction.known().await.context("find out what to redact")?;
    delivery.start(&process.spawner).context("start the consumer")?;
    let certificates = Certificates::open(&settings.listen.tls, Some(instance.clients()), process)?;
    let grpc = certificates.secure(listeners.grpc, settings.producer.grpc_listen);
    producer.serve_grpc(grpc).context("serve gRPC")?;
    serve_agents(settings, listeners.ingest, &producer, &instance)?;
    serve_enrolment(settings, listeners.enrolment, &instance, process)?;
    let http = certificates.secure(listeners.http, settings.listen.http);
    serve_http(http, &producer, server, process)?;
    announce(process);
    Ok(Running {
        addresses,
        ops,
        #[cfg(test)]
        fleet: instance.fleet,
    })
}

/// Serves health and metrics, once all metrics are registered.
fn show(listener: TcpListener, status: StatusBoard, process: &Process, metrics: Builder) -> Result<Ops> {
    let views = Views { status, health: process.health.clone(), metrics: metrics.build() };
    ops::start(listener, views).context("serve health and metrics")
}

/// Tells systemd as soon as everything is ready.
fn announce(process: &Process) {
    let Process { clock, spawner, health, .. } = process;
    notify::start(spawner, Notifier::systemd(), health.clone(), Arc::clone(clock));
}

impl Storage {
    fn open(settings: &Settings, process: &Process, metrics: &mut Builder) -> Result<Self> {
        let Process { clock, spawner, health, .. } = process;
        let journal = SqliteJournal::open(settings.journal.clone(), Arc::clone(clock), spawner)
            .context("open the journal")?;
        watch::journal(&journal, health, spawner);
        let parts =
            SegmentParts { clock: Arc::clone(clock), spawner: spawner.clone(), health: health.clone() };
        let store = SegmentStore::open(settings.store.clone(), parts).context("open the index")?;
        metrics::register(metrics, &journal, &store);
        Ok(Self { journal, store })
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::<SqliteJournal>::clone(&self.journal)
    }

    fn index(&self) -> Arc<dyn IndexStore> {
        Arc::new(self.store.clone())
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::new(self.store.clone())
    }
}

fn redaction(
    settings: &Settings,
    process: &Process,
    metrics: &mut Builder,
) -> Result<weir_redaction::Starting> {
    let parts = weir_redaction::Parts {
        clock: Arc::clone(&process.clock),
        spawner: process.spawner.clone(),
        health: process.health.clone(),
        metrics: RedactionMetrics::register(metrics),
    };
    weir_redaction::begin(&settings.redaction, parts).context("prepare redaction")
}

async fn embedded_producer(
    settings: &Settings,
    process: &Process,
    storage: &Storage,
    instance: &Instance,
    metrics: &mut Builder,
) -> Result<Producer> {
    let parts = weir_producer::Parts {
        journal: storage.journal(),
        clock: Arc::clone(&process.clock),
        spawner: process.spawner.clone(),
        health: &process.health,
        metrics,
        records: Records::AsReceived,
        shared_limits: producer::shared_limits(settings, process)?,
        fleet: Some(instance.fleet.clone()),
    };
    Producer::start(settings.producer.clone(), parts).await.context("start the producer")
}

async fn delivery(
    settings: &Settings,
    process: &Process,
    storage: &Storage,
    redactor: Redactor,
    metrics: &mut Builder,
) -> Result<Delivery> {
    let counts = ConsumerMetrics::register(metrics).configured(&settings.consumer);
    counts::tell(settings, process, counts.clone())?;
    let dependencies = delivery::Dependencies {
        journal: storage.journal(),
        store: storage.index(),
        dead_letters: storage.dead_letters(),
        redactor,
        clock: Arc::clone(&process.clock),
        health: process.health.clone(),
        metrics: counts,
    };
    Delivery::subscribe(dependencies, &settings.consumer).await.context("subscribe the consumer")
}

fn stream_names(settings: &Settings) -> StreamNames {
    StreamNames {
        prefix: settings.producer.stream_prefix.clone(),
        suffix: settings.producer.stream_suffix.clone(),
    }
}

fn embedded_server(
    settings: &Settings,
    process: &Process,
    storage: &Storage,
    instance: &Instance,
    redactor: Redactor,
    door: Doors,
    metrics: &mut Builder,
) -> Server {
    let parts = weir_server::Parts {
        journal: storage.journal(),
        journal_files: JournalFiles::OfThisProcess,
        store: storage.index(),
        dead_letters: storage.dead_letters(),
        redactor,
        door: Some(Arc::new(door)),
        auditor: Arc::new(Books::new(
            storage.journal(),
            storage.index(),
            storage.dead_letters(),
            settings.journal.directory.clone(),
        )),
        clock: Arc::clone(&process.clock),
        spawner: process.spawner.clone(),
        names: stream_names(settings),
        fleet: instance.fleet.clone(),
        hub: instance.agents.hub.clone(),
        check: weir_agent::check,
        reach: listeners::reach(settings.listen.http),
    };
    Server::new(parts, settings.server.clone(), metrics.weir())
}

fn status(process: &Process, storage: &Storage, addresses: Addresses) -> StatusBoard {
    let durability = "synced to the embedded journal before every answer";
    let status = StatusBoard::new(identity("up", durability), Arc::clone(&process.clock));
    let Addresses { http, grpc, ingest, enrolment, ops } = addresses;
    let listen = json!({ "http": http, "grpc": grpc, "ingest": ingest, "enrolment": enrolment, "ops": ops });
    status.section("listen", move || listen.clone());
    let journal = Arc::clone(&storage.journal);
    status.section("journal", move || {
        let stats = journal.stats();
        json!({
            "events_since_start": stats.events,
            "files": stats.files,
            "retained_bytes": stats.retained_bytes,
            "held_files": stats.held_files,
            "quarantined_files": stats.quarantined_files,
        })
    });
    let store = storage.store.clone();
    status.section("index", move || {
        let stats = store.stats();
        json!({
            "head_bytes": store.memory(),
            "sealed_rows_since_start": stats.sealed_rows,
            "dropped_rows_since_start": stats.dropped_rows,
            "failures_since_start": stats.failures,
        })
    });
    status
}

fn identity(role: &str, durability: &str) -> Identity {
    Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: role.to_owned(),
        durability: durability.to_owned(),
    }
}

/// Opens the door of agents.
fn serve_agents(
    settings: &Settings,
    listener: TcpListener,
    producer: &Producer,
    instance: &Instance,
) -> Result<()> {
    let security = instance.agents_security(&settings.fleet);
    let control = weir_server::agents::control_router(&instance.agents);
    let listener = Listener { socket: listener, security };
    producer.serve_ingest(listener, Some(control)).context("serve agents")
}

/// Opens the door of those who want to be agents.
fn serve_enrolment(
    settings: &Settings,
    listener: TcpListener,
    instance: &Instance,
    process: &Process,
) -> Result<()> {
    let router = weir_server::agents::enrolment_router(&instance.agents);
    let listener = Listener { socket: listener, security: instance.enrolment_security(&settings.fleet) };
    let serving = http::Process { spawner: &process.spawner, clock: &process.clock };
    let limits = weir_server::agents::enrolment_limits();
    http::serve("enrolment", listener, router, limits, DrainPhase::StopIntake, serving)
        .context("serve enrolment")
}

fn serve_http(listener: Listener, producer: &Producer, server: Server, process: &Process) -> Result<()> {
    let phase = DrainPhase::StopIntake;
    let api = server.router(process.spawner.token(phase));
    let router = producer.router().merge(api).fallback(weir_server::not_found);
    let serving = http::Process { spawner: &process.spawner, clock: &process.clock };
    http::serve("http", listener, router, http::Limits::default(), phase, serving).context("serve HTTP")
}

#[cfg(test)]
mod tests;
