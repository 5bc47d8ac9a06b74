use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use weir_foundation::clock::{Clock as _, SystemClock};
use weir_wire::proto::control::instruction::Kind as Told;
use weir_wire::proto::control::report::Kind as Said;
use weir_wire::proto::control::{Input, LogLines, Outcome, Status};

use crate::node::Node;
use crate::world::World;

fn input(lag_millis: u64) -> Input {
    Input {
        kind: "files".to_owned(),
        name: "/var/log/app/*.log".to_owned(),
        app: "shop".to_owned(),
        files: 2,
        lag_bytes: 5_500_000,
        lag_millis,
        stored_bytes: 1_000,
        lines: 17,
        errors: 1,
        last_error: "the journal is full".to_owned(),
    }
}

/// The agent that is late, and runs what it should.
fn it_is_in_the_metrics(metrics: &str, hash: &str) {
    let facts = format!("state=\"late\",version=\"1.2.3\",offered=\"{hash}\",running=\"{hash}\",failed=\"\"");
    for line in [
        "fleet_agents{state=\"late\"} 1.0",
        "fleet_agents{state=\"ok\"} 0.0",
        "fleet_agent_connected{agent=\"web-1\"} 1.0",
        "fleet_agent_lag_bytes{agent=\"web-1\"} 5500000.0",
        "fleet_agent_lag_seconds{agent=\"web-1\"} 420.0",
        &format!("fleet_agent_info{{agent=\"web-1\",{facts}}} 1.0"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    let times = ["fleet_agent_seen_timestamp_seconds{", "fleet_agent_certificate_end_timestamp_seconds{"];
    assert!(times.iter().all(|time| metrics.contains(time)), "{metrics}");
}

#[tokio::test]
async fn an_agent_is_shown_as_it_says_it_is() {
    let world = World::new().await;
    let key = world.key(json!({ "role": "web" })).await;
    world
        .tell(
            "/api/v1/configurations",
            json!({ "labels": { "role": "web" }, "text": "inputs: [{paths: [/a]}]" }),
        )
        .await;
    let mut node = Node::attend(&world, &key, "web-1").await;
    let told = node.configuration().await;
    assert_eq!((told.revision, told.text.as_str()), (1, "inputs: [{paths: [/a]}]"));
    let agent = world.agent("web-1").await;
    assert_eq!(
        (&agent["state"], &agent["why"]),
        (&json!("ok"), &json!("has not said yet that it runs revision 1"))
    );

    let status = Status {
        inputs: vec![input(420_000)],
        clock_skew_millis: -7,
        running: told.hash.clone(),
        ..Status::default()
    };
    node.status(status).await;
    let agent = world.until("web-1", |agent| agent["state"] == "late").await;
    let expected = json!({
        "agent": "web-1",
        "state": "late",
        "why": "5.2 MiB of `/var/log/app/*.log` wait for 7m: the journal is full",
        "apps": ["shop"],
        "labels": { "role": "web" },
        "version": "1.2.3",
        "host": "web-1.example",
        "os": "Linux",
        "connected": agent["connected"],
        "seen": agent["seen"],
        "joined": agent["joined"],
        "lag_bytes": 5_500_000,
        "lag_millis": 420_000,
        "revision": 1,
        "certificate_expires": agent["certificate"]["expires"],
        "certificate": agent["certificate"],
        "access_key": agent["access_key"],
        "seal": false,
        "generation": 1,
        "clock_skew_millis": -7,
        "configuration": {
            "wanted": { "revision": 1, "labels": { "role": "web" }, "hash": told.hash },
            "offered": told.hash,
            "running": told.hash,
        },
        "inputs": [{
            "kind": "files", "input": "/var/log/app/*.log", "app": "shop", "files": 2, "lag_bytes": 5_500_000,
            "lag_millis": 420_000, "stored_bytes": 1_000, "lines": 17, "errors": 1, "last_error": "the journal is full",
        }],
        "last_error": "the journal is full",
    });
    assert_eq!(agent, expected);
    assert!(
        ["connected", "seen", "joined", "certificate_expires"].iter().all(|time| agent[time].is_string())
    );
    let listed = &world.look("/api/v1/agents").await["agents"][0];
    for name in
        ["agent", "state", "why", "apps", "labels", "host", "lag_bytes", "revision", "certificate_expires"]
    {
        assert_eq!(listed[name], agent[name], "{name}");
    }
    assert!(listed.get("inputs").is_none());
    it_is_in_the_metrics(&world.metrics(), &told.hash);

    // It says that it is well again.
    node.status(Status { inputs: vec![input(0)], running: told.hash, ..Status::default() }).await;
    let agent = world.until("web-1", |agent| agent["state"] == "ok").await;
    assert!(agent.get("why").is_none(), "{agent}");
    drop(node);
    let agent = world.until("web-1", |agent| agent["state"] == "away").await;
    assert_eq!(agent["why"], "not connected, seen 0s ago");
    assert_eq!(
        (&agent["inputs"], &agent["revision"], &agent["version"]),
        (&json!([]), &json!(1), &json!("1.2.3"))
    );
}

#[tokio::test]
async fn an_agent_that_can_not_run_what_it_should_says_why() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let set = async |text: &str| {
        world.tell("/api/v1/configurations", json!({ "labels": {}, "text": text })).await["configuration"]
            .clone()
    };
    set("inputs: [{paths: [/a]}]").await;
    let mut node = Node::attend(&world, &key, "web-1").await;
    let good = node.configuration().await;
    node.status(Status { running: good.hash, ..Status::default() }).await;
    world.until("web-1", |agent| agent["configuration"]["running"].is_string()).await;
    let bad = set("inputs: [{paths: [/b]}]").await;
    let told = node.configuration().await;
    assert_eq!(bad["hash"], told.hash);
    let error = "the input `/b` can not start: permission denied";
    node.says(Said::Outcome(Outcome { hash: told.hash, revision: told.revision, error: error.to_owned() }))
        .await;
    let agent = world.until("web-1", |agent| agent["state"] == "failed-configuration").await;
    assert_eq!(agent["why"], format!("revision 2 does not work, it runs the one before: {error}"));
    assert_eq!((&agent["revision"], &agent["configuration"]["failed"]["reason"]), (&json!(1), &json!(error)));
}

/// The first thing after it says how far the server has gone: nothing else was told before.
async fn is_asked_next(world: &World, node: &mut Node, name: &str) {
    let path = format!("/api/v1/agents/{name}/log?lines=1");
    let asked = world.look(&path);
    let answering = async {
        let Told::ReadLog(wanted) = node.told().await.expect("it is welcome") else {
            unreachable!("nothing is to be told before")
        };
        node.says(Said::LogLines(LogLines { request: wanted.request, lines: Vec::new() })).await;
    };
    tokio::join!(asked, answering);
}

#[tokio::test]
async fn an_agent_that_runs_what_it_should_is_sent_nothing() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let text = "inputs: [{paths: [/a]}]";
    let set = world.tell("/api/v1/configurations", json!({ "labels": {}, "text": text })).await;
    let hash = super::text(&set["configuration"]["hash"]).to_owned();
    let mut node = Node::running(&world, &key, "web-1", &hash, None).await;
    assert!(matches!(node.told().await, Ok(Told::Unchanged(_))));
    is_asked_next(&world, &mut node, "web-1").await;
    let agent = world.agent("web-1").await;
    assert_eq!((&agent["state"], agent.get("why"), &agent["revision"]), (&json!("ok"), None, &json!(1)));
    let expected = json!({
        "wanted": { "revision": 1, "labels": {}, "hash": hash },
        "offered": hash,
        "running": hash,
    });
    assert_eq!(agent["configuration"], expected);
    // It is told what is new, and once.
    world.tell("/api/v1/configurations", json!({ "labels": {}, "text": "inputs: [{paths: [/b]}]" })).await;
    let told = node.configuration().await;
    assert_eq!((told.revision, told.text.as_str()), (2, "inputs: [{paths: [/b]}]"));
    is_asked_next(&world, &mut node, "web-1").await;
}

