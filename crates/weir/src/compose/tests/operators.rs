//! The quick start of docs/agents.md: what operators ask for by HTTP, with an agent on a machine of its own.

use ::http::StatusCode;
use clap::Parser;
use serde_json::Value;
use weir_agent::{Link, Standing};
use weir_foundation::settings::Secret;

use super::agents::{Machine, SHOP, connected};
use super::*;
use crate::client::{ClientArgs, ClientError, Refusal};

/// As somebody at a shell says whom to ask.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    client: ClientArgs,
}

/// An operator with the token that stands in the data directory.
pub(super) struct Operator<'a> {
    world: &'a World,
    client: Client,
}

impl<'a> Operator<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let server = format!("--server=http://{}", world.running.addresses.http);
        let token = format!("--token-file={}", world.directory.path().join("data/operator.token").display());
        let line = Line::try_parse_from(["weir", &server, &token]).expect("it is one");
        Self { world, client: Client::of(&line.client).expect("the token is there") }
    }

    async fn look(&self, path: &str) -> Value {
        let parts: Vec<&str> = path.split('/').collect();
        self.client.get(&parts, &()).await.expect("it is there")
    }

    async fn tell(&self, path: &str, body: Value) -> Value {
        let parts: Vec<&str> = path.split('/').collect();
        self.client.post(&parts, &body).await.expect("it is good")
    }

    async fn refused(&self, path: &str, body: Value) -> Box<Refusal> {
        match self.client.post::<Value>(&[path], &body).await {
            Err(ClientError::Refused(refusal)) => refusal,
            other => unreachable!("{other:?}"),
        }
    }

    pub(super) async fn agent(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.world
            .until(async || {
                // Where time leaps, a connection may be closed just as it is used.
                let agent: Value = self.client.get(&["agents", name], &()).await.ok()?;
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
    let operator = Operator::of(&world);
    operator.tell("apps", json!({ "app": SHOP, "max_tps": 5_000 })).await;
    let key = json!({ "title": "web", "apps": [SHOP], "labels": { "role": "web" }, "ttl": "24h" });
    let key = operator.tell("keys", key).await;
    let key = Secret::new(key["access_key"].as_str().expect("is shown"));
    machine.start(&world.process.clock, Some(&key));
    let name = world.until(async || connected(machine.agent())).await;

    let to_web = |text: &str| json!({ "labels": { "role": "web" }, "text": text });
    let refusal = operator.refused("configurations", to_web("inputs:\n  - paths: [app.log]\n")).await;
    let body: Value = serde_json::from_slice(&refusal.body).expect("is JSON");
    let wrong = &body["problems"][0];
    assert_eq!((refusal.status, &wrong["line"]), (StatusCode::BAD_REQUEST, &json!(2)), "{body}");
    let answer = operator.tell("configurations", to_web(&machine.configuration())).await;
    assert_eq!((&answer["configuration"]["revision"], &answer["agents"]), (&json!(1), &json!(1)));
    world.found(SHOP, "", 2).await;
    let runs = |revision: u64| {
        move |agent: &Value| {
            (&agent["state"], &agent["revision"]) == (&json!("ok"), &json!(revision))
                && agent.get("why").is_none()
        }
    };
    let agent = operator.agent(&name, runs(1)).await;
    assert_eq!((&agent["host"], &agent["labels"]["role"]), (&json!("web-3"), &json!("web")));

    // What the server can not know to be wrong the agent finds out, and goes on with what it ran.
    let foreign = format!("{}    app: bank\n", machine.configuration());
    operator.tell("configurations", to_web(&foreign)).await;
    let agent = operator.agent(&name, |agent| agent["state"] == "failed-configuration").await;
    let why = agent["why"].as_str().expect("is said");
    assert!(why.contains("this agent sends events of `shop` and not of `bank`"), "{why}");
    machine.append("a.log", "three\n");
    world.found(SHOP, "", 3).await;
    let status = operator.look("configurations/status").await;
    assert_eq!(
        (&status["configurations"][0]["failed"], &status["configurations"][0]["agents"]),
        (&json!(1), &json!(1))
    );
    operator.tell("configurations/rollback", json!({ "labels": { "role": "web" } })).await;
    operator.agent(&name, runs(3)).await;

    let log = operator.look(&format!("agents/{name}/log")).await;
    assert!(log["lines"].is_array(), "{log}");
    operator.tell(&format!("agents/{name}/revoke"), json!({ "note": "stolen" })).await;
    let refused = async || match machine.agent().standing() {
        Standing::Enrolled { link: Link::Refused(why), .. } => Some(why),
        _ => None,
    };
    world.until(refused).await;
    let agent = operator.agent(&name, |agent| agent["state"] == "revoked").await;
    assert_eq!(agent["why"], "revoked by `admin`: stolen");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_reads_only_what_the_node_lets_it() {
    let world = World::new().await;
    let mut machine = Machine::new();
    machine.append("a.log", "one\n");
    machine.append("secret.txt", "hunter2\n");
    machine.lets_read("*.log");
    let operator = Operator::of(&world);
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    let name = world.until(async || connected(machine.agent())).await;
    let set = json!({ "labels": { "role": "web" }, "text": machine.configuration() });
    operator.tell("configurations", set).await;
    world.found(SHOP, "", 1).await;
    let text = machine.configuration().replace("*.log", "*");
    operator.tell("configurations", json!({ "labels": { "role": "web" }, "text": text })).await;
    let agent = operator.agent(&name, |agent| agent["state"] == "failed-configuration").await;
    let why = agent["why"].as_str().expect("is said");
    assert!(why.contains("this node does not let the server read"), "{why}");
    machine.append("a.log", "two\n");
    world.found(SHOP, "", 2).await;
    world.found(SHOP, "hunter2", 0).await;
    machine.stop().await;
}
