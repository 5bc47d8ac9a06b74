//! The OpenAPI document is what the code says, and what the code does.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weir_auth::pki::PrivateKey;
use weir_foundation::settings::Environment;
use weir_model::{EventId, Offset, Position, RecordFormat, Timestamp};
use weir_store::{DeadLetter, DeadLetterStore, DeadReason};

use crate::node::Node;
use crate::schema;
use crate::world::{World, json as body};

/// Writes the committed document anew where `UPDATE_GENERATED` is set.
#[test]
fn the_committed_document_is_what_the_code_says() {
    let generated = serde_json::to_string_pretty(&weir_server::openapi()).expect("is JSON") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if Environment::of_process().get("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &generated).expect("there is space");
    }
    let committed = std::fs::read_to_string(&path).expect("it is committed");
    assert!(committed == generated, "openapi.json is out of date: run this test with UPDATE_GENERATED=1");
}

struct Contract {
    world: World,
    document: Value,
    met: BTreeSet<String>,
}

impl Contract {
    /// Asks, and holds the answer against the document.
    async fn check(&mut self, method: Method, template: &str, path: &str, ask: Option<Value>, status: u16) {
        let operation = &self.document["paths"][template][method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{method} {template} is not documented");
        let (found, answer) = self.world.operate(method.clone(), path, ask).await;
        assert_eq!(found.as_u16(), status, "{method} {path}: {answer}");
        let responses = &operation["responses"];
        let documented = responses.get(status.to_string()).unwrap_or(&responses["default"]);
        if found != StatusCode::NO_CONTENT {
            let expected = &documented["content"]["application/json"]["schema"];
            assert!(!expected.is_null(), "{method} {template} has no schema for {status}");
            let problems = schema::problems(&self.document, expected, &answer, "$");
            assert!(problems.is_empty(), "{method} {path}:\n{}", problems.join("\n"));
        }
        if found.is_success() {
            self.met.insert(format!("{method} {template}"));
        }
    }
}

impl Contract {
    /// Asks for what is at a path without parameters.
    async fn look(&mut self, path: &str) {
        let path = format!("/api/v1/{path}");
        self.check(Method::GET, &path, &path, None, 200).await;
    }

    async fn tell(&mut self, path: &str, body: Value, status: u16) {
        let path = format!("/api/v1/{path}");
        self.check(Method::POST, &path, &path, Some(body), status).await;
    }

    /// The same for what is of one thing, which stands in the place of the parameter in the template.
    async fn check_one(
        &mut self,
        method: Method,
        template: &str,
        name: &str,
        body: Option<Value>,
        status: u16,
    ) {
        let (before, after) = template.split_once('{').expect("there is a parameter");
        let (_, after) = after.split_once('}').expect("it ends");
        let path = format!("/api/v1/{before}{name}{after}");
        self.check(method, &format!("/api/v1/{template}"), &path, body, status).await;
    }

