use weir_model::RecordFormat;
use weir_producer::{Compat, ProducerSection};
use weir_wire::proto::producer::TimberCollection;

use crate::harness::World;
use crate::journal::Mood;
use crate::raw::{post, request};

const ONE: &str = r#"{"context":{"kafka_topic":"shop","es_index_prefix":"shop"},"content":{"a":1}}"#;

#[tokio::test]
async fn a_batch_in_json_is_stored_as_protobuf() {
    let world = World::new().await;
    let body = r#"{"context":{"kafkaTopic":"shop","es_index_prefix":"shop","appMaxTps":"7","what":[1,{}]},
        "items":[{"content":{"a":1,"b":{"c":[true,null,"x"]}}},{"content":{"d":"\u00e9"},"timestamp":"2026-01-01T00:00:00Z"}]}"#;
    let answer = post(world.http, "/produce_batch", body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"topic":"shop_logs"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("grpc-metadata-content-type"), Some("application/grpc"));
    let [(_, record)] = &world.journal.stored()[..] else { panic!("one record") };
    assert_eq!((record.format, record.events), (RecordFormat::TimberCollection, Some(2)));
    let stored: TimberCollection = prost::Message::decode(record.value.clone()).expect("is protobuf");
    assert_eq!(stored.context.expect("is kept").app_max_tps, 7);
    assert_eq!(stored.items[1].timestamp, "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_single_event_in_json_is_a_timber() {
    let world = World::new().await;
    let answer = request(world.http, "POST /produce", &[("content-type", "text/css")], ONE).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"topic":"shop_logs"}"#));
    assert_eq!(world.journal.stored()[0].1.format, RecordFormat::Timber);
}

#[tokio::test]
async fn what_can_not_be_read_is_named() {
    let world = World::new().await;
    let check = async |path: &str, body: &[u8], expected: &str| {
        let answer = request(world.http, &format!("POST {path}"), &[], body).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, expected));
    };
    let error = |message: &str| format!(r#"{{"error":"{message}","code":3,"message":"{message}"}}"#);
    check("/produce", b"", &error("`context.kafka_topic`: must not be empty")).await;
    check("/produce", b" \r\n", &error("`context.kafka_topic`: must not be empty")).await;
    check("/produce", b"{}", &error("`context.kafka_topic`: must not be empty")).await;
    check(
        "/produce",
        b"{\"context\":",
        &error("malformed batch: the body is no valid JSON: the text ends too early at byte 11"),
    )
    .await;
    check("/produce_batch", b"[]", &error("malformed batch: `the body` must be an object")).await;
    check("/produce_batch", b"{\"items\":{}}", &error("malformed batch: `items` must be an array")).await;
    assert!(world.journal.stored().is_empty());
}

#[tokio::test]
async fn other_methods_are_answered_as_by_the_gateway() {
    let world = World::new().await;
    let check = async |line: &str, status: u16, body: &str| {
        let answer = request(world.http, line, &[], "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{line}");
    };
    check("GET /produce", 405, "Method Not Allowed").await;
    check("PUT /produce_batch", 405, "Method Not Allowed").await;
}

#[tokio::test]
async fn a_form_is_json_unless_it_stands_for_another_method() {
    let world = World::new().await;
    let check = async |content_type: &str, method: &str, status: u16| {
        let headers = [("content-type", content_type), ("x-http-method-override", method)];
        let answer = request(world.http, "POST /produce", &headers, ONE).await;
        assert_eq!(answer.status, status, "{content_type} {method}");
    };
    let form = "application/x-www-form-urlencoded";
    check(form, "", 200).await;
    check(form, "post", 200).await;
    check(form, "GET", 405).await;
    check("application/json", "GET", 200).await;
    assert_eq!(world.journal.stored().len(), 3);
}

#[tokio::test]
async fn the_gateway_can_be_closed_and_the_other_doors_stay() {
    let world = World::with(ProducerSection { rest_gateway: Some(false), ..Default::default() }).await;
    for path in ["/produce", "/produce_batch"] {
        assert_eq!(post(world.http, path, ONE).await.status, 404, "{path}");
    }
    assert_eq!(post(world.http, "/api/v1/apps/shop/events", "line").await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_resource_exhausted() {
    let section =
        ProducerSection { max_message: Some("1KiB".parse().expect("a size")), ..Default::default() };
    let world = World::with(section).await;
    let answer = post(world.http, "/produce", vec![b' '; 1025]).await;
    assert_eq!(answer.status, 429);
    let message = "received message larger than max (1025 vs. 1024)";
    assert_eq!(answer.body, format!(r#"{{"error":"{message}","code":8,"message":"{message}"}}"#));
    assert_eq!(answer.header("retry-after"), None, "trying again is of no use");
}

#[tokio::test]
async fn a_body_that_takes_too_much_memory_to_read_is_resource_exhausted() {
    let section = ProducerSection {
        max_message: Some("100KiB".parse().expect("a size")),
        memory_budget: Some("300KiB".parse().expect("a size")),
        ..Default::default()
    };
    let world = World::with(section).await;
    let body = |values: usize| {
        let values = "0,".repeat(values);
        format!(
            r#"{{"context":{{"kafka_topic":"shop","es_index_prefix":"shop"}},"content":{{"a":[{values}0]}}}}"#
        )
    };
    let answer = post(world.http, "/produce", body(40_000)).await;
    let message = answer.json()["message"].as_str().map(str::to_owned).unwrap_or_default();
    assert_eq!((answer.status, answer.header("retry-after")), (429, None));
    assert!(message.contains("bytes of memory to read, more than 1228800"), "{message}");
    assert_eq!(post(world.http, "/produce", body(10_000)).await.status, 200);
}

#[tokio::test]
async fn a_journal_without_space_is_unavailable_or_what_barito_said() {
    let check = async |compat, status, code| {
        let world = World::with(ProducerSection { compat: Some(compat), ..Default::default() }).await;
        world.journal.set(Mood::Full);
        let answer = post(world.http, "/produce", ONE).await;
        assert_eq!((answer.status, answer.json()["code"].as_i64()), (status, Some(code)));
        assert_eq!(answer.json()["message"], "the journal has no space left");
        assert_eq!(answer.header("retry-after"), Some("5"));
    };
    check(Compat::Weir, 503, 14).await;
    check(Compat::Barito, 400, 9).await;
}
