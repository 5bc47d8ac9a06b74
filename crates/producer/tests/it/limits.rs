use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use weir_journal::{Journal as _, StreamSpec};
use weir_model::StreamName;
use weir_producer::ProducerSection;
use weir_wire::proto::producer::TimberContext;

use crate::harness::{World, collection, context};
use crate::raw::post;

const TEN: [&str; 10] = ["event"; 10];

fn limited(tps: i32) -> TimberContext {
    TimberContext { app_max_tps: tps, ..context("shop") }
}

async fn send(world: &World, context: TimberContext) -> Result<(), Status> {
    world.client().produce_batch(collection(context, &TEN)).await.map(drop)
}

async fn is_limited(world: &World, context: TimberContext) -> bool {
    match send(world, context).await {
        Ok(()) => false,
        Err(status) => {
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(status.message(), "Bandwidth Limit Exceeded");
            true
        }
    }
}

#[tokio::test]
async fn an_app_over_its_rate_is_refused_whole_and_told_when_to_come_back() {
    let world = World::new().await;
    send(&world, limited(1)).await.expect("a window of events is there at once");
    let status = send(&world, limited(1)).await.expect_err("the bucket is empty");
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "Bandwidth Limit Exceeded"));
    // google.rpc.RetryInfo with a delay of 10 seconds.
    let retry =
        [b"type.googleapis.com/google.rpc.RetryInfo".as_slice(), &[0x12, 4, 0x0a, 2, 0x08, 10]].concat();
    assert!(status.details().windows(retry.len()).any(|window| window == retry), "{:?}", status.details());
    assert_eq!(world.journal.stored_events(), 10);

    world.clock.advance(Duration::from_secs(10));
    send(&world, limited(1)).await.expect("the bucket is full again");
    let name = r#"barito_producer_tps_exceeded_total{topic="shop_logs"}"#;
    assert_eq!(world.metric(name), Some(10.0));
    let bytes = collection(limited(1), &TEN).encoded_len() as f64;
    let name = r#"barito_producer_tps_exceeded_log_bytes{app_name="shop"}"#;
    assert_eq!(world.metric(name), Some(bytes));
}

#[tokio::test]
async fn a_batch_that_can_never_fit_is_given_no_delay() {
    let world = World::new().await;
    let eleven = collection(limited(1), &["event"; 11]);
    let status = world.client().produce_batch(eleven).await.expect_err("never fits");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("rate-limited") && !details.contains("RetryInfo"), "{details}");
    assert_eq!(world.metric(r#"barito_producer_tps_exceeded_total{topic="other"}"#), Some(11.0));
}

#[tokio::test]
async fn the_operator_has_the_last_word() {
    let section = ProducerSection {
        default_app_tps: Some(1),
        max_app_tps: Some(2),
        app_tps: Some(BTreeMap::from([("vip".into(), 100)])),
        ..ProducerSection::default()
    };
    let world = World::with(section).await;
    let check = async |topic: &str, asked: i32, batches: usize| {
        let context = TimberContext { app_max_tps: asked, ..context(topic) };
        for _ in 0..batches {
            assert!(!is_limited(&world, context.clone()).await, "{topic}");
        }
        assert!(is_limited(&world, context).await, "{topic}");
    };
    check("absent", 0, 1).await;
    check("asks", 2, 2).await;
    check("greedy", 1_000_000, 2).await;
    check("vip", 3, 3).await;
}

#[tokio::test]
async fn without_limits_nothing_is_limited() {
    let world = World::new().await;
    for _ in 0..50 {
        assert!(!is_limited(&world, limited(0)).await);
    }
}

#[tokio::test]
async fn a_group_shares_one_bucket() {
    let world = World::new().await;
    let group = |topic: &str| TimberContext { disable_app_tps: true, app_group_max_tps: 2, ..context(topic) };
    assert!(!is_limited(&world, group("a")).await);
    assert!(!is_limited(&world, group("b")).await);
    assert!(is_limited(&world, group("c")).await);
    assert!(!is_limited(&world, context("c")).await, "who is not in the group is not limited");
}

#[tokio::test]
async fn what_the_operator_allows_an_app_holds_in_a_group_as_well() {
    let section = ProducerSection {
        app_tps: Some(BTreeMap::from([("noisy".into(), 1), ("vip".into(), 100)])),
        ..ProducerSection::default()
    };
    let world = World::with(section).await;
    let group = |topic: &str| TimberContext { disable_app_tps: true, ..context(topic) };
    assert!(!is_limited(&world, group("noisy")).await);
    assert!(is_limited(&world, group("noisy")).await);
    assert!(!is_limited(&world, group("vip")).await && !is_limited(&world, group("other")).await);
}

#[tokio::test]
async fn rest_says_the_same_with_retry_after() {
    let world = World::new().await;
    let body = r#"{"context":{"kafka_topic":"shop","es_index_prefix":"shop","app_max_tps":1},
                   "items":[{"content":{"a":1}},{"content":{"a":2}},{"content":{"a":3}},{"content":{"a":4}}]}"#;
    assert_eq!(post(world.http, "/produce_batch", body).await.status, 200);
    assert_eq!(post(world.http, "/produce_batch", body).await.status, 200);
    let answer = post(world.http, "/produce_batch", body).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")));
    let expected = r#"{"error":"Bandwidth Limit Exceeded","code":8,"message":"Bandwidth Limit Exceeded"}"#;
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn an_app_has_no_more_streams_made_than_the_operator_allows() {
    let world = World::with(ProducerSection { max_app_streams: Some(2), ..ProducerSection::default() }).await;
    let of = |secret: &str, topic: &str| TimberContext { app_secret: secret.into(), ..context(topic) };
    for topic in ["first", "second"] {
        send(&world, of("shop", topic)).await.expect("two may be made");
    }
    let status = send(&world, of("shop", "third")).await.expect_err("the third may not");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "stream `third_logs` would be one more than the 2 that one app may have made"
    );
    assert_eq!(
        world.metric(r#"weir_producer_refused_batches_total{door="grpc",reason="too-many-streams"}"#),
        Some(1.0)
    );
    for topic in ["third", "fourth"] {
        send(&world, of("web", topic)).await.expect("another app has its own");
    }
    send(&world, of("shop", "third")).await.expect("a stream that is there may be used");
    let before = StreamName::new("before_logs").expect("is legal");
    world.journal.create_stream(StreamSpec::new(before)).await.expect("it can be made");
    send(&world, of("shop", "before")).await.expect("also one that was made by somebody else");
}
