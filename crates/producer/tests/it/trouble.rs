use std::time::Duration;

use tonic::Code;
use weir_producer::{Compat, ProducerSection};

use crate::harness::{World, collection, context};
use crate::journal::Mood;

#[tokio::test]
async fn trouble_of_the_journal_is_told_and_passes() {
    let world = World::new().await;
    let check = async |mood, code, message: &str| {
        world.journal.set(mood);
        let batch = collection(context("shop"), &["one"]);
        let status = world.client().produce_batch(batch).await.expect_err("is not stored");
        assert_eq!((status.code(), status.message()), (code, message));
    };
    check(Mood::Full, Code::Unavailable, "the journal has no space left").await;
    check(Mood::Failing, Code::Unavailable, "the journal failed while storing the record").await;
    world.journal.set(Mood::Good);
    world.client().produce_batch(collection(context("shop"), &["one"])).await.expect("is stored");
    let failed = r#"barito_producer_kafka_message_stored_total{topic="shop_logs",error_type="send_log"}"#;
    assert_eq!(world.metric(failed), Some(2.0));
}

#[tokio::test]
async fn clients_of_barito_are_told_what_they_know() {
    let world = World::with(ProducerSection { compat: Some(Compat::Barito), ..Default::default() }).await;
    world.journal.set(Mood::Full);
    let status =
        world.client().produce_batch(collection(context("shop"), &["one"])).await.expect_err("is full");
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_stream_that_is_gone_is_created_again() {
    let world = World::new().await;
    world.client().produce_batch(collection(context("shop"), &["one"])).await.expect("is stored");
    world.journal.set(Mood::Forgetful);
    world.client().produce_batch(collection(context("shop"), &["two"])).await.expect("is stored");
    assert_eq!(world.journal.specs().len(), 2);
    assert_eq!(world.journal.stored().len(), 2);
}

#[tokio::test]
async fn a_journal_that_hangs_makes_the_producer_not_ready() {
    let world = World::new().await;
    let state =
        || world.health.readiness().into_iter().find(|state| state.name == "producer").expect("is there");
    assert!(state().condition.is_ready());
    world.journal.set(Mood::Slow);
    let mut client = world.client();
    let send = client.produce_batch(collection(context("shop"), &["one"]));
    let test = async {
        world.journal.asked(1).await;
        world.clock.advance(Duration::from_secs(31));
        assert!(!state().condition.is_ready(), "{:?}", state());
        world.journal.set(Mood::Good);
    };
    let (answer, ()) = tokio::join!(send, test);
    answer.expect("is stored in the end");
    assert!(state().condition.is_ready());
}
