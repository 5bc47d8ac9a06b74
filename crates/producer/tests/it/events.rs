use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use weir_model::{RecordFormat, Timestamp};
use weir_producer::ProducerSection;
use weir_wire::compression::{Encoding, compress};

use crate::harness::{World, eventually};
use crate::journal::Mood;
use crate::raw::{Answer, read_answer, request};

async fn send(world: &World, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
    request(world.http, "POST /api/v1/apps/shop/events", &[("content-type", content_type)], body).await
}

/// The contents of everything that is stored, as JSON text.
fn contents(world: &World) -> Vec<String> {
    let mut contents = Vec::new();
    for (_, record) in world.journal.stored() {
        assert_eq!(record.format, RecordFormat::Events);
        let batch =
            weir_wire::decode_record(record.format, &record.value, Timestamp::default()).expect("decodes");
        assert_eq!(batch.index_prefix().as_str(), "shop");
        contents.extend(batch.events().map(|event| match event.content {
            Ok(content) => content.to_string(),
            Err(fault) => fault.to_string(),
        }));
    }
    contents
}

#[tokio::test]
async fn the_content_type_says_how_a_body_is_read() {
    let check = async |content_type: &str, body: &str, expected: &[&str]| {
        let world = World::new().await;
        let answer = send(&world, content_type, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["accepted"].as_u64(), Some(expected.len() as u64));
        assert_eq!(contents(&world), expected, "{content_type} {body}");
    };
    let line = r#"{"message":"{\"a\":1}"}"#;
    check("text/plain; charset=utf-8", "{\"a\":1}\n\nplain\r\n", &[line, r#"{"message":"plain"}"#]).await;
    check("application/x-www-form-urlencoded", "{\"a\":1}\nplain", &[r#"{"a":1}"#, r#"{"message":"plain"}"#])
        .await;
    check(
        "application/x-ndjson",
        "{\"a\":12345678901234567}\n{\"b\":2}\n",
        &[r#"{"a":12345678901234567}"#, r#"{"b":2}"#],
    )
    .await;
    check("application/json", " [{\"a\":1},{\"b\":2}] ", &[r#"{"a":1}"#, r#"{"b":2}"#]).await;
    check("application/json", "{\n \"a\": 1\n}\n", &[r#"{"a":1}"#]).await;
    check("application/json", "{\"a\":1}\n{\"b\":2}\n", &[r#"{"a":1}"#, r#"{"b":2}"#]).await;
}

#[tokio::test]
async fn what_can_not_be_stored_is_named_and_its_neighbours_are_stored() {
    let world = World::new().await;
    let answer =
        send(&world, "application/jsonl", b"{\"a\":1}\n{\"b\":\n\n[1]\n{}\n{\"c\":\"\xff\"}\n{\"d\":4}\n")
            .await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!((json["accepted"].as_u64(), json["rejected"].as_u64()), (Some(2), Some(4)));
    let rejections = json["rejections"].as_array().expect("is a list");
    let named: Vec<_> = rejections
        .iter()
        .map(|rejection| {
            let reason = rejection["reason"].as_str().expect("is text");
            (
                rejection["index"].as_u64().expect("a number"),
                rejection["line"].as_u64().expect("a number"),
                reason,
            )
        })
        .collect();
    assert_eq!(named[0], (1, 2, "the text ends too early at byte 5"));
    assert_eq!(named[1], (2, 4, "not a JSON object"));
    assert_eq!(named[2], (3, 5, "the object has no members"));
    assert_eq!(named[3], (4, 6, "not valid UTF-8"));
    assert_eq!(contents(&world), [r#"{"a":1}"#, r#"{"d":4}"#]);
}

#[tokio::test]
async fn bad_values_are_named() {
    let world = World::new().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    for (body, reason) in [
        (deep.as_str(), "nested more than 64 deep at byte 320"),
        ("{\"a\":NaN}", "expected a value at byte 5"),
        ("{\"a\":Infinity}", "expected a value at byte 5"),
    ] {
        let answer = send(&world, "application/x-ndjson", body).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("nothing-stored")));
        assert_eq!(answer.json()["rejections"][0]["reason"], reason);
    }
    assert!(world.journal.stored().is_empty());
}

#[tokio::test]
async fn odd_but_legal_contents_are_stored() {
    let world = World::new().await;
    let many: Vec<String> = (0..10_000).map(|key| format!("\"k{key}\":{key}")).collect();
    let bodies = [r#"{"a.b":1}"#, r#"{"":1}"#, r#"{"a":1,"a":2}"#, &format!("{{{}}}", many.join(","))];
    for body in bodies {
        assert_eq!(send(&world, "application/x-ndjson", body).await.status, 200, "{body}");
    }
    assert_eq!(world.journal.stored_events(), 4);
}

#[tokio::test]
async fn a_body_that_is_no_json_array_is_refused_whole() {
    let world = World::new().await;
    let check = async |body: &[u8], message: &str| {
        let answer = send(&world, "application/json", body).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("malformed-batch")));
        assert_eq!(answer.json()["error"]["message"], message);
    };
    check(b"[{\"a\":1},", "malformed body: the text ends too early at byte 9").await;
    check(b"[\"\xff\"]", "malformed body: the body is not valid UTF-8 at byte 2").await;
    assert!(world.journal.stored().is_empty());
}

#[tokio::test]
async fn an_empty_body_is_an_empty_batch() {
    let world = World::new().await;
    for content_type in ["text/plain", "application/json", "application/x-ndjson", ""] {
        let answer = send(&world, content_type, "").await;
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(0)), "{content_type}");
    }
    assert_eq!(send(&world, "application/json", "[]").await.status, 200);
    assert!(world.journal.specs().is_empty());
}

#[tokio::test]
async fn an_app_needs_a_name_that_can_be_an_index() {
    let world = World::new().await;
    let check = async |path: &str, message: &str| {
        let answer = request(world.http, &format!("POST /api/v1/apps/{path}/events"), &[], "a").await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("bad-app-name")));
        assert_eq!(answer.json()["error"]["message"], message);
    };
    check("Shop", "`Shop` is no name of an app: it must not contain `S` (position 0)").await;
    check("..", "`..` is no name of an app: it must not start with `.`").await;
    check("a%2Fb", "`a/b` is no name of an app: it must not contain `/` (position 1)").await;
    check("a+b", "`a+b` is no name of an app: a stream name must not contain `+` (position 1)").await;
    let answer = request(world.http, "GET /api/v1/apps/shop/events", &[], "").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (405, Some("method-not-allowed")));
}

#[tokio::test]
async fn a_body_of_any_length_is_stored_in_parts() {
    let section = ProducerSection {
        max_message: Some("2MiB".parse().expect("a size")),
        memory_budget: Some("6MiB".parse().expect("a size")),
        ..ProducerSection::default()
    };
    let world = World::with(section).await;
    let line = format!("{}\n", "x".repeat(999));
    let answer = send(&world, "text/plain", line.repeat(20_000)).await;
    assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(20_000)), "{}", answer.body);
    assert_eq!(world.journal.stored_events(), 20_000);
    assert!(world.journal.stored().iter().all(|(_, record)| record.value.len() <= (1 << 20) + 20_000));
    assert_eq!(world.metric("weir_producer_budget_used_bytes"), Some(0.0));

    let short = send(&world, "text/plain", "a\n".repeat(10_000)).await;
    assert_eq!(short.json()["accepted"].as_u64(), Some(10_000));
    assert!(
        world.journal.stored().iter().all(|(_, record)| record.events.is_some_and(|events| events <= 4096))
    );
}

#[tokio::test]
async fn a_line_that_does_not_end_keeps_its_share_of_the_budget() {
    let world = World::new().await;
    let line = 4 << 20;
    let mut stream = open(&world, 8 << 20).await;
    stream.write_all(&vec![b'x'; line]).await.expect("is taken");
    let used = || world.metric("weir_producer_budget_used_bytes").expect("is exposed");
    eventually("the line is reserved", || used() >= line as f64).await;
    drop(stream);
    eventually("what the client held is free", || used() == 0.0).await;
}

#[tokio::test]
async fn a_batch_of_more_than_a_million_events_is_refused() {
    let world = World::new().await;
    let lines = compress(Encoding::Gzip, &b"a\n".repeat(1_000_001)).expect("in memory");
    let headers = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    let answer = request(world.http, "POST /api/v1/apps/shop/events", &headers, lines).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("too-large")));
    assert_eq!(answer.json()["error"]["message"], "the batch has more than 1000000 events");
    assert_eq!(world.journal.stored(), []);
}

#[tokio::test]
async fn a_line_over_the_limit_is_left_out() {
    let section =
        ProducerSection { max_message: Some("1KiB".parse().expect("a size")), ..Default::default() };
    let world = World::with(section).await;
    let body = format!("one\n{}\nthree\n", "x".repeat(5000));
    let json = send(&world, "text/plain", body).await.json();
    assert_eq!((json["accepted"].as_u64(), json["rejected"].as_u64()), (Some(2), Some(1)));
    assert_eq!(
        (json["rejections"][0]["index"].as_u64(), json["rejections"][0]["line"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(json["rejections"][0]["reason"], "longer than 1KiB");
}

#[tokio::test]
async fn one_batch_is_bounded_and_the_limit_is_named() {
    let section =
        ProducerSection { max_message: Some("1KiB".parse().expect("a size")), ..Default::default() };
    let world = World::with(section).await;
    let body = format!("[\"{}\"]", "x".repeat(1021));
    let answer = send(&world, "application/json", body).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("too-large")));
    assert_eq!(answer.json()["error"]["message"], "received message larger than max (1025 vs. 1024)");
}

#[tokio::test]
async fn a_failure_says_what_is_durable() {
    let world = World::new().await;
    let mut stream = open(&world, 3 << 20).await;
    let line = format!("{}\n", "x".repeat(1023));
    stream.write_all(line.repeat(1024).as_bytes()).await.expect("is taken");
    eventually("the first part is stored", || world.journal.stored_events() == 1024).await;
    world.journal.set(Mood::Full);
    stream.write_all(line.repeat(1024).as_bytes()).await.expect("is taken");
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    let json = answer.json();
    assert_eq!(
        (json["error"]["code"].as_str(), json["accepted"].as_u64()),
        (Some("journal-full"), Some(1024))
    );
}

#[tokio::test]
async fn a_client_that_disappears_leaves_no_half_line() {
    let world = World::new().await;
    let mut stream = open(&world, 3 << 20).await;
    let line = format!("{}\n", "x".repeat(1023));
    stream.write_all(line.repeat(1024).as_bytes()).await.expect("is taken");
    stream.write_all(b"whole\nhal").await.expect("is taken");
    eventually("the first part is stored", || world.journal.stored_events() == 1024).await;
    drop(stream);
    eventually("the request is gone", || world.metric("weir_producer_budget_used_bytes") == Some(0.0)).await;
    assert_eq!(world.journal.stored_events(), 1024);
}

#[tokio::test]
async fn a_long_body_is_slowed_down_to_the_rate_of_its_app() {
    let world = World::with(ProducerSection { default_app_tps: Some(10), ..Default::default() }).await;
    let upload = send(&world, "text/plain", "line\n".repeat(250));
    let time = async {
        for stored in [100, 200] {
            eventually("a part is stored", || world.journal.stored_events() == stored).await;
            world.clock.sleepers(1).await;
            world.clock.advance(Duration::from_secs(10));
        }
    };
    let (answer, ()) = tokio::join!(upload, time);
    assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(250)), "{}", answer.body);
    let answer = send(&world, "text/plain", "line\n".repeat(100)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")), "a new request is refused");
}

/// Starts a request for lines with a body of `length` bytes.
async fn open(world: &World, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(world.http).await.expect("the door is open");
    let head = format!(
        "POST /api/v1/apps/shop/events HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the door takes the head");
    stream
}
