//! The server in a process of its own: it shows what is in Kafka and in Elasticsearch or OpenSearch.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use weir_foundation::http;
use weir_foundation::listen::bind;
use weir_foundation::metrics::Builder;
use weir_foundation::ops::{Ops, StatusBoard};
use weir_foundation::supervise::DrainPhase;
use weir_journal::Journal;
use weir_journal_kafka::KafkaJournal;
use weir_server::{Door, JournalFiles, Server, ServerSettings, StreamNames};
use weir_store_elastic::ElasticStore;

use super::auditor::SharedBooks;
use super::door::Doors;
use super::fleet::Fleet;
use super::instance::{Instance, Reached};
use super::secure::Certificates;
use super::ways::Places;
use super::{Process, announce, directory, identity, listeners, serve_enrolment, show};
use crate::settings::{INGEST, Settings};

/// Search, tail, audit and dead letters of what a group of consumers delivers, and retention of the store; and the control
/// plane, with the door of nodes that want to be agents. These stream to producers that share the state. The data directory
/// holds a view of the group's dead letters, which can be made anew, and the state unless the settings put it elsewhere.
pub(crate) async fn server(settings: &Settings, process: &Process) -> Result<Ops> {
    let Process { clock, spawner, .. } = process;
    let exposure = settings.listen.exposure;
    let listening = bind(settings.listen.ops, exposure).context("open the address for operators")?;
    let http = bind(settings.listen.http, exposure).context("open the address for HTTP")?;
    let enrolment = bind(settings.fleet.enrol, exposure).context("open the address for enrolment")?;
    directory::prepare(&settings.data_dir)?;
    let mut metrics = Builder::new();
    let doors = weir_fleet::Doors {
        // Of producers; where they are on other machines `fleet.advertise` says so.
        agents: settings.producer.ingest_listen.unwrap_or(INGEST),
        enrolment: enrolment.local_addr().context("ask for a bound address")?,
    };
    let reached = Reached { at: doors.enrolment, doors };
    let state = settings.instance_state();
    let instance = Instance::open(&state, settings, reached, process).await?;
    let fleet = Fleet::open(settings, process, &mut metrics).await?;
    let parts = parts(&fleet, &instance, settings, process);
    let server = Server::new(parts, settings.server.clone(), metrics.weir());
    let status = status(process, [&listening, &http, &enrolment])?;
    instance.show(&status, &state);
    let ops = show(listening, status, process, metrics)?;
    // No tail may show what the rules would have taken out.
    fleet.redaction.known().await.context("find out what to redact")?;
    fleet.store.retain(spawner);
    let phase = DrainPhase::StopIntake;
    let router = server.router(spawner.token(phase)).fallback(weir_server::not_found);
    let serving = http::Process { spawner, clock };
    let certificates = Certificates::open(&settings.listen.tls, Some(instance.clients()), process)?;
    let http = certificates.secure(http, settings.listen.http);
    http::serve("http", http, router, http::Limits::default(), phase, serving).context("serve HTTP")?;
    serve_enrolment(settings, enrolment, &instance, process)?;
    announce(process);
    Ok(ops)
}

/// What is shown of a fleet.
fn parts(fleet: &Fleet, instance: &Instance, settings: &Settings, process: &Process) -> weir_server::Parts {
    let streams = &settings.consumer.streams;
    let names = StreamNames { prefix: streams.prefix.clone(), suffix: streams.suffix.clone() };
    let journal: Arc<dyn Journal> = Arc::<KafkaJournal>::clone(&fleet.journal);
    let store = Arc::new(fleet.store.clone());
    let books = SharedBooks {
        journal: Arc::clone(&journal),
        store: Arc::<ElasticStore>::clone(&store),
        dead_letters: Arc::clone(&fleet.dead_letters),
        group: settings.consumer.group.clone(),
        group_ids: settings.kafka.group_ids,
        streams: streams.clone(),
    };
    let ServerSettings { producer_grpc_url, producer_http_url, producer_tls, .. } = settings.server.clone();
    let places = Places { grpc: producer_grpc_url, rest: producer_http_url, tls: producer_tls };
    let is_known = places.grpc.is_some() || places.rest.is_some();
    let door = || {
        let doors = Doors::at(places, names.clone(), instance.fleet.clone());
        // To others a pass would be the secret of an app that they do not know.
        let doors = if settings.is_state_named { doors.of_instance(instance.fleet.clone()) } else { doors };
        Arc::new(doors) as Arc<dyn Door>
    };
    weir_server::Parts {
        journal,
        journal_files: JournalFiles::OfOthers,
        store,
        dead_letters: Arc::clone(&fleet.dead_letters),
        redactor: fleet.redaction.redactor(),
        door: is_known.then(door),
        auditor: Arc::new(books),
        clock: Arc::clone(&process.clock),
        spawner: process.spawner.clone(),
        names,
        fleet: instance.fleet.clone(),
        hub: instance.agents.hub.clone(),
        check: weir_agent::check,
        reach: listeners::reach(settings.listen.http),
    }
}

fn status(process: &Process, [ops, http, enrolment]: [&TcpListener; 3]) -> Result<StatusBoard> {
    let address = |listener: &TcpListener| listener.local_addr().context("ask for a bound address");
    let (ops, http, enrolment) = (address(ops)?, address(http)?, address(enrolment)?);
    tracing::info!(%http, %enrolment, %ops, "listening");
    let status = StatusBoard::new(identity("server", "accepts nothing"), Arc::clone(&process.clock));
    status.section("listen", move || json!({ "http": http, "enrolment": enrolment, "ops": ops }));
    Ok(status)
}
