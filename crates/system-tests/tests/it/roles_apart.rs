//! One instance in processes of its own: agents enrol at a server, and stream to producers that share its state, over a
//! real Kafka and a real OpenSearch.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use weir_services::{Engine, Home, Kafka, Postgres, Search};
use weir_system_tests::cli::Running;
use weir_system_tests::process::{Setup, Weir, free_address};
use weir_system_tests::reckoning::delivered;
use weir_system_tests::seed;
use weir_system_tests::wait::{until, until_seldom};
use weir_testkit::{Cable, CableState};

use crate::enrolled::{Agent, PATIENCE, far};
use crate::writers::{Written, check_each, count, write};

/// An instance whose roles can be killed and started again.
struct Roles {
    directory: PathBuf,
    search: SocketAddr,
    namespace: String,
    server: Setup,
    producers: [Setup; 2],
    consumer: Setup,
    settings: String,
    _kafka: Kafka,
}

impl Roles {
    /// `state` is the section of the settings that all share; agents are told to come to these addresses.
    fn new(
        directory: &Path,
        namespace: &str,
        state: &Value,
        agents: impl Fn(SocketAddr) -> SocketAddr,
    ) -> Self {
        let made = |name: &str| {
            let made = directory.join(name);
            std::fs::create_dir_all(&made).unwrap();
            made
        };
        let kafka = Kafka::start(&Home::of_the_tree(), &made("kafka"), 1).expect("it starts");
        let search = Search::of_this_process(&Home::of_the_tree(), Engine::OpenSearch2).expect("it starts");
        let setup = |name: &str| Setup::new(&made(name));
        let (mut server, producers) = (setup("server"), ["producer-1", "producer-2"].map(setup).map(reached));
        let token = directory.join("server").join("operator.token").display().to_string();
        server.settings.push(("WEIR_TOKEN_FILE".to_owned(), token));
        let told: Vec<String> =
            producers.iter().map(|producer| agents(producer.addresses.ingest).to_string()).collect();
        let settings = json!({
            "kafka": { "brokers": [kafka.addresses()], "tail_interval": "100ms", "listing_interval": "1s" },
            "elasticsearch": { "urls": [format!("http://{search}")], "namespace": namespace },
            "server": {
                "producer_grpc_url": format!("https://{}", producers[0].addresses.grpc),
                "producer_http_url": format!("https://{}", producers[0].addresses.http),
            },
            "producer": { "unknown_apps": "refuse" },
            "fleet": { "advertise": { "agents": told } },
            "state": state,
        });
        let path = directory.join("weir.yaml");
        // JSON is YAML.
        std::fs::write(&path, settings.to_string()).unwrap();
        Self {
            directory: directory.to_owned(),
            search,
            namespace: namespace.to_owned(),
            server,
            producers,
            consumer: setup("consumer"),
            settings: path.to_str().unwrap().to_owned(),
            _kafka: kafka,
        }
    }

    fn command(&self, setup: &Setup, role: &str) -> Command {
        setup.command(&[role, "--config", &self.settings])
    }

    async fn server(&self) -> Weir {
        self.server.start_as(self.command(&self.server, "server")).await
    }

    async fn producer(&self, number: usize) -> Weir {
        let setup = &self.producers[number];
        setup.start_as(self.command(setup, "producer")).await
    }

    async fn consumer(&self) -> Weir {
        self.consumer.start_as(self.command(&self.consumer, "consumer")).await
    }

    /// What a command prints that asks the server as an operator.
    fn run(&self, arguments: &[&str]) -> String {
        self.server.run(arguments).good()
    }

    fn key(&self) -> String {
        let line = self.run(&["agent", "key", "create", "web", "--app", "shop", "--labels", "role=web"]);
        let key = line.split_whitespace().find_map(|word| word.strip_prefix("WEIR_KEY="));
        key.expect("it is in the line").to_owned()
    }

