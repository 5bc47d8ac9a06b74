use prost::Message;
use weir_model::RecordFormat;
use weir_producer::{Compat, ProducerSection};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::harness::{World, collection, context, timber};

#[tokio::test]
async fn a_batch_is_stored_as_it_came_and_answered_with_its_stream() {
    let world = World::new().await;
    let batch = collection(context("shop"), &["one", "two", "three"]);
    let answer = world.client().produce_batch(batch.clone()).await.expect("is taken");
    assert_eq!(answer.into_inner().topic, "shop_logs");

    let [(stream, record)] = &world.journal.stored()[..] else { panic!("one record") };
    assert_eq!(stream, "shop_logs");
    assert_eq!((record.format, record.events), (RecordFormat::TimberCollection, Some(3)));
    assert_eq!(&record.value[..], batch.encode_to_vec());
    assert_eq!(record.received.micros(), 1_800_000_000_000_000);
    assert_eq!(record.batch, None);
}

#[tokio::test]
async fn a_single_event_is_a_record_of_its_own_format() {
    let world = World::new().await;
    let event = Timber { context: Some(context("shop")), ..timber("one") };
    let answer = world.client().produce(event.clone()).await.expect("is taken");
    assert_eq!(answer.into_inner().topic, "shop_logs");
    let [(_, record)] = &world.journal.stored()[..] else { panic!("one record") };
    assert_eq!((record.format, record.events), (RecordFormat::Timber, Some(1)));
    assert_eq!(&record.value[..], event.encode_to_vec());
}

#[tokio::test]
async fn prefix_and_suffix_surround_the_topic() {
    let section = ProducerSection {
        stream_prefix: Some("eu.".into()),
        stream_suffix: Some("_pb".into()),
        ..ProducerSection::default()
    };
    let world = World::with(section).await;
    let answer = world.client().produce_batch(collection(context("shop"), &["one"])).await.expect("is taken");
    assert_eq!(answer.into_inner().topic, "eu.shop_pb");
}

#[tokio::test]
async fn an_empty_batch_is_accepted_and_stores_nothing() {
    let world = World::new().await;
    let answer = world.client().produce_batch(collection(context("shop"), &[])).await.expect("is taken");
    assert_eq!(answer.into_inner().topic, "shop_logs");
    assert!(world.journal.stored().is_empty());
    assert!(world.journal.specs().is_empty(), "no stream is created for nothing");
}

#[tokio::test]
async fn secrets_are_stored_only_when_asked_for() {
    let secret =
        |item: Timber| TimberContext { app_secret: "hunter2".into(), ..item.context.unwrap_or_default() };
    let batch = |context: TimberContext| {
        let item = Timber { context: Some(secret(Timber::default())), ..timber("one") };
        TimberCollection {
            context: Some(TimberContext { app_secret: "hunter2".into(), ..context }),
            items: vec![item],
        }
    };
    let holds_secret = async |section| {
        let world = World::with(section).await;
        world.client().produce_batch(batch(context("shop"))).await.expect("is taken");
        let [(_, record)] = &world.journal.stored()[..] else { panic!("one record") };
        let stored = TimberCollection::decode(record.value.clone()).expect("is whole");
        assert_eq!(stored.items.len(), 1);
        assert_eq!(stored.context.expect("is kept").kafka_topic, "shop");
        record.value.windows(7).any(|window| window == b"hunter2")
    };
    assert!(!holds_secret(ProducerSection::default()).await);
    assert!(holds_secret(ProducerSection { store_app_secret: Some(true), ..Default::default() }).await);
    assert!(holds_secret(ProducerSection { compat: Some(Compat::Barito), ..Default::default() }).await);
}

#[tokio::test]
async fn a_stream_is_created_once_with_what_was_asked_for() {
    let world = World::with(ProducerSection { max_partitions: Some(6), ..Default::default() }).await;
    let asking = |partitions, replicas| TimberContext {
        kafka_partition: partitions,
        kafka_replication_factor: replicas,
        ..context("shop")
    };
    for _ in 0..3 {
        world.client().produce_batch(collection(asking(50, 3), &["one"])).await.expect("is taken");
    }
    let specs = world.journal.specs();
    assert_eq!(specs.len(), 1);
    assert_eq!((specs[0].partitions, specs[0].replicas), (Some(6), Some(3)));

    let other = TimberContext { kafka_topic: "web".into(), ..asking(-1, -1) };
    world.client().produce_batch(collection(other, &["one"])).await.expect("is taken");
    assert_eq!((world.journal.specs()[1].partitions, world.journal.specs()[1].replicas), (None, None));
}

#[tokio::test]
async fn a_stream_is_created_as_the_settings_say_where_requests_are_not_heard() {
    let section = ProducerSection {
        ignore_stream_options: Some(true),
        default_partitions: Some(2),
        ..Default::default()
    };
    let world = World::with(section).await;
    let asking = TimberContext { kafka_partition: 3, kafka_replication_factor: 3, ..context("shop") };
    world.client().produce_batch(collection(asking, &["one"])).await.expect("is taken");
    let specs = world.journal.specs();
    assert_eq!((specs[0].partitions, specs[0].replicas), (Some(2), None));
}

#[tokio::test]
async fn what_is_accepted_is_counted() {
    let world = World::new().await;
    let batch = collection(context("shop"), &["one", "two"]);
    let bytes = batch.encoded_len() as f64;
    world.client().produce_batch(batch).await.expect("is taken");
    let check = |name: &str, expected: f64| assert_eq!(world.metric(name), Some(expected), "{name}");
    check(r#"weir_producer_accepted_events_total{stream="shop_logs"}"#, 2.0);
    check(r#"weir_producer_accepted_bytes_total{stream="shop_logs"}"#, bytes);
    check(r#"weir_producer_batches_total{door="grpc"}"#, 1.0);
    check("weir_producer_append_seconds_count", 1.0);
    check("weir_producer_budget_used_bytes", 0.0);
    check(r#"barito_producer_kafka_message_stored_total{topic="shop_logs",error_type=""}"#, 1.0);
    check(r#"barito_producer_produced_total_log_bytes{app_name="shop"}"#, bytes);
    check(r#"barito_producer_send_to_kafka_time_second_count{topic="shop_logs"}"#, 1.0);
}
