use reqwest::Method;
use serde_json::{Value, json};
use weir_auth::access_key::AccessKey;

use super::text;
use crate::node::Node;
use crate::world::World;

async fn world() -> World {
    let world = World::new().await;
    world.tell("/api/v1/apps", json!({ "app": "shop" })).await;
    world
}

#[tokio::test]
async fn a_key_is_made_and_shown_once() {
    let world = world().await;
    let wanted = json!({
        "title": "web nodes", "apps": ["shop"], "labels": { "role": "web" }, "ttl": "24h", "uses": 3, "seal": true,
    });
    let answer = world.tell("/api/v1/keys", wanted).await;
    let key: AccessKey = text(&answer["access_key"]).parse().expect("is a key");
    assert_eq!((key.id.as_str(), &answer["uses"]), (text(&answer["id"]), &json!(3)));
    assert!(key.seal.is_some());
    let listed = &world.look("/api/v1/keys").await["keys"][0];
    let expected = json!({
        "id": key.id.as_str(), "title": "web nodes", "apps": ["shop"], "labels": { "role": "web" }, "state": "usable",
        "uses": 3, "used": 0, "expires": answer["expires"], "seal": true, "made": listed["made"], "made_by": "admin",
    });
    assert_eq!(listed, &expected);
    assert!(listed["made"].as_str() < listed["expires"].as_str());
    assert_eq!(world.look(&format!("/api/v1/keys/{}", key.id)).await, expected);
}

#[tokio::test]
async fn without_further_words_a_key_is_for_one_agent() {
    let world = world().await;
    let check = async |uses: Value, expected: Value| {
        let mut wanted = json!({ "title": "web", "apps": ["shop"] });
        if !uses.is_null() {
            wanted["uses"] = uses;
        }
        let answer = world.tell("/api/v1/keys", wanted).await;
        assert_eq!((&answer["uses"], &answer["expires"]), (&expected, &Value::Null));
    };
    check(Value::Null, json!(1)).await;
    check(json!(7), json!(7)).await;
    check(json!("unlimited"), json!("unlimited")).await;
}

#[tokio::test]
async fn a_key_is_revoked_with_its_agents_or_without() {
    let world = world().await;
    let create = async || world.tell("/api/v1/keys", json!({ "title": "web", "apps": ["shop"] })).await;
    let (stay, go) = (create().await, create().await);
    let mut staying = Node::attend(&world, text(&stay["access_key"]), "staying").await;
    let mut going = Node::attend(&world, text(&go["access_key"]), "going").await;
    // Each is told that it runs what it should: nothing.
    staying.told().await.expect("it is welcome");
    going.told().await.expect("it is welcome");
    assert_eq!(world.look("/api/v1/keys").await["keys"][0]["state"], "used-up");

    let revoke = async |key: &Value, body: Value| {
        world.tell(&format!("/api/v1/keys/{}/revoke", text(&key["id"])), body).await
    };
    let answer = revoke(&stay, json!({})).await;
    assert_eq!((&answer["state"], &answer["revoked_agents"]), (&json!("revoked"), &json!(0)));
    let answer = revoke(&go, json!({ "agents": true })).await;
    assert_eq!((&answer["state"], &answer["revoked_agents"]), (&json!("revoked"), &json!(1)));
    let refusal = going.told().await.expect_err("it is sent away");
    assert_eq!(refusal.code(), tonic::Code::PermissionDenied);
    let agents = world.look("/api/v1/agents").await;
    let states: Vec<_> =
        agents["agents"].as_array().expect("a list").iter().map(|agent| &agent["state"]).collect();
    assert_eq!(states, ["revoked", "ok"]);
    assert_eq!(agents["agents"][0]["why"], "revoked by `admin`, with the access key that it joined with");
    // Once more with its agents, for who thinks better of it.
    assert_eq!(revoke(&stay, json!({ "agents": true })).await["revoked_agents"], 1);
    staying.told().await.expect_err("it is sent away");
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_name() {
    let world = world().await;
    let post = async |body: Value, status: u16, code: &str| {
        world.refused(Method::POST, "/api/v1/keys", Some(body), status, code).await
    };
    let key = |field: &str, value: Value| {
        let mut key = json!({ "title": "web", "apps": ["shop"] });
        key[field] = value;
        key
    };
    insta::assert_snapshot!(post(key("apps", json!(["shop", "other"])), 404, "unknown-app").await, @"there is no app `other`");
    insta::assert_snapshot!(post(key("apps", json!([])), 400, "bad-key-spec").await, @"an access key is for one to 16 apps, each of them once");
    insta::assert_snapshot!(post(key("title", json!("a\nb")), 400, "bad-parameter").await, @"`title`: a title has 1 to 100 characters that can be printed");
    insta::assert_snapshot!(post(key("labels", json!({ "Role": "web" })), 400, "bad-parameter").await, @"`labels`: `Role` can not be the key of a label");
    insta::assert_snapshot!(post(key("labels", json!({ "app": "shop" })), 400, "bad-parameter").await, @"`labels`: every agent has the label `app` by itself");
    insta::assert_snapshot!(post(key("labels", json!({ "role": "a b" })), 400, "bad-parameter").await, @"`labels`: the value of label `role` has other characters than it may, or too many");
    insta::assert_snapshot!(post(key("ttl", json!("0s")), 400, "bad-parameter").await, @"`ttl`: must be longer than zero");
    for (field, value) in [
        ("ttl", json!(24)),
        ("ttl", json!("24")),
        ("uses", json!(0)),
        ("uses", json!("many")),
        ("labels", json!(["role=web"])),
        ("labels", json!({ "role": 1 })),
        ("seals", json!(true)),
    ] {
        let told = post(key(field, value), 422, "bad-parameter").await;
        assert!(told.contains("JSON"), "{told}");
    }
    world.refused(Method::GET, "/api/v1/keys/other", None, 404, "unknown-key").await;
    world.refused(Method::GET, "/api/v1/keys/Other", None, 400, "bad-parameter").await;
    world.refused(Method::POST, "/api/v1/keys/other/revoke", Some(json!({})), 404, "unknown-key").await;
}