    /// Tells the agents what to read.
    fn configure(&self, text: &str) {
        let file = self.directory.join("agent.yaml");
        std::fs::write(&file, text).unwrap();
        self.run(&["config", "set", "--labels", "role=web", &file.display().to_string()]);
    }

    /// The agent once it is as wanted.
    async fn agent(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, PATIENCE, async || {
            let agents: Vec<Value> = self.server.run(&["agent", "list", "-o", "json"]).json();
            agents.into_iter().find(|agent| agent["agent"] == "web-1").filter(&is_so)
        })
        .await
    }

    /// Makes what is delivered visible to searches.
    async fn refresh(&self) {
        let url = format!("http://{}/{}*/_refresh", self.search, self.namespace);
        reqwest::Client::new().post(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// Where the agent is connected, by the gauge of each producer.
    async fn attended(&self) -> Vec<f64> {
        let mut found = Vec::new();
        for producer in &self.producers {
            let url = format!("http://{}/metrics", producer.addresses.ops);
            let text = reqwest::get(url).await.unwrap().text().await.unwrap();
            let value = text.lines().find_map(|line| line.strip_prefix("weir_attending_agents "));
            found.push(value.and_then(|value| value.parse().ok()).unwrap_or_default());
        }
        found
    }
}

/// Where other machines reach clients' doors, these have TLS, with a certificate of the instance.
fn reached(setup: Setup) -> Setup {
    let everywhere = |address: SocketAddr| format!("0.0.0.0:{}", address.port());
    let (http, grpc) = (everywhere(setup.addresses.http), everywhere(setup.addresses.grpc));
    setup.with("listen.allow_public", "true").with("listen.http", &http).with("producer.grpc_listen", &grpc)
}

fn inputs(logs: &Path, scan: &str) -> String {
    format!(
        "inputs: [{{paths: ['{}/app-*.log*'], scan_interval: {scan}, close_after: 500ms}}]\n",
        logs.display()
    )
}

/// The server makes it.
async fn a_producer_waits_for_the_instance(roles: &Roles) -> Weir {
    let early = Running::start(roles.command(&roles.producers[0], "producer"), b"");
    until("it says what it waits for", PATIENCE, async || {
        early.err().contains("waiting for an instance: `weir server`").then_some(())
    })
    .await;
    let server = roles.server().await;
    until("it goes on by itself", PATIENCE, async || {
        let url = format!("http://{}/readyz", roles.producers[0].addresses.ops);
        reqwest::get(url).await.ok()?.status().is_success().then_some(())
    })
    .await;
    drop(early);
    server
}

/// What a user does with an instance is done where the API is, and has its effect where agents and clients are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_in_roles_is_one_instance() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let state = json!({ "directory": directory.join("state") });
    let roles = Roles::new(directory, "roles-", &state, |address| address);
    let _server = a_producer_waits_for_the_instance(&roles).await;
    let mut producers = vec![roles.producer(0).await, roles.producer(1).await];
    let _consumer = roles.consumer().await;
    roles.run(&["app", "create", "shop"]);
    roles.configure(&inputs(directory, "50ms"));
    std::fs::write(directory.join("app-1.log"), "0 0 0 first\n").unwrap();
    let _agent = Agent::start(&directory.join("web-1"), free_address(), Some(&roles.key()));
    let agent = roles.agent("it runs what it was told", |agent| agent["revision"] == 1).await;
    assert_eq!(agent["state"], "ok", "{agent}");
    assert!(agent["host"].is_string() && agent["connected"].is_string(), "{agent}");
    let shown = roles.run(&["agent", "show", "web-1"]);
    assert!(shown.contains("app-*.log"), "{shown}");
    let log = roles.run(&["agent", "logs", "web-1"]);
    assert!(log.contains("configuration"), "it logged what it runs: {log}");
    let status = roles.run(&["config", "status", "-o", "json"]);
    assert!(status.contains("\"running\":1,"), "{status}");

    // An app's secret and its limits count at every producer; the secret is in no record.
    let secret = roles.run(&["app", "create", "bank", "--max-tps", "1000"]);
    let secret =
        secret.split_whitespace().find(|word| word.starts_with("weira1_")).expect("it is shown once");
    let send_this = |secret: Option<&str>, line: &str| {
        let mut command = roles.producers[1].command(&["send", "--app", "bank"]);
        command.envs(secret.map(|secret| ("WEIR_TOKEN", secret)));
        Running::start(command, line.as_bytes()).outcome()
    };
    let time = "2026-11-29T10:00:00Z";
    let send = |secret: Option<&str>| send_this(secret, &format!("{{\"time\":\"{time}\",\"sum\":1}}\n"));
    until("the producer knows the app", PATIENCE, async || send(Some(secret)).status.success().then_some(()))
        .await;
    let refused =
        [(None, "app `bank` has a secret"), (Some("weira1_x"), "this is not the secret of app `bank`")];
    for (secret, expected) in refused {
        let refused = send(secret);
        assert!(refused.err.contains(expected), "{refused:?}");
    }
    delivered(roles.server.addresses).await;
    roles.refresh().await;
    assert_eq!(count(roles.server.addresses, "shop").await, 1);
    assert_eq!(count(roles.server.addresses, "bank").await, 1);

    // A dead letter is replayed through a producer, which knows the server as one of the instance.
    send_this(Some(secret), &format!("{{\"time\":\"{time}\",\"sum\":\"much\"}}\n")).good();
    let letter = until("it is dead", PATIENCE, async || {
        let letters: Vec<Value> = roles.server.run(&["dead", "list", "-o", "json"]).json();
        letters.into_iter().next()
    })
    .await;
    let id = letter["id"].as_str().expect("an id");
    assert_eq!(roles.run(&["dead", "replay", id, "--set", "sum=2"]), "1 accepted again, 0 refused\n");
    delivered(roles.server.addresses).await;
    roles.refresh().await;
    assert_eq!(count(roles.server.addresses, "bank").await, 2);

    // The agent goes where there is a producer, and the server sees it there.
    let attended = roles.attended().await;
    let at = attended.iter().position(|agents| *agents > 0.0).expect("it is somewhere");
    let before = agent["connected"].clone();
    producers.remove(at).kill();
    let moved = |agent: &Value| agent["state"] == "ok" && agent["connected"] != before;
    roles.agent("it is at the other producer", moved).await;
    roles.run(&["agent", "logs", "web-1"]);
    std::fs::write(directory.join("app-2.log"), "0 1 0 second\n").unwrap();
    until_seldom("what it reads there is stored", PATIENCE, async || {
        roles.refresh().await;
        (count(roles.server.addresses, "shop").await == 2).then_some(())
    })
    .await;

    // Whoever is revoked at the server is out at the producer, within seconds.
    roles.run(&["agent", "revoke", "web-1"]);
    until("it is sent away", PATIENCE, async || {
        let url = format!("http://{}/metrics", roles.producers[1 - at].addresses.ops);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        text.lines().any(|line| line == "weir_attending_agents 0").then_some(())
    })
    .await;
    assert_eq!(producers.remove(0).terminate().await.code(), Some(0));
}

