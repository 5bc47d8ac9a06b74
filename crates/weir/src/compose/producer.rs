//! The producer in a process of its own, over Kafka.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use weir_foundation::http;
use weir_foundation::listen::bind;
use weir_foundation::metrics::Builder;
use weir_foundation::ops::{Ops, StatusBoard};
use weir_foundation::supervise::DrainPhase;
use weir_journal_kafka::KafkaJournal;
use weir_limits::SharedLimiter;
use weir_limits_redis::RedisLimiter;
use weir_producer::{Producer, Records, RestGateway};

use super::discovery::Discovery;
use super::instance::{Instance, Reached};
use super::secure::Certificates;
use super::{Process, announce, identity, serve_agents, show};
use crate::settings::{INGEST, Settings, StateSettings};

/// The doors over Kafka. HTTP is opened for REST only, so that its port is free for gRPC where barito-flow had it
/// there. With the state of an instance its apps and agents are known, and agents are told what to run.
pub(crate) async fn producer(settings: &Settings, process: &Process) -> Result<Ops> {
    let Process { clock, spawner, health, .. } = process;
    let exposure = settings.listen.exposure;
    let listening = bind(settings.listen.ops, exposure).context("open the address for operators")?;
    let grpc = bind(settings.producer.grpc_listen, exposure).context("open the address for gRPC")?;
    let ingest = settings.producer.ingest_listen.map(|address| bind(address, exposure));
    let ingest = ingest.transpose().context("open the address for agents")?;
    let rest = match settings.producer.rest_gateway {
        RestGateway::Open => Some(bind(settings.listen.http, exposure).context("open the address for HTTP")?),
        RestGateway::Closed => None,
    };
    let instance = match &settings.state {
        Some(state) => Some(join(state, settings, ingest.as_ref(), process).await?),
        None => None,
    };
    let mut metrics = Builder::new();
    if let Some(instance) = &instance {
        weir_server::agents::register_metrics(metrics.weir(), &instance.agents);
    }
    let kafka = Discovery::new(settings, process, &mut metrics)?.kafka().await;
    let journal = KafkaJournal::open(kafka, Arc::clone(clock), spawner, &mut metrics)
        .await
        .context("open the journal")?;
    let parts = weir_producer::Parts {
        journal,
        clock: Arc::clone(clock),
        spawner: spawner.clone(),
        health,
        metrics: &mut metrics,
        records: Records::Shaped { limit: settings.kafka.max_record },
        shared_limits: shared_limits(settings, process)?,
        fleet: instance.as_ref().map(|instance| instance.fleet.clone()),
    };
    let producer = Producer::start(settings.producer.clone(), parts).await.context("start the producer")?;
    let status = status(process, [&listening, &grpc], [rest.as_ref(), ingest.as_ref()])?;
    if let Some((instance, state)) = instance.as_ref().zip(settings.state.as_ref()) {
        instance.show(&status, state);
    }
    let ops = show(listening, status, process, metrics)?;
    let of_instance = instance.as_ref().map(Instance::clients);
    let certificates = Certificates::open(&settings.listen.tls, of_instance, process)?;
    let grpc = certificates.secure(grpc, settings.producer.grpc_listen);
    producer.serve_grpc(grpc).context("serve gRPC")?;
    match (ingest, &instance) {
        (Some(listener), Some(instance)) => serve_agents(settings, listener, &producer, instance)?,
        (Some(listener), None) => producer.serve_ingest(listener, None).context("serve agents")?,
        (None, _) => {}
    }
    if let Some(listener) = rest {
        let serving = http::Process { spawner, clock };
        let router = producer.router().fallback(weir_server::not_found);
        let limits = http::Limits::default();
        let listener = certificates.secure(listener, settings.listen.http);
        http::serve("http", listener, router, limits, DrainPhase::StopIntake, serving)
            .context("serve HTTP")?;
    }
    announce(process);
    Ok(ops)
}

/// The instance whose apps and agents this process takes.
async fn join(
    state: &StateSettings,
    settings: &Settings,
    ingest: Option<&TcpListener>,
    process: &Process,
) -> Result<Instance> {
    let agents = match ingest {
        Some(listener) => listener.local_addr().context("ask for a bound address")?,
        None => INGEST,
    };
    let doors = weir_fleet::Doors { agents, enrolment: settings.fleet.enrol };
    Instance::join(state, settings, Reached { at: agents, doors }, process).await
}

/// The limits that this process shares with others, if it does.
pub(super) fn shared_limits(
    settings: &Settings,
    process: &Process,
) -> Result<Option<Arc<dyn SharedLimiter>>> {
    let Some(redis) = &settings.redis else { return Ok(None) };
    let parts =
        weir_limits_redis::Parts { clock: Arc::clone(&process.clock), spawner: process.spawner.clone() };
    let window = settings.producer.rates.window;
    let limiter = RedisLimiter::start(redis, window, parts).context("prepare the limits in Redis")?;
    Ok(Some(Arc::new(limiter)))
}

fn status(
    process: &Process,
    [ops, grpc]: [&TcpListener; 2],
    [http, ingest]: [Option<&TcpListener>; 2],
) -> Result<StatusBoard> {
    let address = |listener: &TcpListener| listener.local_addr().context("ask for a bound address");
    let (ops, grpc) = (address(ops)?, address(grpc)?);
    let (http, ingest) = (http.map(address).transpose()?, ingest.map(address).transpose()?);
    let shown = |door: Option<SocketAddr>| door.map_or_else(|| "closed".to_owned(), |door| door.to_string());
    tracing::info!(%grpc, http = shown(http), ingest = shown(ingest), %ops, "listening");
    let durability = "acknowledged by all replicas in sync (acks=all) before every answer";
    let status = StatusBoard::new(identity("producer", durability), Arc::clone(&process.clock));
    status.section("listen", move || json!({ "http": http, "grpc": grpc, "ingest": ingest, "ops": ops }));
    Ok(status)
}
