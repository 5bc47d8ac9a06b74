use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weir_fleet::OperatorName;
use weir_redaction::Redactor;

use crate::world::World;

/// A tail as a client sees it.
struct Tail {
    pieces: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    text: String,
}

impl Tail {
    async fn open(world: &World, path: &str) -> Self {
        Self::open_as(world, None, path).await
    }

    /// By somebody who shows a token.
    async fn open_as(world: &World, token: Option<&str>, path: &str) -> Self {
        let shown = token.map(|token| format!("Bearer {token}"));
        let path = format!("/api/v1/tail/{path}");
        let response = world.ask_as(shown.as_deref(), Method::GET, &path, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { pieces: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// The next event: its name and its data; nothing when the tail has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                if let Some(data) = field("data") {
                    let name = field("event").unwrap_or_default().to_owned();
                    return Some((name, serde_json::from_str(data).expect("is JSON")));
                }
                continue;
            }
            let piece = tokio::time::timeout(Duration::from_secs(10), self.pieces.next()).await;
            let piece = piece.expect("something comes")?.expect("the connection holds");
            self.text.push_str(std::str::from_utf8(&piece).expect("is text"));
        }
    }

    async fn numbers(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (name, data) = self.next().await.expect("the tail goes on");
            assert_eq!(name, "", "{data}");
            numbers.push(data["content"]["n"].as_i64().expect("is a number"));
        }
        numbers
    }
}

fn events(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{"n":{n},"odd":{}}}"#, n % 2 == 1)).collect()
}

#[tokio::test]
async fn a_tail_shows_what_comes_after_it_was_opened() {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    world.append(&partition, 0, &events(0..5)).await;
    let mut tail = Tail::open(&world, "shop").await;
    world.append(&partition, 10, &events(5..8)).await;
    assert_eq!(tail.numbers(3).await, [5, 6, 7]);
    world.append(&partition, 20, &events(8..9)).await;
    let (_, hit) = tail.next().await.expect("the tail goes on");
    assert_eq!(hit["id"], format!("shop_logs-{}-0-2.0", partition.incarnation));
    assert_eq!((&hit["stream"], &hit["content"]), (&json!("shop_logs"), &json!({"n": 8, "odd": false})));
}

#[tokio::test]
async fn a_tail_filters_and_ends_at_its_limit() {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    let mut tail = Tail::open(&world, "shop_logs?q=odd:true&limit=2").await;
    world.append(&partition, 0, &events(0..9)).await;
    assert_eq!(tail.numbers(2).await, [1, 3]);
    assert_eq!(tail.next().await, None);
}

#[tokio::test]
async fn a_tail_can_start_in_the_past() {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    for n in 0..40 {
        world.append(&partition, n, &events(n..n + 1)).await;
    }
    let check = async |since: &str, expected: &[i64]| {
        let path = format!("shop?limit={}&since={since}", expected.len());
        assert_eq!(Tail::open(&world, &path).await.numbers(expected.len()).await, expected, "{since}");
    };
    check("2023-11-14T22:13:57Z", &[37, 38, 39]).await;
    check("2023-11-14T22:13:20Z", &[0, 1]).await;
    check("2001-01-01", &[0]).await;
}

#[tokio::test]
async fn a_tail_waits_for_a_stream_that_is_not_there_and_misses_nothing_of_it() {
    let world = World::new().await;
    let mut tail = Tail::open(&world, "shop").await;
    assert_eq!(tail.next().await, Some(("waiting".to_owned(), json!({"stream": "shop_logs"}))));
    let partition = world.create_stream("shop_logs").await;
    world.append(&partition, 0, &events(0..3)).await;
    assert_eq!(tail.numbers(3).await, [0, 1, 2]);
}

#[tokio::test]
async fn what_is_damaged_is_told() {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    for n in 0..3 {
        world.append(&partition, n, &events(n..n + 1)).await;
    }
    world.journal.damage(&partition, weir_model::Offset(1));
    let mut tail = Tail::open(&world, "shop?since=2001-01-01").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(tail.next().await.expect("the tail goes on").0);
    }
    seen.sort();
    assert_eq!(seen, ["", "", "gap"]);
}

#[tokio::test]
async fn a_bad_query_is_refused_before_anything_is_shown() {
    let world = World::new().await;
    let (status, answer) = world.get("/api/v1/tail/shop?q=)").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("bad-query")));
    let (status, _) = world.get("/api/v1/tail/a%20b").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tails_end_when_the_process_drains() {
    let mut world = World::new().await;
    world.create_stream("shop_logs").await;
    let mut tail = Tail::open(&world, "shop").await;
    world.drain().await;
    assert_eq!(tail.next().await, None);
}