/// All of it, as it runs, with a folder of files that are read.
struct Lives {
    roles: Roles,
    postgres: Postgres,
    server: Option<Weir>,
    producers: [Option<Weir>; 2],
    consumer: Option<Weir>,
    /// Between the agent and each producer.
    cables: Vec<Cable>,
    folder: PathBuf,
    ops: SocketAddr,
    agent: Option<Agent>,
}

impl Lives {
    async fn start(directory: &Path) -> Self {
        let postgres = Postgres::start(&directory.join("postgres")).expect("it starts");
        let state = json!({ "postgres": {
            "address": postgres.address().to_string(),
            "database": Postgres::USER,
            "username": Postgres::USER,
            "password": Postgres::PASSWORD,
        } });
        let roles = Roles::new(directory, "chaos-", &state, far);
        let server = Some(roles.server().await);
        let producers = [Some(roles.producer(0).await), Some(roles.producer(1).await)];
        let consumer = Some(roles.consumer().await);
        let mut cables = Vec::new();
        for producer in &roles.producers {
            let near = producer.addresses.ingest;
            cables.push(Cable::between(far(near), near).await.unwrap());
        }
        roles.run(&["app", "create", "shop"]);
        let (folder, ops, key) = (directory.join("web-1"), free_address(), roles.key());
        let agent = Some(Agent::start(&folder, ops, Some(&key)));
        roles.configure(&inputs(&directory.join("logs"), "50ms"));
        roles.agent("it has joined and runs", |agent| agent["revision"] == 1).await;
        Self { roles, postgres, server, producers, consumer, cables, folder, ops, agent }
    }

