use reqwest::Method;
use serde_json::json;

use super::text;
use crate::node::Node;
use crate::world::World;

#[tokio::test]
async fn the_root_is_changed_in_its_steps() {
    let world = World::new().await;
    let pki = world.look("/api/v1/pki").await;
    assert_eq!(pki["instance"], world.fleet().instance().id.as_str());
    assert_eq!(pki["roots"][0]["pin"], world.fleet().instance().pins[0].to_string());
    assert_eq!(
        (pki["roots"].as_array().map(Vec::len), pki["signing_keys"].as_array().map(Vec::len)),
        (Some(1), Some(1))
    );
    assert_eq!(pki["rotation"], json!({ "stage": "idle", "ready": 0, "missing": [], "keys": [] }));

    world.tell("/api/v1/apps", json!({ "app": "shop" })).await;
    let key = world.tell("/api/v1/keys", json!({ "title": "web", "apps": ["shop"], "uses": 2 })).await;
    let _node = Node::attend(&world, text(&key["access_key"]), "web").await;
    let step = async |name: &str| world.tell(&format!("/api/v1/pki/rotation/{name}"), json!(null)).await;
    let refused = async |name: &str, body, code: &str| {
        world.refused(Method::POST, &format!("/api/v1/pki/rotation/{name}"), Some(body), 409, code).await
    };
    refused("switch", json!(null), "rotation-step").await;
    refused("finish", json!({}), "rotation-step").await;
    let pki = step("begin").await;
    let rotation = &pki["rotation"];
    assert_eq!((&rotation["stage"], &rotation["keys"]), (&json!("begun"), &json!([key["id"]])));
    assert_eq!(
        (&rotation["missing"][0]["agent"], &rotation["missing"][0]["reason"]),
        (&json!("web"), &json!("root"))
    );
    assert!(rotation["since"].is_string() && rotation["missing"][0]["seen"].is_string());
    let new = pki["roots"][1]["pin"].clone();
    refused("begin", json!(null), "rotation-step").await;
    assert_eq!(step("switch").await["rotation"]["stage"], "switched");
    let told = refused("finish", json!({}), "rotation-not-ready").await;
    assert_eq!(told, "1 agents and 1 access keys know the old root only");
    let pki = world.tell("/api/v1/pki/rotation/finish", json!({ "force": true })).await;
    assert_eq!((&pki["roots"][0]["pin"], &pki["rotation"]["stage"]), (&new, &json!("idle")));
}