#[tokio::test]
async fn an_agent_that_comes_with_what_failed_is_shown_so() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let set = async |path: &str| {
        let text = format!("inputs: [{{paths: [{path}]}}]");
        let set = world.tell("/api/v1/configurations", json!({ "labels": {}, "text": text })).await;
        super::text(&set["configuration"]["hash"]).to_owned()
    };
    let (good, bad) = (set("/a").await, set("/b").await);
    let error = "the input `/b` can not start: permission denied".to_owned();
    let failed = Outcome { hash: bad.clone(), revision: 2, error: error.clone() };
    let mut node = Node::running(&world, &key, "web-1", &good, Some(failed)).await;
    // Which of them it was is for the agent to know: the same text may have been set again meanwhile.
    let told = node.configuration().await;
    assert_eq!((told.revision, &told.hash), (2, &bad));
    is_asked_next(&world, &mut node, "web-1").await;
    let agent = world.agent("web-1").await;
    assert_eq!(
        (&agent["state"], &agent["why"]),
        (
            &json!("failed-configuration"),
            &json!(format!("revision 2 does not work, it runs the one before: {error}"))
        )
    );
    let configuration = &agent["configuration"];
    assert_eq!((&configuration["running"], &configuration["offered"]), (&json!(good), &json!(bad)));
    assert_eq!(configuration["failed"], json!({ "hash": bad, "reason": error }));
    // What failed before is no matter for one that runs what it should.
    let failed = Outcome { hash: good, revision: 1, error };
    let mut node = Node::running(&world, &key, "web-2", &bad, Some(failed)).await;
    assert!(matches!(node.told().await, Ok(Told::Unchanged(_))));
    is_asked_next(&world, &mut node, "web-2").await;
    assert_eq!(world.agent("web-2").await["state"], "ok");
}

