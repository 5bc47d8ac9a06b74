//! Configurations that work nowhere: all agents go back by themselves and say why, and nothing of their files is lost.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use weir_system_tests::process::{Setup, free_address};
use weir_system_tests::wait::{until, until_seldom};

use crate::enrolled::{Agent, Instance, PATIENCE};
use crate::writers::stored;

const AGENTS: usize = 10;
const ALL: [&str; 2] = ["--labels", "role=web"];

/// An instance and a file that all its agents read.
struct World {
    directory: tempfile::TempDir,
    instance: Instance,
    lines: u64,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let instance = Instance::new(&directory.path().join("data"), Ipv4Addr::LOCALHOST);
        Self { directory, instance, lines: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A configuration that reads the file, and this besides.
    fn text(&self, besides: &str) -> String {
        let file = self.path("app.log").display().to_string();
        format!("inputs:\n  - {{paths: ['{file}'], scan_interval: 50ms}}\n{besides}")
    }

    fn append(&mut self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path("app.log")).unwrap();
        writeln!(file, "line {}", self.lines).unwrap();
        self.lines += 1;
    }

    /// The rows that a command prints.
    fn rows(&self, command: &[&str]) -> Vec<Value> {
        let printed = self.instance.run(&[command, &["-o", "json"]].concat());
        serde_json::Deserializer::from_str(&printed).into_iter().map(|row| row.expect("is JSON")).collect()
    }

    /// Waits until all agents are so, by the word of `weir agent list`.
    async fn all(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        until_seldom(what, PATIENCE, async || {
            let agents = self.rows(&["agent", "list"]);
            (agents.len() == AGENTS && agents.iter().all(&is_so)).then_some(())
        })
        .await;
    }

    /// Every line once of every agent, in its order.
    async fn has_all(&self) {
        let addresses = self.instance.setup.addresses;
        let expected = self.lines * AGENTS as u64;
        until_seldom("all lines are stored", PATIENCE, async || {
            (stored(addresses, "shop").await.len() as u64 >= expected).then_some(())
        })
        .await;
        let mut events = stored(addresses, "shop").await;
        events.sort_unstable_by_key(|event| event.place);
        for number in 1..=AGENTS {
            let of_agent = events.iter().filter(|event| event.content["host"] == agent_name(number));
            let found: Vec<&str> = of_agent.map(|event| event.message()).collect();
            let lines: Vec<String> = (0..self.lines).map(|line| format!("line {line}")).collect();
            assert_eq!(found, lines, "{}", agent_name(number));
        }
        assert_eq!(events.len() as u64, expected);
    }
}

fn agent_name(number: usize) -> String {
    format!("web-{number}")
}

/// What `weir agent check` says on the node of an agent.
fn checked(setup: &Setup, ops: SocketAddr) -> (Output, Value) {
    let output =
        setup.command(&["agent", "check", "--ops", &ops.to_string(), "-o", "json"]).output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output, said)
}

fn key_file(folder: &Path, key: &str) -> PathBuf {
    let file = folder.join("access.key");
    fs::write(&file, format!("{key}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_agents_go_back_to_what_worked() {
    let mut world = World::new();
    let server = world.instance.setup.start().await;
    world.instance.run(&["app", "create", "shop"]);
    let key = key_file(world.directory.path(), &world.instance.key("10", &[]));
    let mut agents = Vec::new();
    for number in 1..=AGENTS {
        let (folder, ops) = (world.path(&agent_name(number)), free_address());
        agents.push((Agent::of_key_file(&folder, ops, &agent_name(number), &key), ops));
    }
    world.append();
    world.instance.configure(&world.text(""));
    let runs = |revision: u64, state: &str| {
        let (revision, state) = (json!(revision), json!(state));
        move |agent: &Value| agent["revision"] == revision && agent["state"] == state
    };
    world.all("all run the first", runs(1, "ok")).await;

    // A link to itself is nothing that can be read: the server can not know, and each agent finds out.
    let link = world.path("loop.log");
    std::os::unix::fs::symlink("loop.log", &link).unwrap();
    world.instance.configure(&world.text(&format!("  - {{paths: ['{}']}}\n", link.display())));
    world.append();
    world.all("all went back", runs(1, "failed-configuration")).await;
    for agent in world.rows(&["agent", "list"]) {
        let why = agent["why"].as_str().expect("it says why");
        assert!(why.contains("can not start") && why.contains("loop.log"), "{why}");
    }
    let status = &world.rows(&["config", "status"])[0];
    let counts = ["agents", "running", "trying", "failed"].map(|name| status[name].as_u64());
    assert_eq!(counts, [Some(10), Some(0), Some(0), Some(10)], "{status}");
    world.append();
    world.has_all().await;
    for (_, ops) in &agents {
        let (output, said) = checked(&world.instance.setup, *ops);
        assert_eq!((output.status.code(), &said["failed"]["revision"]), (Some(1), &json!(2)), "{said}");
    }

    world.instance.run(&[&["config", "rollback"], &ALL[..]].concat());
    world.all("all are well again", runs(3, "ok")).await;
    let history = world.rows(&[&["config", "history"], &ALL[..]].concat());
    let revisions: Vec<_> = history.iter().map(|entry| entry["revision"].as_u64()).collect();
    assert_eq!(revisions, [Some(3), Some(2), Some(1)]);
    world.append();
    world.has_all().await;
    for (_, ops) in &agents {
        until("the agent says that it is well", PATIENCE, async || {
            let (output, said) = checked(&world.instance.setup, *ops);
            let input = &said["inputs"][0];
            let is_well = output.status.success() && said["good"] == json!(true);
            (is_well && input["files"] == json!(1) && input["lag_bytes"] == json!(0)).then_some(())
        })
        .await;
    }
    drop(agents);
    assert!(server.terminate().await.success());
}
