use std::time::Duration;

use tonic::{Code, Request, Response, Status};
use weir_foundation::http::Limits;
use weir_producer::{ProducerSection, Records};
use weir_wire::proto::producer::{ProduceResult, TimberCollection};

use crate::harness::{World, collection, context};
use crate::journal::Mood;
use crate::raw::request;

fn named(id: &str, batch: TimberCollection) -> Request<TimberCollection> {
    let mut request = Request::new(batch);
    request.metadata_mut().insert("weir-batch-id", id.parse().expect("is ASCII"));
    request
}

async fn send(world: &World, id: &str, messages: &[&str]) -> Result<Response<ProduceResult>, Status> {
    world.client().produce_batch(named(id, collection(context("shop"), messages))).await
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_and_stores_nothing() {
    let world = World::new().await;
    let first = send(&world, "1", &["one"]).await.expect("is stored").into_inner();
    let again = send(&world, "1", &["one"]).await.expect("is answered").into_inner();
    assert_eq!(first, again);
    send(&world, "2", &["one"]).await.expect("another id is another batch");
    assert_eq!(world.journal.stored().len(), 2);
    assert_eq!(world.metric("weir_producer_duplicate_batches_total"), Some(1.0));
    assert_eq!(world.metric("weir_producer_known_batch_ids"), Some(2.0));
}

#[tokio::test]
async fn the_same_id_with_other_bytes_is_refused() {
    let world = World::new().await;
    send(&world, "1", &["one"]).await.expect("is stored");
    let status = send(&world, "1", &["two"]).await.expect_err("is another batch");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "the batch id was used before for a batch with other bytes");
    let other_app = named("1", collection(context("web"), &["two"]));
    world.client().produce_batch(other_app).await.expect("ids are scoped by app");
    assert_eq!(world.journal.stored().len(), 2);
}

#[tokio::test]
async fn retries_wait_for_the_first_and_store_nothing() {
    let world = World::new().await;
    world.journal.set(Mood::Slow);
    let sends = async {
        tokio::join!(send(&world, "1", &["a"]), send(&world, "1", &["a"]), send(&world, "1", &["a"]))
    };
    let journal = async {
        world.journal.asked(1).await;
        world.journal.set(Mood::Good);
    };
    let ((a, b, c), ()) = tokio::join!(sends, journal);
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(world.journal.stored().len(), 1);
}

#[tokio::test]
async fn a_batch_that_was_not_stored_may_be_sent_again() {
    let world = World::new().await;
    world.journal.set(Mood::Full);
    send(&world, "1", &["one"]).await.expect_err("there is no space");
    world.journal.set(Mood::Good);
    send(&world, "1", &["one"]).await.expect("now there is");
    assert_eq!(world.journal.stored().len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_batch_is_stored_finds_it_stored() {
    let world = World::new().await;
    world.journal.set(Mood::Slow);
    {
        let impatient = send(&world, "1", &["one"]);
        tokio::select! {
            _ = impatient => panic!("the journal is slow"),
            () = world.journal.asked(1) => {}
        }
    }
    let retry = send(&world, "1", &["one"]);
    let journal = async {
        world.journal.set(Mood::Good);
    };
    let (answer, ()) = tokio::join!(retry, journal);
    answer.expect("is answered");
    assert_eq!(world.journal.stored().len(), 1);
}

#[tokio::test]
async fn the_window_survives_the_process() {
    let world = World::new().await;
    send(&world, "1", &["one"]).await.expect("is stored");
    let (journal, clock) = (world.journal.clone(), world.clock.clone());
    drop(world);
    clock.advance(Duration::from_secs(600));
    let again = || {
        World::over(
            journal.clone(),
            clock.clone(),
            ProducerSection::default(),
            Limits::default(),
            Records::AsReceived,
        )
    };
    let world = again().await;
    send(&world, "1", &["one"]).await.expect("is answered");
    assert_eq!(journal.stored().len(), 1);
    assert_eq!(send(&world, "1", &["two"]).await.expect_err("other bytes").code(), Code::InvalidArgument);

    clock.advance(Duration::from_secs(301));
    let world = again().await;
    send(&world, "1", &["one"]).await.expect("is stored");
    assert_eq!(journal.stored().len(), 2, "the window is 15 minutes long");
}

#[tokio::test]
async fn a_known_batch_costs_the_app_nothing() {
    let world = World::with(ProducerSection { default_app_tps: Some(1), ..Default::default() }).await;
    for _ in 0..5 {
        send(&world, "1", &["event"; 10]).await.expect("is stored once and answered then");
    }
    assert_eq!(send(&world, "2", &["event"]).await.expect_err("is limited").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn ids_have_a_form() {
    let world = World::new().await;
    for id in ["", &"x".repeat(201)] {
        let status = send(&world, id, &["one"]).await.expect_err("is no id");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "a batch id has 1 to 200 visible ASCII characters");
    }
    send(&world, &"x".repeat(200), &["one"]).await.expect("is an id");
}

#[tokio::test]
async fn http_takes_the_id_from_a_header() {
    let world = World::new().await;
    let path = "POST /api/v1/apps/shop/events";
    let send = async |id, body: &str| request(world.http, path, &[("weir-batch-id", id)], body).await;
    let first = send("1", "one\ntwo\n").await;
    assert_eq!(first.status, 200);
    let expected =
        r#"{"accepted":2,"rejected":0,"rejections":[],"stream":"shop_logs","batch":"1","duplicate":false}"#;
    assert_eq!(first.body, expected);
    let again = send("1", "one\ntwo\n").await;
    assert_eq!((again.status, again.json()["accepted"].as_u64()), (200, Some(2)));
    assert_eq!(again.json()["duplicate"], true);
    let other = send("1", "one\n").await;
    assert_eq!((other.status, other.json()["error"]["code"].as_str()), (409, Some("batch-id-reused")));
    assert_eq!(world.journal.stored_events(), 2);

    let body = r#"{"context":{"kafka_topic":"shop","es_index_prefix":"shop"},"content":{"a":1}}"#;
    let send = async |body: &str| request(world.http, "POST /produce", &[("weir-batch-id", "r")], body).await;
    assert_eq!(send(body).await.status, 200);
    assert_eq!(send(body).await.status, 200);
    assert_eq!(send(&body.replace('1', "2")).await.status, 400);
    assert_eq!(world.journal.stored_events(), 3);
}
