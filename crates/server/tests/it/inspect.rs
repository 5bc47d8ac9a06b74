use reqwest::{Method, StatusCode};
use serde_json::json;
use weir_journal::{Commit, Journal, StreamPattern};
use weir_model::Offset;

use crate::world::{World, json as body};

#[tokio::test]
async fn streams_say_what_the_journal_holds() {
    let world = World::new().await;
    let partition = world.shop(7).await;
    world.append(&partition, 10, &[r#"{"n":7}"#.to_owned()]).await;
    let (status, answer) = world.get("/api/v1/streams").await;
    assert_eq!(status, StatusCode::OK);
    let stream = &answer["streams"][0];
    assert_eq!((&stream["stream"], &stream["events"]), (&json!("shop_logs"), &json!(8)));
    assert_eq!(stream["partitions"][0]["end"], 2);
    assert_eq!(stream["partitions"][0]["end_event"], 8);
}

#[tokio::test]
async fn indices_have_a_prefix_and_a_day() {
    let world = World::new().await;
    world.shop(7).await;
    let (_, answer) = world.get("/api/v1/indices").await;
    let index = &answer["indices"][0];
    assert_eq!(index["index"], "shop-2023.11.14");
    assert_eq!((&index["day"], &index["events"]), (&json!("2023-11-14"), &json!(7)));
    let (_, answer) = world.get("/api/v1/indices?prefix=other").await;
    assert_eq!(answer["indices"], json!([]));
}

#[tokio::test]
async fn only_a_group_that_is_gone_can_be_deleted() {
    let world = World::new().await;
    let partition = world.shop(7).await;
    let subscription =
        world.journal.subscribe("weir-index", StreamPattern::default()).await.expect("is free");
    world
        .journal
        .commit("weir-index", &[Commit { partition, offset: Offset(0) }])
        .await
        .expect("memory takes it");
    let (_, answer) = world.get("/api/v1/groups").await;
    let group = &answer["groups"][0];
    assert_eq!((&group["group"], &group["live"]), (&json!("weir-index"), &json!(true)));
    assert_eq!(group["waiting_records"], 1);

    let delete = async |group: &str| {
        world.ask(Method::DELETE, &format!("/api/v1/groups/{group}"), None).await.status()
    };
    assert_eq!(delete("weir-index").await, StatusCode::CONFLICT);
    assert_eq!(delete("other").await, StatusCode::NOT_FOUND);
    drop(subscription);
    assert_eq!(delete("weir-index").await, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/api/v1/groups").await.1["groups"], json!([]));
}

#[tokio::test]
async fn an_audit_is_as_deep_as_asked_for() {
    let world = World::new().await;
    for (path, verified) in [("/api/v1/audit", false), ("/api/v1/audit?verify=true", true)] {
        let (status, answer) = world.get(path).await;
        assert_eq!((status, &answer["verified"]), (StatusCode::OK, &json!(verified)));
    }
}

#[tokio::test]
async fn a_dump_shows_records_and_what_is_lost() {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    for n in 0..5 {
        world.append(&partition, n, &[format!(r#"{{"n":{n}}}"#)]).await;
    }
    world.journal.damage(&partition, Offset(2));
    let (status, answer) = world.get("/api/v1/journal/dump/shop/0?from=1&limit=3").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let offsets: Vec<_> = answer["records"]
        .as_array()
        .expect("is a list")
        .iter()
        .map(|record| record["offset"].clone())
        .collect();
    assert!(offsets.starts_with(&[json!(1), json!(3)]), "{answer}");
    assert_eq!(answer["records"][0]["contents"], json!([{"n": 1}]));
    assert_eq!(answer["losses"][0]["from"], 2);
    assert_eq!(answer["losses"][0]["reason"], "damaged");

    let (_, answer) = world.get("/api/v1/journal/check").await;
    let found = &answer["partitions"][0];
    assert_eq!(
        (&found["records"], &found["events"], &found["undecodable"]),
        (&json!(4), &json!(4), &json!(0))
    );
    assert_eq!(found["losses"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_dump_of_nothing_is_refused_by_name() {
    let world = World::new().await;
    world.create_stream("shop_logs").await;
    let check = async |path: &str, status: StatusCode| assert_eq!(world.get(path).await.0, status, "{path}");
    check("/api/v1/journal/dump/other/0", StatusCode::NOT_FOUND).await;
    check("/api/v1/journal/dump/shop/7", StatusCode::NOT_FOUND).await;
    check("/api/v1/journal/dump/shop/x", StatusCode::NOT_FOUND).await;
    check("/api/v1/journal/dump/a%20b/0", StatusCode::BAD_REQUEST).await;
    check("/api/v1/journal/dump/shop/0?limit=0", StatusCode::BAD_REQUEST).await;
    check("/api/v1/journal/dump/shop/0", StatusCode::OK).await;
}

#[tokio::test]
async fn what_another_process_has_is_told() {
    let world = World::apart().await;
    let (status, answer) = world.get("/api/v1/journal/check").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_IMPLEMENTED, &json!("not-here")));
    let (status, answer) = world.post("/api/v1/dead/replay", json!({"all": true})).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_IMPLEMENTED, &json!("not-here")));
    let message = answer["error"]["message"].as_str().expect("is text");
    assert!(message.contains("server.producer_grpc_url"), "{message}");
}

#[tokio::test]
async fn a_path_that_can_not_be_read_is_told_like_any_other_error() {
    let world = World::new().await;
    for (method, path) in [
        (Method::GET, "/api/v1/dead/%ff"),
        (Method::DELETE, "/api/v1/groups/%ff"),
        (Method::GET, "/api/v1/tail/%ff"),
        (Method::GET, "/api/v1/journal/dump/%ff/0"),
    ] {
        let (status, answer) = body(world.ask(method, path, None).await).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!("bad-parameter")),
            "{path}"
        );
    }
}
