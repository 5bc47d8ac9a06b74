use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

fn numbers(answer: &Value) -> Vec<i64> {
    let hits = answer["hits"].as_array().expect("there are hits");
    hits.iter().map(|hit| hit["content"]["n"].as_i64().expect("is a number")).collect()
}

#[tokio::test]
async fn pages_are_newest_first_and_meet_without_gap() {
    let world = World::new().await;
    world.shop(25).await;
    let mut seen = Vec::new();
    let mut path = "/api/v1/search?prefix=shop&limit=10".to_owned();
    loop {
        let (status, answer) = world.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        seen.extend(numbers(&answer));
        let Some(next) = answer["next"].as_str() else { break };
        path = format!("/api/v1/search?prefix=shop&limit=10&after={next}");
    }
    assert_eq!(seen, (0..25).rev().collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_hit_has_its_identity_and_both_times() {
    let world = World::new().await;
    let partition = world.shop(3).await;
    let (_, answer) = world.get("/api/v1/search?prefix=shop&q=n:2").await;
    let hit = &answer["hits"][0];
    assert_eq!(hit["stream"], "shop_logs");
    assert_eq!(hit["id"], format!("shop_logs-{}-0-0.2", partition.incarnation));
    assert_eq!(hit["time"], "2023-11-14T22:13:22Z");
    assert_eq!(hit["received"], "2023-11-14T22:13:20Z");
    assert_eq!(hit["content"], json!({"n": 2, "level": "info", "service": "cart"}));
}

#[tokio::test]
async fn get_and_post_ask_the_same() {
    let world = World::new().await;
    world.shop(20).await;
    let (_, got) = world
        .get(
            "/api/v1/search?prefix=shop&q=level:error&limit=0&count=true&histogram=10s&top=level&top_limit=3",
        )
        .await;
    let asked = json!({
        "prefix": "shop", "q": "level:error", "limit": 0, "count": true,
        "histogram": "10s", "top": "level", "top_limit": 3,
    });
    let (_, posted) = world.post("/api/v1/search", asked).await;
    for answer in [got, posted] {
        assert_eq!(answer["total"], 4);
        assert_eq!(answer["hits"], json!([]));
        assert_eq!(answer["top"], json!([{"value": "error", "count": 4}]));
        assert_eq!(
            answer["histogram"],
            json!({"interval_micros": 10_000_000, "buckets": [
                {"start": "2023-11-14T22:13:20Z", "count": 2},
                {"start": "2023-11-14T22:13:30Z", "count": 2},
            ]}),
        );
    }
}

#[tokio::test]
async fn times_are_read_in_the_zone_that_is_named() {
    let world = World::new().await;
    world.shop(20).await;
    let check = async |range: &str, expected: usize| {
        let (status, answer) = world.get(&format!("/api/v1/search?prefix=shop&{range}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(numbers(&answer).len(), expected, "{range}");
    };
    check("from=2023-11-14T22:13:25Z", 15).await;
    check("from=2023-11-14T22:13:25Z&to=2023-11-14T22:13:30Z", 5).await;
    check("from=2023-11-14T23:13:25&zone=Europe/Berlin", 15).await;
    check("from=2023-11-14T23:13:25", 0).await;
    check("from=1h", 0).await;
}

#[tokio::test]
async fn lines_hold_hits_and_the_rest_is_in_headers() {
    let world = World::new().await;
    let partition = world.shop(3).await;
    let ask = async |format: &str| {
        let path = format!("/api/v1/search?prefix=shop&limit=2&count=true&format={format}");
        let response = world.ask(Method::GET, &path, None).await;
        let header = |name: &str| response.headers()[name].to_str().expect("is text").to_owned();
        let headers = (header("content-type"), header("weir-total"));
        assert!(response.headers().contains_key("weir-next"));
        let body = response.text().await.expect("the answer is whole");
        (headers, body.replace(&partition.incarnation.to_string(), "<incarnation>"))
    };
    let ((content_type, total), body) = ask("ndjson").await;
    assert_eq!((&*content_type, &*total), ("application/x-ndjson", "3"));
    insta::assert_snapshot!(body, @r#"
    {"id":"shop_logs-<incarnation>-0-0.2","stream":"shop_logs","time":"2023-11-14T22:13:22Z","received":"2023-11-14T22:13:20Z","content":{"n":2,"level":"info","service":"cart"}}
    {"id":"shop_logs-<incarnation>-0-0.1","stream":"shop_logs","time":"2023-11-14T22:13:21Z","received":"2023-11-14T22:13:20Z","content":{"n":1,"level":"info","service":"cart"}}
    "#);
    let ((content_type, _), body) = ask("csv").await;
    assert_eq!(content_type, "text/csv; charset=utf-8; header=present");
    insta::assert_snapshot!(body, @r#"
    id,stream,time,received,content
    shop_logs-<incarnation>-0-0.2,shop_logs,2023-11-14T22:13:22Z,2023-11-14T22:13:20Z,"{""n"":2,""level"":""info"",""service"":""cart""}"
    shop_logs-<incarnation>-0-0.1,shop_logs,2023-11-14T22:13:21Z,2023-11-14T22:13:20Z,"{""n"":1,""level"":""info"",""service"":""cart""}"
    "#);
}

#[tokio::test]
async fn what_can_not_be_asked_is_refused_by_name() {
    let world = World::new().await;
    let check = async |query: &str, code: &str| {
        let (status, answer) = world.get(&format!("/api/v1/search?{query}")).await;
        assert_eq!(
            (status, answer["error"]["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some(code)),
            "{answer}"
        );
    };
    check("", "bad-parameter").await;
    check("prefix=Shop", "bad-parameter").await;
    check("prefix=shop&limit=10001", "bad-parameter").await;
    check("prefix=shop&limit=-1", "bad-parameter").await;
    check("prefix=shop&limt=1", "bad-parameter").await;
    check("prefix=shop&top=a&top_limit=0", "bad-parameter").await;
    check("prefix=shop&histogram=10", "bad-parameter").await;
    check("prefix=shop&histogram=1us", "bad-parameter").await;
    check("prefix=shop&histogram=1m&format=csv", "bad-parameter").await;
    check("prefix=shop&zone=Mars/Olympus&from=2026-01-01", "bad-parameter").await;
    check("prefix=shop&from=1h&to=2h", "bad-parameter").await;
    check("prefix=shop&from=soon", "bad-time").await;
    check("prefix=shop&after=x", "bad-cursor").await;
}

#[tokio::test]
async fn a_bad_query_is_answered_with_the_column_and_what_was_expected() {
    let world = World::new().await;
    let (status, answer) = world.get("/api/v1/search?prefix=shop&q=level:error%20)%20x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = &answer["error"];
    assert_eq!((&error["code"], &error["column"]), (&json!("bad-query"), &json!(13)), "{answer}");
    assert!(error["expected"].as_str().is_some_and(|expected| !expected.is_empty()), "{answer}");
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_have_the_same_body_as_all_errors() {
    let world = World::new().await;
    let (status, answer) = world.get("/api/v1/nothing").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not-found")));
    let (status, answer) = world.post("/api/v1/streams", json!({})).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("method-not-allowed"))
    );
    let elsewhere = world.ask(Method::GET, "/nothing", None).await;
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(elsewhere.text().await.expect("is whole"), "Not Found");
}
