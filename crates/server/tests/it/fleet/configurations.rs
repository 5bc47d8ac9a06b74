use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weir_wire::proto::control::report::Kind as Said;
use weir_wire::proto::control::{Outcome, Status};

use crate::node::Node;
use crate::world::World;

const ALL: &str = "/api/v1/configurations";

fn reads(paths: &[&str]) -> String {
    let input = |path: &&str| format!("  - paths: ['{path}']\n");
    format!("inputs:\n{}", paths.iter().map(input).collect::<String>())
}

impl World {
    async fn set(&self, labels: Value, text: &str) -> Value {
        self.tell(ALL, json!({ "labels": labels, "text": text, "note": "why not" })).await
    }
}

#[tokio::test]
async fn a_configuration_is_set_and_its_difference_told() {
    let world = World::new().await;
    let first = world.set(json!({ "role": "web" }), &reads(&["/a"])).await;
    assert_eq!((&first["changed"], &first["agents"]), (&json!(true), &json!(0)));
    insta::assert_snapshot!(super::text(&first["diff"]), @r"
    --- nothing
    +++ revision 1
    @@ -0,0 +1,2 @@
    +inputs:
    +  - paths: ['/a']
    ");
    let second = world.set(json!({ "role": "web" }), &reads(&["/a", "/b"])).await;
    insta::assert_snapshot!(super::text(&second["diff"]), @r"
    --- revision 1
    +++ revision 2
    @@ -1,2 +1,3 @@
     inputs:
       - paths: ['/a']
    +  - paths: ['/b']
    ");
    let entry = &second["configuration"];
    let expected = json!({
        "revision": 2, "labels": { "role": "web" }, "hash": entry["hash"], "bytes": 44, "made": entry["made"],
        "made_by": "admin", "note": "why not",
    });
    assert_eq!(entry, &expected);
    // The same again is nothing new.
    let again = world.set(json!({ "role": "web" }), &reads(&["/a", "/b"])).await;
    assert_eq!(
        (&again["changed"], &again["diff"], &again["configuration"]),
        (&json!(false), &json!(""), entry)
    );
    assert_eq!(world.look(ALL).await, json!({ "configurations": [entry] }));
    let mut whole = entry.clone();
    whole["text"] = json!(reads(&["/a", "/b"]));
    assert_eq!(world.look(&format!("{ALL}/2")).await, whole);
    let history = world.look(&format!("{ALL}/history?labels=role=web")).await;
    assert_eq!(history, json!({ "configurations": [entry, first["configuration"]] }));
    assert_eq!(world.look(&format!("{ALL}/history?labels=*")).await, json!({ "configurations": [] }));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_does_nothing() {
    let world = World::new().await;
    let web = world.key(json!({ "role": "web" })).await;
    let _both = [Node::attend(&world, &web, "web-1").await, Node::attend(&world, &web, "web-2").await];
    let other = world.key(json!({ "role": "db" })).await;
    let _other = Node::attend(&world, &other, "db-1").await;
    let dry = async |labels: Value, text: &str| {
        world.tell(ALL, json!({ "labels": labels, "text": text, "dry_run": true })).await
    };
    let check = async |labels: Value, agents: u64| {
        let answer = dry(labels.clone(), &reads(&["/a"])).await;
        assert_eq!((&answer["changed"], &answer["agents"]), (&json!(true), &json!(agents)), "{labels}");
        assert!(answer.get("configuration").is_none());
        insta::allow_duplicates! {
            insta::assert_snapshot!(super::text(&answer["diff"]), @r"
            --- nothing
            +++ new
            @@ -0,0 +1,2 @@
            +inputs:
            +  - paths: ['/a']
            ");
        }
    };
    check(json!({}), 3).await;
    check(json!({ "role": "web" }), 2).await;
    check(json!({ "app": "shop" }), 3).await;
    check(json!({ "agent": "db-1" }), 1).await;
    check(json!({ "role": "web", "agent": "web-2" }), 1).await;
    check(json!({ "role": "other" }), 0).await;
    assert_eq!(world.look(ALL).await, json!({ "configurations": [] }));
    // Where more labels fit, those count.
    world.set(json!({ "role": "web", "agent": "web-2" }), &reads(&["/b"])).await;
    check(json!({ "role": "web" }), 1).await;
    let unchanged = dry(json!({ "role": "web", "agent": "web-2" }), &reads(&["/b"])).await;
    assert_eq!(unchanged, json!({ "changed": false, "agents": 1, "diff": "" }));
}

#[tokio::test]
async fn what_agents_would_not_take_is_named_by_line() {
    let world = World::new().await;
    world.set(json!({}), &reads(&["/a"])).await;
    let text = "inputs:\n  - paths: []\n  - pathes: [/b]\nagent: {}\n";
    for dry_run in [false, true] {
        let ask = json!({ "labels": {}, "text": text, "dry_run": dry_run });
        let (status, answer) = world.operate(Method::POST, ALL, Some(ask)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let expected = json!({
            "error": { "code": "bad-configuration", "message": "agents would not take the configuration" },
            "problems": [
                { "line": 2, "path": "inputs[0].paths", "message": "must have at least one" },
                {
                    "line": 3, "path": "inputs[1].pathes", "message": "unknown key",
                    "hint": "did you mean `paths`?",
                },
                { "line": 3, "path": "inputs[1].paths", "message": "must have at least one" },
                { "line": 4, "path": "agent", "message": "unknown key" },
            ],
        });
        assert_eq!(answer, expected);
    }
    let noise = json!({ "labels": {}, "text": "inputs: [] # \u{1b}[2J" });
    world.refused(Method::POST, ALL, Some(noise), 400, "bad-configuration").await;
    let huge = json!({ "labels": {}, "text": "#".repeat((1 << 20) + 1), "dry_run": true });
    let told = world.refused(Method::POST, ALL, Some(huge), 400, "bad-configuration").await;
    assert_eq!(told, "a configuration has at most 1048576 bytes, this one has 1048577");
    assert_eq!(world.look(ALL).await["configurations"][0]["revision"], 1);
}

#[tokio::test]
async fn a_configuration_is_rolled_back_and_withdrawn() {
    let world = World::new().await;
    let labels = json!({ "role": "web" });
    for path in ["/a", "/b", "/c"] {
        world.set(labels.clone(), &reads(&[path])).await;
    }
    let key = world.key(labels.clone()).await;
    let mut node = Node::attend(&world, &key, "web-1").await;
    assert_eq!(node.configuration().await.revision, 3);
    let back = async |revision: Option<u64>| {
        let mut ask = json!({ "labels": labels });
        if let Some(revision) = revision {
            ask["revision"] = json!(revision);
        }
        world.tell(&format!("{ALL}/rollback"), ask).await
    };
    let answer = back(None).await;
    let entry = &answer["configuration"];
    assert_eq!(
        (&entry["revision"], &entry["restores"], &answer["agents"]),
        (&json!(4), &json!(2), &json!(1))
    );
    insta::assert_snapshot!(super::text(&answer["diff"]), @r"
    --- revision 3
    +++ revision 4
    @@ -1,2 +1,2 @@
     inputs:
    -  - paths: ['/c']
    +  - paths: ['/b']
    ");
    assert_eq!(node.configuration().await.text, reads(&["/b"]));
    assert_eq!(back(Some(1)).await["configuration"]["restores"], 1);
    assert_eq!(node.configuration().await.text, reads(&["/a"]));
    // What did not work is offered again to those who are there, though its text is the same.
    assert_eq!(back(Some(5)).await["configuration"]["restores"], 5);
    let again = node.configuration().await;
    assert_eq!((again.revision, again.text), (6, reads(&["/a"])));
    let answer = world.tell(&format!("{ALL}/withdraw"), json!({ "labels": labels })).await;
    assert_eq!(answer, json!({ "agents": 1 }));
    assert_eq!(node.configuration().await.text, "");
    world.refused(Method::GET, &format!("{ALL}/6"), None, 404, "unknown-configuration").await;
}

#[tokio::test]
async fn configurations_are_listed_by_their_labels() {
    let world = World::new().await;
    for labels in [json!({ "role": "web" }), json!({}), json!({ "app": "shop" }), json!({ "agent": "a" })] {
        world.set(labels, &reads(&["/a"])).await;
    }
    let expected = [json!({}), json!({ "agent": "a" }), json!({ "app": "shop" }), json!({ "role": "web" })];
    for path in [ALL, "/api/v1/configurations/status"] {
        let answer = world.look(path).await;
        let listed = answer["configurations"].as_array().expect("is a list").iter();
        assert_eq!(listed.map(|entry| entry["labels"].clone()).collect::<Vec<_>>(), expected, "{path}");
    }
}

#[tokio::test]
async fn how_far_agents_are_is_counted() {
    let world = World::new().await;
    let key = world.key(json!({ "role": "web" })).await;
    let other = world.key(json!({ "role": "other" })).await;
    world.set(json!({ "role": "web" }), &reads(&["/a"])).await;
    let mut nodes = Vec::new();
    for number in 1..=6 {
        let mut node = Node::attend(&world, &key, &format!("web-{number}")).await;
        node.configuration().await;
        nodes.push(node);
    }
    let _alone = Node::attend(&world, &other, "other").await;
    let hash = world.look(ALL).await["configurations"][0]["hash"].as_str().expect("a text").to_owned();
    nodes[0].status(Status { running: hash.clone(), ..Status::default() }).await;
    for (node, error) in nodes[1..4].iter().zip(["no such folder", "permission denied", "permission denied"])
    {
        let outcome = Outcome { hash: hash.clone(), revision: 1, error: error.to_owned() };
        node.says(Said::Outcome(outcome)).await;
    }
    world.tell("/api/v1/agents/web-5/revoke", json!({})).await;
    nodes.truncate(4);
    for (name, state) in [("web-4", "failed-configuration"), ("web-6", "away"), ("web-1", "ok")] {
        world
            .until(name, |agent| agent["state"] == state && agent.get("why").is_some() == (state != "ok"))
            .await;
    }
    world.until("web-2", |agent| agent["state"] == "failed-configuration").await;
    world.until("web-3", |agent| agent["state"] == "failed-configuration").await;
    let status = world.look(&format!("{ALL}/status")).await;
    let found = &status["configurations"][0];
    let counts = ["agents", "running", "trying", "failed", "away"].map(|name| found[name].as_u64());
    assert_eq!(counts, [Some(5), Some(1), Some(0), Some(3), Some(1)], "{status}");
    assert_eq!((&found["revision"], &status["without"]), (&json!(1), &json!(1)));
    let expected = json!([
        { "reason": "permission denied", "agents": 2, "example": "web-3" },
        { "reason": "no such folder", "agents": 1, "example": "web-2" },
    ]);
    assert_eq!(found["failures"], expected);
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_name() {
    let world = World::new().await;
    let post = async |path: &str, body: Value, status: u16, code: &str| {
        world.refused(Method::POST, &format!("{ALL}{path}"), Some(body), status, code).await
    };
    let set = |labels: Value| json!({ "labels": labels, "text": "" });
    insta::assert_snapshot!(post("", set(json!({ "Role": "web" })), 400, "bad-parameter").await, @"`labels`: `Role` can not be the key of a label");
    insta::assert_snapshot!(post("", set(json!({ "role": "" })), 400, "bad-parameter").await, @"`labels`: the value of label `role` has other characters than it may, or too many");
    // Who forgets the labels does not mean everybody.
    post("", json!({ "text": "" }), 422, "bad-parameter").await;
    post("", set(json!("role=web")), 422, "bad-parameter").await;
    let web = json!({ "role": "web" });
    insta::assert_snapshot!(post("/rollback", json!({ "labels": web }), 404, "unknown-configuration").await, @"agents with `role=web` had nothing before that they could go back to");
    insta::assert_snapshot!(post("/rollback", json!({ "labels": web, "revision": 7 }), 404, "unknown-configuration").await, @"agents with `role=web` never had configuration 7, or it is not kept any more");
    insta::assert_snapshot!(post("/withdraw", json!({ "labels": {} }), 404, "unknown-configuration").await, @"there is no configuration for agents with `*`");
    let get = async |path: &str, status: u16, code: &str| {
        world.refused(Method::GET, &format!("{ALL}{path}"), None, status, code).await
    };
    insta::assert_snapshot!(get("/7", 404, "unknown-configuration").await, @"there is no revision 7");
    insta::assert_snapshot!(get("/x", 400, "bad-parameter").await, @"`x` is no number of a revision");
    insta::assert_snapshot!(get("/history?labels=role", 400, "bad-parameter").await, @"`labels`: labels have the form `key=value,key=value`");
    insta::assert_snapshot!(get("/history?labels=role=a,role=b", 400, "bad-parameter").await, @"`labels`: label `role` is there twice");
    get("/history", 400, "bad-parameter").await;
    get("/history?label=role=web", 400, "bad-parameter").await;
}
