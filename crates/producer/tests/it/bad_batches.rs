use tonic::{Code, Status};
use weir_producer::{Compat, ProducerSection};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::harness::{World, collection, context, timber};
use crate::raw::{frame, grpc};

async fn refused(world: &World, context: Option<TimberContext>) -> (Code, String) {
    let batch = TimberCollection { context, items: vec![timber("one")] };
    let status: Status = world.client().produce_batch(batch).await.expect_err("is refused");
    assert!(world.journal.stored().is_empty());
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn a_context_that_can_not_be_used_names_its_field() {
    let world = World::new().await;
    let check = async |context: Option<TimberContext>, expected: &str| {
        let (code, message) = refused(&world, context).await;
        assert_eq!((code, message.as_str()), (Code::InvalidArgument, expected));
    };
    let topic = |topic: &str| Some(TimberContext { kafka_topic: topic.into(), ..context("shop") });
    let prefix = |prefix: &str| Some(TimberContext { es_index_prefix: prefix.into(), ..context("shop") });
    check(None, "`context.kafka_topic`: must not be empty").await;
    check(topic(""), "`context.kafka_topic`: must not be empty").await;
    check(topic(".."), "`context.kafka_topic`: `..` is no stream name").await;
    check(topic("a/b"), "`context.kafka_topic`: a stream name must not contain `/` (position 1)").await;
    check(topic("caf\u{e9}"), r"`context.kafka_topic`: a stream name must not contain `\u{e9}` (position 3)")
        .await;
    let long = "a".repeat(250);
    check(topic(&long), "`context.kafka_topic`: a stream name has at most 249 characters, this one has 250")
        .await;
    let long = "a".repeat(245);
    check(topic(&long), "`context.kafka_topic`: a stream name has at most 249 characters, this one has 250")
        .await;
    check(prefix(""), "`context.es_index_prefix`: must not be empty").await;
    check(prefix("Shop"), "`context.es_index_prefix`: must not contain `S` (position 0)").await;
    check(prefix(".."), "`context.es_index_prefix`: must not start with `.`").await;
    let negative = TimberContext { app_max_tps: -1, ..context("shop") };
    check(Some(negative), "`context.app_max_tps`: must not be negative, is -1").await;
    let negative = TimberContext { disable_app_tps: true, app_group_max_tps: i32::MIN, ..context("shop") };
    check(Some(negative), "`context.app_group_max_tps`: must not be negative, is -2147483648").await;
    assert_eq!(
        world.metric(r#"weir_producer_refused_batches_total{door="grpc",reason="bad-context"}"#),
        Some(12.0)
    );
}

#[tokio::test]
async fn a_huge_rate_is_a_rate() {
    let world = World::new().await;
    let context = TimberContext { app_max_tps: i32::MAX, ..context("shop") };
    world.client().produce_batch(collection(context, &["one"])).await.expect("is taken");
}

#[tokio::test]
async fn a_negative_rate_admits_nothing_for_clients_of_barito() {
    let world = World::with(ProducerSection { compat: Some(Compat::Barito), ..Default::default() }).await;
    let (code, message) = refused(&world, Some(TimberContext { app_max_tps: -1, ..context("shop") })).await;
    assert_eq!((code, message.as_str()), (Code::ResourceExhausted, "Bandwidth Limit Exceeded"));
}

#[tokio::test]
async fn bytes_that_are_no_protobuf_are_refused() {
    let world = World::new().await;
    let whole = prost::Message::encode_to_vec(&collection(context("shop"), &["one"]));
    let check = async |method: &str, bytes: &[u8], expected: &str| {
        let answer = grpc(world.grpc, method, &[], &frame(0, bytes)).await;
        let message = answer.header("grpc-message").unwrap_or_default().replace("%20", " ");
        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("3")), "{message}");
        assert!(message.contains(expected), "{message}");
    };
    check("ProduceBatch", &whole[..whole.len() - 1], "malformed batch: malformed protobuf at byte").await;
    check("ProduceBatch", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "malformed protobuf at byte 0")
        .await;
    // Field 2 of the context, which is field 1, is a topic that is no UTF-8.
    check("ProduceBatch", b"\x0a\x03\x0a\x01\xff", "not valid UTF-8").await;
    check("Produce", b"\x0b", "malformed protobuf").await;
    assert!(world.journal.stored().is_empty());
}

#[tokio::test]
async fn a_request_that_is_not_one_message_is_refused() {
    let world = World::new().await;
    let whole = prost::Message::encode_to_vec(&collection(context("shop"), &["one"]));
    let check = async |body: &[u8]| {
        let answer = grpc(world.grpc, "ProduceBatch", &[], body).await;
        let message = answer.header("grpc-message").unwrap_or_default().replace("%20", " ");
        assert_eq!(answer.header("grpc-status"), Some("3"), "{message}");
        assert_eq!(message, "the request is not one gRPC message");
    };
    check(b"").await;
    check(b"\0\0\0").await;
    check(&frame(7, &whole)).await;
    check(&frame(1, &whole)).await;
    check(&frame(0, &whole)[..20]).await;
    check(&[frame(0, &whole), frame(0, &whole)].concat()).await;
    assert!(world.journal.stored().is_empty());
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_head() {
    let world = World::new().await;
    // Only the head of the frame is ever sent.
    let head = [&[0][..], &20_000_001_u32.to_be_bytes()].concat();
    let answer = grpc(world.grpc, "ProduceBatch", &[], &head).await;
    assert_eq!(answer.header("grpc-status"), Some("8"));
    let message = answer.header("grpc-message").expect("there is one").replace("%20", " ");
    assert_eq!(message, "received message larger than max (20000001 vs. 20000000)");
}

#[tokio::test]
async fn items_that_can_not_be_stored_do_not_harm_their_neighbours() {
    let world = World::new().await;
    let without_kind =
        prost_types::Struct { fields: [("a".into(), prost_types::Value { kind: None })].into() };
    let batch = TimberCollection {
        context: Some(context("shop")),
        items: vec![
            timber("one"),
            Timber::default(),
            Timber { content: Some(without_kind), ..Timber::default() },
        ],
    };
    world.client().produce_batch(batch).await.expect("what barito-flow accepts is accepted");
    assert_eq!(world.journal.stored_events(), 3);
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so() {
    let world = World::new().await;
    let answer = crate::raw::post(world.grpc, "/producer.Producer/Produce", "").await;
    assert_eq!(answer.status, 415);
    let answer = grpc(world.grpc, "Destroy", &[], &frame(0, b"")).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("12")));
}

#[tokio::test]
async fn a_batch_of_too_many_events_is_refused() {
    let world = World::new().await;
    let batch = |events: usize| TimberCollection {
        context: Some(TimberContext { app_max_tps: i32::MAX, ..context("shop") }),
        items: vec![Timber::default(); events],
    };
    let status = world.client().produce_batch(batch(1_000_001)).await.expect_err("is refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "the batch has more than 1000000 events");
    assert!(world.journal.stored().is_empty());
    world.client().produce_batch(batch(1_000_000)).await.expect("is taken");
}