#[tokio::test]
async fn an_agent_of_a_disabled_app_is_refused() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let _node = Node::attend(&world, &key, "web-1").await;
    world.until("web-1", |agent| agent["state"] == "ok").await;
    world.tell("/api/v1/apps/shop", json!({ "enabled": false })).await;
    let agent = world.agent("web-1").await;
    assert_eq!(
        (&agent["state"], &agent["why"]),
        (&json!("refused"), &json!("app `shop` is disabled: nothing of it is taken"))
    );
}

#[tokio::test]
async fn the_log_of_an_agent_is_asked_for() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let mut node = Node::attend(&world, &key, "web-1").await;
    node.told().await.expect("it is welcome");
    let asked = world.look("/api/v1/agents/web-1/log?lines=2");
    let answering = async {
        let Told::ReadLog(wanted) = node.told().await.expect("it is welcome") else {
            unreachable!("it is asked")
        };
        assert_eq!(wanted.lines, 2);
        let lines = vec!["one".to_owned(), "two".to_owned()];
        node.says(Said::LogLines(LogLines { request: wanted.request, lines })).await;
    };
    assert_eq!(tokio::join!(asked, answering).0, json!({ "lines": ["one", "two"] }));
    for lines in ["0", "1001", "many"] {
        let path = format!("/api/v1/agents/web-1/log?lines={lines}");
        world.refused(Method::GET, &path, None, 400, "bad-parameter").await;
    }
    world.refused(Method::GET, "/api/v1/agents/other/log", None, 404, "unknown-agent").await;
    drop(node);
    world.until("web-1", |agent| agent["state"] == "away").await;
    world.refused(Method::GET, "/api/v1/agents/web-1/log", None, 409, "agent-away").await;
}

/// Where agents come to producers, the API is another process.
#[tokio::test]
async fn an_agent_at_another_process_is_shown_as_one_at_this() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let elsewhere = world.agents_elsewhere().await;
    let mut node = Node::attend_at(&world, &elsewhere, &key, "web-1").await;
    let agent = world.until("web-1", |agent| agent["state"] == "ok").await;
    assert_eq!((&agent["host"], &agent["version"]), (&json!("web-1.example"), &json!("1.2.3")));
    assert!(agent["connected"].is_string());
    assert!(matches!(node.told().await, Ok(Told::Unchanged(_))), "it has nothing to run");
    world.tell("/api/v1/configurations", json!({ "labels": {}, "text": "inputs: [{paths: [/a]}]" })).await;
    let told = node.configuration().await;
    node.status(Status { inputs: vec![input(0)], running: told.hash, ..Status::default() }).await;
    let agent = world.until("web-1", |agent| agent["revision"] == 1).await;
    assert_eq!(agent["inputs"][0]["input"], "/var/log/app/*.log");
    let asked = world.look("/api/v1/agents/web-1/log?lines=2");
    assert_eq!(tokio::join!(asked, node.gives_its_log()).0, json!({ "lines": ["one"] }));
    world.tell("/api/v1/agents/web-1/revoke", json!({})).await;
    assert_eq!(node.told().await.expect_err("it is sent away").code(), tonic::Code::PermissionDenied);
    world.removed("/api/v1/agents/web-1").await;
}

#[tokio::test]
async fn an_agent_is_revoked_and_forgotten() {
    let world = World::new().await;
    let key = world.key(json!({})).await;
    let mut node = Node::attend(&world, &key, "web-1").await;
    node.told().await.expect("it is welcome");
    let agent = world.tell("/api/v1/agents/web-1/revoke", json!({ "note": "stolen" })).await;
    assert_eq!((&agent["state"], &agent["why"]), (&json!("revoked"), &json!("revoked by `admin`: stolen")));
    assert!(agent["revoked"].is_string());
    assert_eq!(node.told().await.expect_err("it is sent away").code(), tonic::Code::PermissionDenied);
    // The first reason stays.
    let agent = world.tell("/api/v1/agents/web-1/revoke", json!({})).await;
    assert_eq!(agent["why"], "revoked by `admin`: stolen");
    world.removed("/api/v1/agents/web-1").await;
    assert_eq!(world.look("/api/v1/agents").await, json!({ "agents": [] }));
    // In the second of a certificate its name is not given away.
    let whole = || SystemClock.now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs();
    let second = whole();
    while whole() == second {
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
    let another = Node::attend(&world, &key, "web-1").await;
    assert_eq!(another.name, "web-1");
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let world = World::new().await;
    let check = async |method: Method, path: &str, body: Option<Value>| {
        let told = world.refused(method, &format!("/api/v1/agents/{path}"), body, 404, "unknown-agent").await;
        assert_eq!(told, "there is no agent `other`");
    };
    check(Method::GET, "other", None).await;
    check(Method::POST, "other/revoke", Some(json!({}))).await;
    check(Method::DELETE, "other", None).await;
    world.refused(Method::GET, "/api/v1/agents/a%20b", None, 400, "bad-parameter").await;
    let note = Some(json!({ "note": 1 }));
    world.refused(Method::POST, "/api/v1/agents/other/revoke", note, 422, "bad-parameter").await;
}
