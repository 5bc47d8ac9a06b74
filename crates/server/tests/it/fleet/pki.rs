use reqwest::Method;
use serde_json::{Value, json};
use weir_auth::pki::PrivateKey;

use super::access::Log;
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

/// The runtime of the test has one thread, so that everything is logged here.
#[tokio::test]
async fn a_proxy_gets_a_certificate_for_its_key() {
    let (log, _logging) = Log::begin();
    let world = World::new().await;
    let key = PrivateKey::generate();
    let path = "/api/v1/pki/certificates";
    let ask = |names: Value, ttl: Value| json!({ "csr": key.request_pem(), "names": names, "ttl": ttl });
    let issued = world.tell(path, ask(json!(["proxy.example", "10.0.0.7"]), json!("7d"))).await;
    let pems = |name: &str| text(&issued[name]).matches("-----BEGIN CERTIFICATE-----").count();
    assert_eq!((pems("certificate"), pems("roots")), (3, 1));
    assert!(text(&issued["certificate"]).ends_with(text(&issued["roots"])), "the root is at the end");
    assert!(text(&issued["expires"]).starts_with("20"));
    let logged = log.text();
    let line = logged.lines().find(|line| line.contains("a certificate was issued")).expect("it is logged");
    assert!(line.contains("by=admin") && line.contains("proxy.example,10.0.0.7"), "{line}");

    let refused = async |body: Value, status: u16, code: &str| {
        world.refused(Method::POST, path, Some(body), status, code).await
    };
    refused(json!({ "csr": "", "names": ["a"] }), 400, "bad-csr").await;
    refused(json!({ "csr": key.pem().as_str(), "names": ["a"] }), 400, "bad-csr").await;
    refused(ask(json!([]), json!(null)), 400, "bad-csr").await;
    refused(ask(json!(["a b"]), json!(null)), 400, "bad-csr").await;
    refused(ask(json!(["a"]), json!("0s")), 400, "bad-parameter").await;
    refused(json!({ "csr": key.request_pem() }), 422, "bad-parameter").await;
    refused(json!({ "csr": key.request_pem(), "names": ["a"], "ca": true }), 422, "bad-parameter").await;
}
