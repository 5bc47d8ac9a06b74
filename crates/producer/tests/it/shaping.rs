use prost::Message;
use tonic::{Code, Request};
use weir_model::RecordFormat;
use weir_producer::{Compat, ProducerSection};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::harness::{World, collection, context, timber};
use crate::journal::Mood;

const NOW: &str = "2027-01-15T08:00:00Z";

fn barito() -> ProducerSection {
    ProducerSection { compat: Some(Compat::Barito), ..ProducerSection::default() }
}

fn with_tps() -> TimberContext {
    TimberContext { app_max_tps: 1_000, app_secret: "hunter2".into(), ..context("shop") }
}

#[tokio::test]
async fn barito_flows_records_hold_one_event_each() {
    let world = World::shaping(barito(), 1_000_000).await;
    let mut batch = collection(with_tps(), &["one", "two"]);
    batch.items[0].timestamp = "2020-01-01T00:00:00Z".into();
    world.client().produce_batch(batch.clone()).await.expect("is taken");
    let expected = batch.items.iter().map(|item| {
        let timber = Timber { context: Some(with_tps()), timestamp: NOW.into(), ..item.clone() };
        (RecordFormat::Timber, timber.encode_to_vec())
    });
    let stored = world.journal.stored();
    let stored: Vec<_> = stored.iter().map(|(_, record)| (record.format, record.value.to_vec())).collect();
    assert_eq!(stored, expected.collect::<Vec<_>>());
    assert_eq!(world.metric("weir_producer_accepted_events_total{stream=\"shop_logs\"}"), Some(2.0));
}

#[tokio::test]
async fn weirs_records_hold_as_many_events_as_fit() {
    let world = World::shaping(ProducerSection::default(), 400).await;
    let messages: Vec<String> = (0..20).map(|number| format!("message {number}")).collect();
    let messages: Vec<_> = messages.iter().map(String::as_str).collect();
    let mut batch = collection(context("shop"), &messages);
    batch.items[3].timestamp = "2020-01-01T00:00:00Z".into();
    world.client().produce_batch(batch.clone()).await.expect("is taken");
    let stored = world.journal.stored();
    assert!(stored.len() > 2 && stored.iter().all(|(_, record)| record.value.len() <= 400));
    let mut items = Vec::new();
    for (_, record) in &stored {
        let part = TimberCollection::decode(&record.value[..]).expect("is whole");
        assert_eq!(record.events, Some(u32::try_from(part.items.len()).expect("few")));
        assert_eq!(part.context, batch.context);
        items.extend(part.items);
    }
    for item in batch.items.iter_mut().filter(|item| item.timestamp.is_empty()) {
        item.timestamp = NOW.into();
    }
    assert_eq!(items, batch.items);
}

#[tokio::test]
async fn an_event_that_fits_into_no_record_is_named() {
    let world = World::shaping(ProducerSection::default(), 300).await;
    let batch = collection(context("shop"), &["small", &"x".repeat(500)]);
    let status = world.client().produce_batch(batch).await.expect_err("is too large");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("item 1 makes a record of "), "{}", status.message());
    assert!(world.journal.stored().is_empty(), "nothing of the batch is stored");
}

#[tokio::test]
async fn of_a_batch_that_was_stored_in_part_the_retry_stores_the_rest() {
    let world = World::shaping(barito(), 1_000_000).await;
    let send = async || {
        let mut request = Request::new(collection(with_tps(), &["0", "1", "2", "3", "4"]));
        request.metadata_mut().insert("weir-batch-id", "1".parse().expect("is ASCII"));
        world.client().produce_batch(request).await
    };
    let events = || {
        let stored = world.journal.stored();
        let text = |value: &[u8]| {
            let content = Timber::decode(value).expect("is whole").content.expect("is there");
            let Some(prost_types::value::Kind::StringValue(text)) = content.fields["message"].kind.clone()
            else {
                panic!("no text")
            };
            text
        };
        stored.iter().map(|(_, record)| text(&record.value)).collect::<Vec<_>>()
    };
    world.journal.set(Mood::Partial);
    let status = send().await.expect_err("a part is not stored");
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "the journal is not available"));
    assert_eq!(events(), ["0", "2", "4"]);
    world.journal.set(Mood::Partial);
    send().await.expect_err("a part of the rest is not stored");
    assert_eq!(events(), ["0", "2", "4", "1"]);
    send().await.expect("the rest is stored");
    assert_eq!(events(), ["0", "2", "4", "1", "3"]);
    send().await.expect("all is known");
    assert_eq!(world.journal.stored_events(), 5);
    assert_eq!(world.metric("weir_producer_accepted_events_total{stream=\"shop_logs\"}"), Some(5.0));
}

#[tokio::test]
async fn a_single_timber_keeps_its_shape_in_both_formats() {
    let event = Timber { context: Some(with_tps()), ..timber("one") };
    let stamped = Timber { timestamp: NOW.into(), ..event.clone() };
    let world = World::shaping(barito(), 1_000_000).await;
    world.client().produce(event.clone()).await.expect("is taken");
    assert_eq!(world.journal.stored()[0].1.value, stamped.encode_to_vec());
}
