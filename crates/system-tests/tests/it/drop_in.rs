//! `weir producer` and `weir consumer` in the place of barito-flow's: the same environment, clients, records and
//! documents, over a real Kafka and a real OpenSearch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use weir_model::{Record, RecordFormat};
use weir_services::{Engine, Home, Kafka, Search};
use weir_system_tests::process::{Setup, Weir, binary};
use weir_system_tests::raw::{RawClient, collection};
use weir_system_tests::wait::until;
use weir_wire::proto::producer::{Timber, TimberCollection};

use crate::kafka::Books;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker and a producer that knows it by barito-flow's variables alone.
struct World {
    kafka: Kafka,
    setup: Setup,
    _directory: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("there is space");
        let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1).expect("it starts");
        let setup = Setup::new(directory.path());
        Self { kafka, setup, _directory: directory }
    }

    /// A role with the variables that barito-flow would have, and these.
    async fn role(&self, name: &str, setup: &Setup, variables: &[(&str, &str)]) -> Weir {
        let mut command = Command::new(binary());
        command
            .arg(name)
            .arg("--data-dir")
            .arg(&setup.data_dir)
            .env_clear()
            .env("BARITO_KAFKA_BROKERS", self.kafka.addresses())
            .env("BARITO_PRODUCER_GRPC", setup.addresses.grpc.to_string())
            .env("BARITO_PRODUCER_REST_API", "false")
            .env("EXPORTER_PORT", setup.addresses.ops.to_string())
            .envs(variables.iter().copied());
        setup.start_as(command).await
    }

    async fn producer(&self, variables: &[(&str, &str)]) -> Weir {
        self.role("p", &self.setup, variables).await
    }

    async fn consumer(&self, setup: &Setup, search: SocketAddr) -> Weir {
        let url = format!("http://{search}");
        self.role("c", setup, &[("BARITO_ELASTICSEARCH_URLS", &url)]).await
    }

    async fn client(&self) -> RawClient {
        RawClient::connect(self.setup.addresses.grpc).await
    }

    /// All records of a topic.
    async fn records(&self, topic: &str) -> Vec<Record> {
        Books::open(&self.kafka.addresses()).await.records(topic).await
    }
}

fn timber(number: u32) -> Bytes {
    let value = Value { kind: Some(Kind::StringValue(format!("event {number}"))) };
    let content = Struct { fields: BTreeMap::from([("message".to_owned(), value)]) };
    let timber =
        Timber { content: Some(content), timestamp: "2001-01-01T00:00:00Z".to_owned(), ..Timber::default() };
    timber.encode_to_vec().into()
}

fn batch(numbers: std::ops::Range<u32>) -> Bytes {
    let timbers: Vec<Bytes> = numbers.map(timber).collect();
    collection("shop", timbers.iter().map(|timber| &timber[..]))
}