    async fn check_fleet(&mut self) {
        let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
        self.tell("apps", json!({ "app": "shop" }), 200).await;
        self.tell("apps", json!({ "app": "shop" }), 409).await;
        self.tell("apps", json!({ "app": "gone", "secret": "0123456789abcdef" }), 200).await;
        self.look("apps").await;
        self.check_one(get.clone(), "apps/{app}", "shop", None, 200).await;
        self.check_one(post.clone(), "apps/{app}", "shop", Some(json!({ "max_tps": 7 })), 200).await;
        self.check_one(post.clone(), "apps/{app}/secrets", "shop", Some(json!({})), 200).await;
        self.check_one(post.clone(), "apps/{app}/secrets/end", "shop", Some(json!({})), 200).await;
        self.check_one(delete.clone(), "apps/{app}", "gone", None, 204).await;
        self.check_one(delete.clone(), "apps/{app}", "gone", None, 404).await;

        let key = json!({ "title": "web", "apps": ["shop"], "labels": { "role": "web" }, "ttl": "1h" });
        self.tell("keys", key.clone(), 200).await;
        self.look("keys").await;
        let (_, made) = self.world.operate(post.clone(), "/api/v1/keys", Some(key)).await;
        let text = made["access_key"].as_str().expect("is a text");
        let mut node = Node::attend(&self.world, text, "web-1").await;
        node.told().await.expect("it is welcome");
        let id = made["id"].as_str().expect("is a text");
        self.check_one(get.clone(), "keys/{key}", id, None, 200).await;
        self.check_one(post.clone(), "keys/{key}/revoke", id, Some(json!({})), 200).await;

        let set = json!({ "labels": { "role": "web" }, "text": "inputs: [{paths: [/a]}]" });
        self.tell("configurations", set, 200).await;
        self.tell("configurations", json!({ "labels": {}, "text": "inputs: 1" }), 400).await;
        self.tell("configurations", json!({ "labels": { "role": "web" }, "text": "" }), 200).await;
        for path in ["configurations", "configurations/status", "operators", "pki", "agents"] {
            self.look(path).await;
        }
        let history = "/api/v1/configurations/history";
        self.check(get.clone(), history, &format!("{history}?labels=role=web"), None, 200).await;
        self.check_one(get.clone(), "configurations/{revision}", "1", None, 200).await;
        let web = json!({ "labels": { "role": "web" } });
        self.tell("configurations/rollback", web.clone(), 200).await;
        self.tell("configurations/withdraw", web, 200).await;

        self.check_one(get.clone(), "agents/{agent}", "web-1", None, 200).await;
        tokio::join!(self.check_one(get, "agents/{agent}/log", "web-1", None, 200), node.gives_its_log());
        self.check_one(post.clone(), "agents/{agent}/revoke", "web-1", Some(json!({})), 200).await;
        self.look("agents").await;
        self.check_one(delete.clone(), "agents/{agent}", "web-1", None, 204).await;

        self.tell("operators", json!({ "operator": "ann", "ttl": "1h" }), 200).await;
        self.check_one(delete, "operators/{operator}", "ann", None, 204).await;
        let csr = PrivateKey::generate().request_pem();
        self.tell("pki/certificates", json!({ "csr": csr, "names": ["a"], "ttl": "1h" }), 200).await;
        self.tell("pki/certificates", json!({ "csr": csr, "names": [] }), 400).await;
        self.tell("pki/rotation/begin", Value::Null, 200).await;
        self.tell("pki/rotation/switch", Value::Null, 200).await;
        self.tell("pki/rotation/finish", json!({ "force": true }), 200).await;
    }
}

#[tokio::test]
async fn every_route_answers_as_the_document_says() {
    let world = World::new().await;
    let partition = world.shop(5).await;
    let position = Position { partition: partition.clone(), offset: Offset(9), index: 0 };
    let dead = EventId(position.clone());
    let letter = DeadLetter {
        position,
        events: 1,
        received: Timestamp::from_micros(0),
        died: Timestamp::from_micros(0),
        prefix: None,
        format: RecordFormat::Timber,
        reason: DeadReason { code: "undecodable".to_owned(), message: "who knows".to_owned() },
        original: Bytes::from_static(b"x"),
    };
    world.store.put(vec![letter]).await.expect("memory takes it");
    let subscription =
        weir_journal::Journal::subscribe(&world.journal, "gone", weir_journal::StreamPattern::default())
            .await;
    drop(subscription.expect("is free"));
    let response = world.ask(Method::GET, "/api/v1/openapi.json", None).await;
    let (_, document) = body(response).await;
    let mut contract = Contract { world, document, met: BTreeSet::new() };

    let (get, post) = (Method::GET, Method::POST);
    let search = "/api/v1/search";
    let all = "?prefix=shop&count=true&histogram=1m&top=n&limit=2";
    contract.check(get.clone(), search, &format!("{search}{all}"), None, 200).await;
    contract.check(get.clone(), search, &format!("{search}?prefix=shop&q=)"), None, 400).await;
    contract.check(post.clone(), search, search, Some(json!({"prefix": "shop"})), 200).await;
    contract.check(post.clone(), search, search, Some(json!({"prefix": 1})), 422).await;
    for path in ["streams", "indices", "audit", "groups", "dead", "journal/check"] {
        let path = format!("/api/v1/{path}");
        contract.check(get.clone(), &path, &path, None, 200).await;
    }
    let dump = "/api/v1/journal/dump/{stream}/{partition}";
    contract.check(get.clone(), dump, "/api/v1/journal/dump/shop/0", None, 200).await;
    contract.check(get.clone(), dump, "/api/v1/journal/dump/other/0", None, 404).await;
    contract.check(get, "/api/v1/dead/{id}", &format!("/api/v1/dead/{dead}"), None, 200).await;
    for path in ["/api/v1/dead/replay", "/api/v1/dead/purge"] {
        contract.check(post.clone(), path, path, Some(json!({"all": true})), 200).await;
        contract.check(post.clone(), path, path, Some(json!({})), 400).await;
    }
    let group = "/api/v1/groups/{group}";
    contract.check(Method::DELETE, group, "/api/v1/groups/gone", None, 204).await;
    contract.check_fleet().await;

    let paths = contract.document["paths"].as_object().expect("there are paths");
    let documented = paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .into_iter()
            .flatten()
            .map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
    });
    // A tail is no JSON document; its tests are beside.
    let documented: BTreeSet<String> = documented.filter(|id| !id.contains("/tail/")).collect();
    assert_eq!(contract.met, documented, "some route is never asked");
}
