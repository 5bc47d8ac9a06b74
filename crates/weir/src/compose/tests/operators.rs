//! The quick start of docs/agents.md: what operators ask for by HTTP, with an agent on a machine of its own.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use weir_agent::{Link, Standing};
use weir_foundation::settings::Secret;

use super::agents::{Machine, SHOP, connected};
use super::*;

impl World {
    /// Asks as the first operator, with the token that stands in the data directory.
    async fn operate(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let file = self.directory.path().join("data/operator.token");
        let token = std::fs::read_to_string(file).expect("it is there");
        let url = format!("http://{}/api/v1/{path}", self.running.addresses.http);
        let request = reqwest::Client::new().request(method, url).bearer_auth(token.trim());
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("it answers");
        let status = response.status();
        (status, response.json().await.expect("is JSON"))
    }

    async fn tell(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.operate(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn agent(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until(async || {
            let (_, agent) = self.operate(Method::GET, &format!("agents/{name}"), None).await;
            is_so(&agent).then_some(agent)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_looked_after_by_its_operators() {
    let world = World::new().await;
    let mut machine = Machine::new();
    machine.append("a.log", "one\ntwo\n");
    world.tell("apps", json!({ "app": SHOP, "max_tps": 5_000 })).await;
    let key = json!({ "title": "web", "apps": [SHOP], "labels": { "role": "web" }, "ttl": "24h" });
    let key = world.tell("keys", key).await;
    let key = Secret::new(key["access_key"].as_str().expect("is shown"));
    machine.start(&world.process.clock, Some(&key));
    let name = world.until(async || connected(machine.agent())).await;

    let set = async |text: &str| {
        let body = json!({ "labels": { "role": "web" }, "text": text });
        world.operate(Method::POST, "configurations", Some(body)).await
    };
    let (status, refusal) = set("inputs:\n  - paths: [app.log]\n").await;
    assert_eq!((status, &refusal["problems"][0]["line"]), (StatusCode::BAD_REQUEST, &json!(2)), "{refusal}");
    let (_, answer) = set(&machine.configuration()).await;
    assert_eq!((&answer["configuration"]["revision"], &answer["agents"]), (&json!(1), &json!(1)));
    world.found(SHOP, "", 2).await;
    let runs = |revision: u64| {
        move |agent: &Value| {
            (&agent["state"], &agent["revision"]) == (&json!("ok"), &json!(revision))
                && agent.get("why").is_none()
        }
    };
    let agent = world.agent(&name, runs(1)).await;
    assert_eq!((&agent["host"], &agent["labels"]["role"]), (&json!("web-3"), &json!("web")));

    // What the server can not know to be wrong the agent finds out, and goes on with what it ran.
    set(&format!("{}    app: bank\n", machine.configuration())).await;
    let agent = world.agent(&name, |agent| agent["state"] == "failed-configuration").await;
    let why = agent["why"].as_str().expect("is said");
    assert!(why.contains("this agent sends events of `shop` and not of `bank`"), "{why}");
    machine.append("a.log", "three\n");
    world.found(SHOP, "", 3).await;
    let (_, status) = world.operate(Method::GET, "configurations/status", None).await;
    assert_eq!(
        (&status["configurations"][0]["failed"], &status["configurations"][0]["agents"]),
        (&json!(1), &json!(1))
    );
    world.tell("configurations/rollback", json!({ "labels": { "role": "web" } })).await;
    world.agent(&name, runs(3)).await;

    let (status, log) = world.operate(Method::GET, &format!("agents/{name}/log?lines=5"), None).await;
    assert!(status.is_success() && log["lines"].is_array(), "{log}");
    world.tell(&format!("agents/{name}/revoke"), json!({ "note": "stolen" })).await;
    let refused = async || match machine.agent().standing() {
        Standing::Enrolled { link: Link::Refused(why), .. } => Some(why),
        _ => None,
    };
    world.until(refused).await;
    let agent = world.agent(&name, |agent| agent["state"] == "revoked").await;
    assert_eq!(agent["why"], "revoked by `admin`: stolen");
    machine.stop().await;
}
