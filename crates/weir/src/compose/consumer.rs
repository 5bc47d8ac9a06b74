//! The consumer in a process of its own: from Kafka to Elasticsearch or OpenSearch.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use weir_consumer::delivery::{self, Delivery};
use weir_consumer::metrics::ConsumerMetrics;
use weir_foundation::listen::bind;
use weir_foundation::metrics::Builder;
use weir_foundation::ops::{Ops, StatusBoard};

use super::fleet::Fleet;
use super::{Process, announce, counts, directory, identity, show};
use crate::settings::Settings;

/// Delivery from Kafka. The data directory is for a view of the group's dead letters, which can be made anew and is
/// needed where a loss is to be counted.
pub(crate) async fn consumer(settings: &Settings, process: &Process) -> Result<Ops> {
    let Process { clock, spawner, health, .. } = process;
    let exposure = settings.listen.exposure;
    let listening = bind(settings.listen.ops, exposure).context("open the address for operators")?;
    directory::prepare(&settings.data_dir)?;
    let mut metrics = Builder::new();
    let Fleet { journal, store, dead_letters, redaction } =
        Fleet::open(settings, process, &mut metrics).await?;
    let counts = ConsumerMetrics::register(&mut metrics).configured(&settings.consumer);
    let dependencies = delivery::Dependencies {
        journal,
        store: Arc::new(store),
        dead_letters,
        redactor: redaction.redactor(),
        clock: Arc::clone(clock),
        health: health.clone(),
        metrics: counts.clone(),
    };
    let address = listening.local_addr().context("ask for a bound address")?;
    tracing::info!(ops = %address, group = %settings.consumer.group, "delivering");
    let durability = "committed to Kafka after the store has it";
    let status = StatusBoard::new(identity("consumer", durability), Arc::clone(clock));
    status.section("listen", move || json!({ "ops": address }));
    let ops = show(listening, status, process, metrics)?;
    redaction.known().await.context("find out what to redact")?;
    let delivery = Delivery::subscribe(dependencies, &settings.consumer).await;
    delivery.context("subscribe the consumer")?.start(spawner).context("start the consumer")?;
    counts::tell(settings, process, counts)?;
    announce(process);
    Ok(ops)
}