fn message(timber: &Timber) -> String {
    let content = timber.content.as_ref().expect("it has content");
    match content.fields.get("message").and_then(|value| value.kind.clone()) {
        Some(Kind::StringValue(text)) => text,
        other => panic!("no message: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_variables_are_enough_and_its_records_are_written() {
    let world = World::start();
    let weir = world
        .producer(&[
            ("BARITO_KAFKA_TOPIC_SUFFIX", "_pb"),
            ("BARITO_PRODUCER_MAX_TPS", "0"),
            ("BARITO_PRODUCER_MAX_RETRY", "not a number"),
        ])
        .await;
    let topic = world.client().await.produce_batch(batch(0..3)).await.expect("it is taken");
    assert_eq!(topic, "shop_pb");
    assert!(weir.terminate().await.success());

    let mut events = Vec::new();
    for record in world.records("shop_pb").await {
        assert_eq!(record.format, RecordFormat::Timber);
        let timber = Timber::decode(record.value).expect("is a Timber");
        let context = timber.context.clone().expect("each has the context of the batch");
        assert_eq!((context.kafka_topic.as_str(), context.kafka_partition), ("shop", 4));
        assert!(
            timber.timestamp.as_str() > "2026" && timber.timestamp.ends_with('Z'),
            "{}",
            timber.timestamp
        );
        assert_eq!(timber.timestamp.len(), "2026-01-01T00:00:00Z".len(), "whole seconds");
        events.push(message(&timber));
    }
    events.sort();
    assert_eq!(events, ["event 0", "event 1", "event 2"]);
    let announced: Vec<Bytes> =
        world.records("new_topic_events").await.into_iter().map(|record| record.value).collect();
    assert_eq!(announced, ["shop_pb"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_under_load_loses_and_repeats_nothing() {
    let mut world = World::start();
    let weir = world.producer(&[("BARITO_KAFKA_MESSAGE_FORMAT", "TimberCollection")]).await;
    let client = world.client().await;
    let (acknowledged, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let sending = {
        let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        tokio::spawn(async move {
            for number in (0..).step_by(10) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A batch that is refused is not sent again: only what was acknowledged has to be there.
                if client.produce_batch(batch(number..number + 10)).await.is_ok() {
                    acknowledged.lock().expect("nobody panics").extend(number..number + 10);
                }
            }
        })
    };
    let count = || acknowledged.lock().expect("nobody panics").len();
    let more_than = async |least: usize| {
        until("more is acknowledged", PATIENCE, async || (count() > least).then_some(())).await;
    };
    more_than(1000).await;
    world.kafka.kill(0).expect("it runs");
    let before = count();
    world.kafka.restart(0).expect("it starts again");
    more_than(before + 1000).await;
    stop.store(true, Ordering::Relaxed);
    sending.await.expect("it sends");
    assert!(weir.terminate().await.success());

    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for record in world.records("shop_logs").await {
        assert_eq!(record.format, RecordFormat::TimberCollection);
        let collection = TimberCollection::decode(record.value).expect("is a collection");
        for timber in &collection.items {
            *found.entry(message(timber)).or_default() += 1;
        }
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("nobody panics"));
    let lost: Vec<u32> =
        acknowledged.into_iter().filter(|number| !found.contains_key(&format!("event {number}"))).collect();
    assert_eq!(lost, [0; 0], "acknowledged and not there");
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
}

/// How many documents of the index there are, and how many different messages.
async fn documents(search: SocketAddr, pattern: &str) -> (u64, usize) {
    let url = format!("http://{search}/{pattern}/_search?size=10000&ignore_unavailable=true");
    let refreshed = reqwest::Client::new().post(format!("http://{search}/{pattern}/_refresh")).send().await;
    drop(refreshed);
    let Ok(answer) = reqwest::get(url).await else { return (0, 0) };
    let Ok(answer) = answer.json::<serde_json::Value>().await else { return (0, 0) };
    let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
    let messages: BTreeSet<String> = hits.iter().map(|hit| hit["_source"]["message"].to_string()).collect();
    (answer["hits"]["total"]["value"].as_u64().unwrap_or(0), messages.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_where_barito_flow_put_them_and_there_once() {
    const EVENTS: u32 = 2000;
    let world = World::start();
    let search = Search::of_this_process(&Home::of_the_tree(), Engine::OpenSearch2).expect("it starts");
    let producer = world.producer(&[]).await;
    let client = world.client().await;
    let directory = tempfile::tempdir().expect("there is space");
    let setup = Setup::new(directory.path());
    let mut consumer = world.consumer(&setup, search).await;
    for number in (0..EVENTS).step_by(100) {
        client.produce_batch(batch(number..number + 100)).await.expect("it is taken");
        // In the middle of the way, with some of it in hand.
        if number == EVENTS / 2 {
            consumer.kill();
            consumer = world.consumer(&setup, search).await;
        }
    }
    let pattern = "shop-*";
    until("all events are documents", PATIENCE, async || {
        let (count, different) = documents(search, pattern).await;
        assert!(count <= u64::from(EVENTS), "{count} documents of {EVENTS} events");
        (count == u64::from(EVENTS) && different == EVENTS as usize).then_some(())
    })
    .await;
    let answer = reqwest::get(format!("http://{search}/{pattern}/_search?size=1")).await.expect("it answers");
    let answer: serde_json::Value = answer.json().await.expect("is JSON");
    let hit = &answer["hits"]["hits"][0];
    let index = hit["_index"].as_str().expect("it has an index");
    let day = index.strip_prefix("shop-").expect("of the prefix");
    assert_eq!(day.len(), "2026.11.28".len(), "{index}");
    let source = hit["_source"].as_object().expect("is an object");
    assert_eq!(source.keys().collect::<Vec<_>>(), ["@timestamp", "message"], "nothing else is added");
    assert!(consumer.terminate().await.success());
    assert!(producer.terminate().await.success());
}