#[tokio::test]
async fn too_many_tails_are_refused() {
    let settings = weir_server::ServerSettings { tails: 1, ..weir_server::ServerSettings::default() };
    let world = World::with(settings, |store| store).await;
    let _tail = Tail::open(&world, "shop").await;
    let response = world.ask(Method::GET, "/api/v1/tail/shop", None).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_taken_to_the_end_and_told_what_it_missed() {
    let settings = weir_server::ServerSettings { tail_lag: 50, ..weir_server::ServerSettings::default() };
    let world = World::with(settings, |store| store).await;
    let partition = world.create_stream("shop_logs").await;
    let mut tail = Tail::open(&world, "shop").await;
    // More than the sockets between the two hold while nobody reads.
    let padding = "x".repeat(200_000);
    let total = 400;
    for n in 0..total {
        world.append(&partition, n, &[format!(r#"{{"n":{n},"padding":"{padding}"}}"#)]).await;
        tokio::task::yield_now().await;
    }
    let (mut shown, mut missed) = (0, 0);
    while shown + missed < total {
        let (name, data) = tail.next().await.expect("the tail goes on");
        match name.as_str() {
            "gap" => {
                assert_eq!(data["reason"], "slow-reader");
                missed += data["events"].as_i64().expect("it is counted");
            }
            _ => shown += 1,
        }
    }
    assert_eq!(shown + missed, total);
    assert!(missed > 50, "{shown} shown, {missed} missed");
    world.append(&partition, total, &events(total..total + 1)).await;
    assert_eq!(tail.numbers(1).await, [total]);
}

#[tokio::test]
async fn a_tail_shows_and_finds_only_what_is_redacted() {
    let rules = r#"{"shop": {"JsonPathRules": [{"Name": "P", "Path": "^\\.secret$"}]}}"#;
    let document = weir_redaction::Document::read(rules, weir_redaction::UnknownFields::Refuse);
    let manner = weir_redaction::Manner {
        defaults: weir_redaction::DefaultRules::Merge,
        short_matches: weir_redaction::ShortMatch::Hide,
    };
    let (redactor, _) =
        Redactor::by(&document.expect("are rules"), manner, weir_redaction::RedactionMetrics::default());
    let world = World::redacting(redactor).await;
    let partition = world.create_stream("shop_logs").await;
    let mut all = Tail::open(&world, "shop").await;
    let mut guess = Tail::open(&world, "shop?q=secret:hunter2%20OR%20n:2&limit=1").await;
    let events = [r#"{"n":1,"secret":"hunter2"}"#, r#"{"n":2,"secret":"hunter2"}"#].map(str::to_owned);
    world.append(&partition, 0, &events).await;
    for n in [1, 2] {
        let (_, hit) = all.next().await.expect("the tail goes on");
        assert_eq!(hit["content"], json!({"n": n, "secret": "[P REDACTED]"}));
    }
    assert_eq!(guess.numbers(1).await, [2], "nobody finds out by asking");
    let (_, dump) = world.get("/api/v1/journal/dump/shop/0").await;
    assert_eq!(dump["records"][0]["contents"][0], json!({"n": 1, "secret": "[P REDACTED]"}));
}

#[tokio::test]
async fn a_tail_ends_with_the_token_of_its_operator() {
    let world = World::public().await;
    let partition = world.create_stream("shop_logs").await;
    let [admin, ann] = ["admin", "ann"].map(|name| OperatorName::new(name).expect("a name"));
    let token = world.fleet().create_operator(&ann, None, Some(&admin)).await.expect("there is none").token;
    let mut of_admin = Tail::open_as(&world, Some(world.token()), "shop").await;
    let mut of_ann = Tail::open_as(&world, Some(token.reveal()), "shop").await;
    world.append(&partition, 0, &events(0..2)).await;
    assert_eq!((of_admin.numbers(2).await, of_ann.numbers(2).await), (vec![0, 1], vec![0, 1]));
    world.fleet().remove_operator(&ann, &admin).await.expect("there is another one");
    assert_eq!(of_ann.next().await, None);
    world.append(&partition, 2, &events(2..3)).await;
    assert_eq!(of_admin.numbers(1).await, [2]);
}
