use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::text;
use crate::world::World;

#[tokio::test]
async fn an_operator_comes_and_goes() {
    let world = World::new().await;
    let made = world.tell("/api/v1/operators", json!({ "operator": "ann", "ttl": "1h" })).await;
    assert_eq!(made["operator"], "ann");
    let shown = format!("Bearer {}", text(&made["token"]));
    let ask = async || world.ask_as(Some(&shown), Method::GET, "/api/v1/operators", None).await;
    let response = ask().await;
    assert_eq!(response.status(), StatusCode::OK);
    let listed: Value = response.json().await.expect("is JSON");
    let expected = json!({ "operators": [
        { "operator": "admin", "made": listed["operators"][0]["made"] },
        { "operator": "ann", "made": listed["operators"][1]["made"], "made_by": "admin", "expires": made["expires"] },
    ]});
    assert_eq!(listed, expected);
    // What she makes is hers.
    let body = json!({ "app": "shop" });
    world.ask_as(Some(&shown), Method::POST, "/api/v1/apps", Some(body)).await;
    assert_eq!(world.look("/api/v1/apps/shop").await["made_by"], "ann");
    world.removed("/api/v1/operators/ann").await;
    assert_eq!(ask().await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_name() {
    let world = World::new().await;
    let post = async |body: Value, status: u16, code: &str| {
        world.refused(Method::POST, "/api/v1/operators", Some(body), status, code).await
    };
    insta::assert_snapshot!(post(json!({ "operator": "admin" }), 409, "name-taken").await, @"there is an operator `admin` already");
    insta::assert_snapshot!(post(json!({ "operator": "Ann" }), 400, "bad-parameter").await, @"`Ann` is no name of an operator: an operator's name has 1 to 64 characters of `a-z 0-9 . _ -` and begins with a letter or digit");
    insta::assert_snapshot!(post(json!({ "operator": "ann", "ttl": "0s" }), 400, "bad-parameter").await, @"`ttl`: must be longer than zero");
    post(json!({ "operator": "ann", "ttl": "soon" }), 422, "bad-parameter").await;
    let delete = async |name: &str, status: u16, code: &str| {
        world.refused(Method::DELETE, &format!("/api/v1/operators/{name}"), None, status, code).await
    };
    insta::assert_snapshot!(delete("ann", 404, "unknown-operator").await, @"there is no operator `ann`");
    insta::assert_snapshot!(delete("admin", 409, "last-operator").await, @"without `admin` there would be no operator");
    delete("A", 400, "bad-parameter").await;
    // One whose token ends does not count.
    world.tell("/api/v1/operators", json!({ "operator": "ann", "ttl": "1h" })).await;
    delete("admin", 409, "last-operator").await;
}