    async fn suffer(&mut self, rng: &mut ChaCha8Rng) {
        let pause = Duration::from_millis(rng.random_range(10..500));
        let one = rng.random_range(0..2);
        match rng.random_range(0..13) {
            0..2 => {
                self.agent = None;
                tokio::time::sleep(pause).await;
                self.agent = Some(Agent::start(&self.folder, self.ops, None));
            }
            2..6 => {
                self.producers[one].take().expect("it runs").kill();
                tokio::time::sleep(pause).await;
                self.producers[one] = Some(self.roles.producer(one).await);
            }
            6 => {
                self.server.take().expect("it runs").kill();
                self.server = Some(self.roles.server().await);
            }
            7 => {
                self.consumer.take().expect("it runs").kill();
                self.consumer = Some(self.roles.consumer().await);
            }
            8 => {
                self.postgres.kill().unwrap();
                tokio::time::sleep(pause).await;
                self.postgres.restart().unwrap();
            }
            9 => self.cables[one].snap(),
            10 => self.cables[one].becomes(CableState::Dead),
            11 => self.cables[one].becomes(CableState::HalfOpen),
            _ => self.cables[one].becomes(CableState::Slow(Duration::from_millis(200))),
        }
    }
}

/// Every line of every file once and in order, whatever happens to producers, servers, the state, the agent and its
/// network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_in_roles_lives_through_everything() {
    const FAULTS: usize = 60;
    let mut rng = seed::rng();
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut lives = Lives::start(directory.path()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (logs, stop, seed) = (logs.clone(), Arc::clone(&stop), rng.random());
            std::thread::spawn(move || write(&logs, writer, seed, &stop))
        })
        .collect();
    for _ in 0..FAULTS {
        tokio::time::sleep(Duration::from_millis(rng.random_range(10..400))).await;
        lives.suffer(&mut rng).await;
        if rng.random_bool(0.5) {
            lives.cables.iter().for_each(|cable| cable.becomes(CableState::Whole));
        }
    }
    lives.cables.iter().for_each(|cable| cable.becomes(CableState::Whole));
    stop.store(true, Ordering::Relaxed);
    let written: Vec<Written> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let expected: u64 = written.iter().flatten().sum();
    eprintln!("{expected} lines, {FAULTS} faults");
    let Lives { roles, producers, .. } = &mut lives;
    let addresses = roles.server.addresses;
    until_seldom("every line is stored", PATIENCE, async || {
        roles.refresh().await;
        (count(addresses, "shop").await as u64 >= expected).then_some(())
    })
    .await;
    check_each(addresses, &written).await;
    let agents: Vec<Value> = roles.server.run(&["agent", "list", "-o", "json"]).json();
    assert_eq!(agents.len(), 1, "it is one agent all the time: {agents:?}");
    for producer in producers.iter_mut().filter_map(Option::take) {
        assert!(producer.terminate().await.success());
    }
}
