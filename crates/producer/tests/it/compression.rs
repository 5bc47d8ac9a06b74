use tonic::Code;
use tonic::codec::CompressionEncoding;
use weir_producer::ProducerSection;
use weir_wire::compression::{Encoding, compress};

use crate::harness::{World, collection, context};
use crate::raw::{frame, grpc, request};

fn packed(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    compress(encoding, body).expect("compresses")
}

#[tokio::test]
async fn grpc_takes_gzip_and_zstd() {
    let world = World::new().await;
    let long = "lorem ipsum ".repeat(10_000);
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = world.client().send_compressed(encoding).accept_compressed(encoding);
        let batch = collection(context("shop"), &["one", &long]);
        let answer = client.produce_batch(batch.clone()).await.expect("is taken");
        assert_eq!(answer.into_inner().topic, "shop_logs");
        let (_, record) = world.journal.stored().pop().expect("is stored");
        assert_eq!(&record.value[..], prost::Message::encode_to_vec(&batch));
    }
    assert_eq!(world.metric("weir_producer_budget_used_bytes"), Some(0.0));
}

#[tokio::test]
async fn an_unknown_encoding_is_unimplemented() {
    let world = World::new().await;
    let answer = grpc(world.grpc, "Produce", &[("grpc-encoding", "br")], &frame(1, b"x")).await;
    assert_eq!(answer.header("grpc-status"), Some("12"));
    assert_eq!(answer.header("grpc-accept-encoding"), Some("identity,gzip,zstd"));
    let answer = request(world.http, "POST /produce", &[("content-encoding", "br")], "x").await;
    assert_eq!(answer.status, 501);
    let path = "POST /api/v1/apps/shop/events";
    let answer = request(world.http, path, &[("content-encoding", "br")], "x").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (415, Some("unknown-encoding")));
}

#[tokio::test]
async fn corrupt_compression_is_the_callers_mistake() {
    let world = World::new().await;
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let whole = packed(encoding, &b"some bytes ".repeat(100));
        let cut = &whole[..whole.len() - 3];
        let other_magic = [&[whole[0] ^ 0xff], &whole[1..]].concat();
        for body in [cut, &other_magic, b"no such data", b""] {
            let answer =
                grpc(world.grpc, "Produce", &[("grpc-encoding", encoding.as_str())], &frame(1, body)).await;
            assert_eq!(answer.header("grpc-status"), Some("3"), "{encoding}");
            let headers = [("content-encoding", encoding.as_str())];
            let answer = request(world.http, "POST /produce", &headers, body).await;
            assert_eq!((answer.status, answer.json()["code"].as_i64()), (400, Some(3)), "{encoding}");
            let answer = request(world.http, "POST /api/v1/apps/shop/events", &headers, body).await;
            let code = answer.json()["error"]["code"].as_str().map(str::to_owned);
            assert_eq!((answer.status, code.as_deref()), (400, Some("malformed-compression")), "{encoding}");
        }
    }
    assert!(world.journal.stored().is_empty());
    assert_eq!(world.metric("weir_producer_budget_used_bytes"), Some(0.0));
}

#[tokio::test]
async fn a_bomb_is_refused_without_being_unpacked() {
    let world = World::new().await;
    let zeros = vec![b'0'; 30_000_000];
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let bomb = packed(encoding, &zeros);
        let answer =
            grpc(world.grpc, "Produce", &[("grpc-encoding", encoding.as_str())], &frame(1, &bomb)).await;
        assert_eq!(answer.header("grpc-status"), Some("8"));
        let message = answer.header("grpc-message").expect("there is one").replace("%20", " ");
        assert_eq!(message, "received message after decompression larger than max 20000000");
        let headers = [("content-encoding", encoding.as_str())];
        let answer = request(world.http, "POST /api/v1/apps/shop/events", &headers, &bomb).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("too-large")));
    }
}

#[tokio::test]
async fn decompression_stays_within_the_budget() {
    let section = ProducerSection {
        max_message: Some("1MB".parse().expect("a size")),
        memory_budget: Some("3MB".parse().expect("a size")),
        ..ProducerSection::default()
    };
    let world = World::with(section).await;
    let batch = collection(context("shop"), &["0".repeat(999_000).as_str()]);
    let mut client = world.client().send_compressed(CompressionEncoding::Zstd);
    client.produce_batch(batch.clone()).await.expect("fits alone");
    let larger = collection(context("shop"), &["0".repeat(1_000_000).as_str()]);
    assert_eq!(client.produce_batch(larger).await.expect_err("too large").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn gzip_is_recognised_where_no_header_says_so() {
    let world = World::new().await;
    let body =
        br#"{"context":{"kafka_topic":"shop","es_index_prefix":"shop"},"items":[{"content":{"a":1}}]}"#;
    let answer = request(world.http, "POST /produce_batch", &[], packed(Encoding::Gzip, body)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"topic":"shop_logs"}"#));
    let answer =
        request(world.http, "POST /api/v1/apps/shop/events", &[], packed(Encoding::Gzip, b"a\nb\n")).await;
    assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(2)));
}

#[tokio::test]
async fn the_events_door_takes_gzip_and_zstd() {
    let world = World::new().await;
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let headers = [("content-encoding", encoding.as_str())];
        let body = packed(encoding, b"one\ntwo\n");
        let answer = request(world.http, "POST /api/v1/apps/shop/events", &headers, body).await;
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(2)));
    }
}
