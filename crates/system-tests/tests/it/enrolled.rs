//! Agents that enrol, are told what to do, and live through what happens to networks and processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_system_tests::process::{Setup, Weir, binary, free_address};
use weir_system_tests::seed;
use weir_system_tests::wait::{until, until_seldom};
use weir_testkit::{Cable, CableState};
use weir_uplink::{Attendance, Condition, Enrolment, Link, OwnLog, Pings, Server, Uplink};

use crate::writers::{Written, check_each, count, write};

pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Where agents reach the server: another address of this machine, between which and the server are cables.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// An instance with the app `shop`.
pub(crate) struct Instance {
    pub(crate) setup: Setup,
}

impl Instance {
    /// Agents are told to come to this address.
    pub(crate) fn new(directory: &Path, far: Ipv4Addr) -> Self {
        let setup = Setup::new(directory).restless();
        let token = directory.join("operator.token").display().to_string();
        let mut setup = setup.with("fleet.names", &far.to_string());
        setup.settings.push(("WEIR_TOKEN_FILE".to_owned(), token));
        Self { setup }
    }

    /// What a command prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.setup.command(arguments).output().expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).expect("is text")
    }

    /// An access key, as it stands in the line for the node.
    pub(crate) fn key(&self, uses: &str, more: &[&str]) -> String {
        let arguments =
            ["agent", "key", "create", "web", "--app", "shop", "--labels", "role=web", "--uses", uses];
        let line = self.run(&[&arguments, more].concat());
        let key = line.split_whitespace().find_map(|word| word.strip_prefix("WEIR_KEY="));
        key.expect("it is in the line").to_owned()
    }

    pub(crate) fn configure(&self, text: &str) {
        let file = self.setup.data_dir.join("agent.yaml");
        std::fs::write(&file, text).expect("there is space");
        self.run(&["config", "set", "--labels", "role=web", &file.display().to_string()]);
    }

    pub(crate) fn agents(&self) -> Vec<Value> {
        let listed = self.run(&["agent", "list", "-o", "json"]);
        let agents = serde_json::Deserializer::from_str(&listed).into_iter::<Value>();
        let read = agents.map(|agent| agent.expect("is JSON"));
        read.flat_map(|agent| match agent {
            Value::Array(agents) => agents,
            agent => vec![agent],
        })
        .collect()
    }
}

/// An agent that ends with its test.
pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn start(directory: &Path, ops: SocketAddr, key: Option<&str>) -> Self {
        let mut command = Self::command(directory, ops, "web-1");
        command.envs(key.map(|key| ("WEIR_KEY", key)));
        Self(command.spawn().expect("the binary starts"))
    }

    /// As the units and manifests in `deploy/` have it.
    pub(crate) fn of_key_file(directory: &Path, ops: SocketAddr, name: &str, key: &Path) -> Self {
        let mut command = Self::command(directory, ops, name);
        Self(command.arg("--key-file").arg(key).spawn().expect("the binary starts"))
    }

    fn command(directory: &Path, ops: SocketAddr, name: &str) -> Command {
        let mut command = Command::new(binary());
        command.env_clear().env("TZ", "UTC").env("WEIR_LISTEN__OPS", ops.to_string());
        command.env("WEIR_AGENT__NAME", name).env("WEIR_AGENT__RETRY_LONGEST", "500ms");
        command.env("WEIR_AGENT__ANSWER_TIMEOUT", "3s").env("WEIR_AGENT__PROBATION", "300ms");
        command.args(["agent", "run", "--data-dir"]).arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn far(near: SocketAddr) -> SocketAddr {
    SocketAddr::from((FAR, near.port()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolled_agent_lives_through_networks_servers_and_itself() {
    const FAULTS: usize = 100;
    let mut rng = seed::rng();
    let directory = tempfile::tempdir().unwrap();
    let instance = Instance::new(&directory.path().join("data"), FAR);
    let addresses = instance.setup.addresses;
    let mut server: Weir = instance.setup.start().await;
    let cable = Cable::between(far(addresses.ingest), addresses.ingest).await.unwrap();
    let _enrolment = Cable::between(far(addresses.enrolment), addresses.enrolment).await.unwrap();
    instance.run(&["app", "create", "shop"]);
    let key = instance.key("1", &[]);
    let (logs, state) = (directory.path().join("logs"), directory.path().join("state"));
    std::fs::create_dir(&logs).unwrap();
    let ops = free_address();
    let mut agent = Agent::start(&state, ops, Some(&key));
    let text = |scan: &str| {
        format!(
            "inputs: [{{paths: ['{}/app-*.log*'], scan_interval: {scan}, close_after: 500ms}}]\n",
            logs.display()
        )
    };
    instance.configure(&text("50ms"));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (logs, stop, seed) = (logs.clone(), Arc::clone(&stop), rng.random());
            std::thread::spawn(move || write(&logs, writer, seed, &stop))
        })
        .collect();
    let rest = |rng: &mut ChaCha8Rng, most: u64| Duration::from_millis(rng.random_range(10..most));
    for fault in 0..FAULTS {
        tokio::time::sleep(rest(&mut rng, 250)).await;
        match rng.random_range(0..12) {
            0..3 => {
                drop(agent);
                tokio::time::sleep(rest(&mut rng, 300)).await;
                // It needs no key any more, unless it was killed before it had joined.
                agent = Agent::start(&state, ops, (fault < 10).then_some(key.as_str()));
            }
            3..5 => {
                server.kill();
                tokio::time::sleep(rest(&mut rng, 300)).await;
                server = instance.setup.start().await;
            }
            5 => cable.snap(),
            6 => cable.becomes(CableState::Dead),
            7 => cable.becomes(CableState::Slow(Duration::from_millis(200))),
            8 => cable.becomes(CableState::Cut),
            9 => cable.becomes(CableState::HalfOpen),
            10 => cable.becomes(CableState::Lossy { one_in: 20, late: Duration::from_millis(200) }),
            // Another configuration, of which nothing may be seen in what is stored.
            _ => instance.configure(&text(if fault % 2 == 0 { "60ms" } else { "40ms" })),
        }
        if rng.random_bool(0.5) {
            tokio::time::sleep(rest(&mut rng, 1_000)).await;
            cable.becomes(CableState::Whole);
        }
    }
    cable.becomes(CableState::Whole);
    stop.store(true, Ordering::Relaxed);
    let written: Vec<Written> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let expected: u64 = written.iter().flatten().sum();
    let files: usize = written.iter().map(Vec::len).sum();
    eprintln!("{expected} lines in {files} files, {FAULTS} faults");
    until_seldom("every line is stored", PATIENCE, async || {
        (count(addresses, "shop").await as u64 >= expected).then_some(())
    })
    .await;
    check_each(addresses, &written).await;
    let agents = instance.agents();
    assert_eq!(agents.len(), 1, "it is one agent all the time: {agents:?}");
    assert!(server.terminate().await.success());
}

/// The control side of an agent whose inputs always work.
struct Simulated {
    uplink: Uplink,
    condition: watch::Sender<Condition>,
}

#[derive(Debug)]
struct NoLog;

impl OwnLog for NoLog {
    fn last(&self, _: usize) -> Vec<String> {
        Vec::new()
    }
}

impl Simulated {
    async fn start(directory: &Path, number: usize, key: &str, supervisor: &Supervisor) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = directory.join(format!("agent-{number}"));
        std::fs::create_dir(&folder).unwrap();
        let (name, key) = (format!("node-{number}"), key.parse().unwrap());
        let patience = Duration::from_secs(60);
        let enrolment =
            Enrolment { folder: &folder, key: Some(&key), name: &name, clock: Arc::clone(&clock), patience };
        let identity = enrolment.ask(0).await.unwrap().unwrap();
        let (condition, conditions) = watch::channel(Condition::default());
        let server = Server::Secured(Attendance {
            identity,
            condition: conditions,
            log: Arc::new(NoLog),
            host: name,
            own_inputs: false,
        });
        let backoff =
            Backoff::new(Duration::from_millis(100), Duration::from_secs(2), Attempts::Unlimited).unwrap();
        let settings = weir_uplink::Settings {
            server,
            connect_timeout: Duration::from_secs(30),
            answer_timeout: patience,
            backoff,
            pings: Pings::default(),
        };
        Self { uplink: Uplink::start(settings, clock, &supervisor.spawner()), condition }
    }

    fn is_connected(&self) -> bool {
        matches!(*self.uplink.link().borrow(), Link::Connected { .. })
    }

    /// Runs what is offered; whether it is this revision.
    fn runs(&self, hash: &str) -> bool {
        let offered = self.uplink.offers().borrow().clone();
        let Some(offer) = offered.filter(|offer| offer.hash == hash) else { return false };
        self.condition.send_if_modified(|condition| {
            let is_new = condition.running != offer.hash;
            condition.running.clone_from(&offer.hash);
            is_new
        });
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_agents_come_back_and_are_told() {
    const AGENTS: usize = 500;
    let directory = tempfile::tempdir().unwrap();
    let instance = Instance::new(&directory.path().join("data"), Ipv4Addr::LOCALHOST);
    let server = instance.setup.start().await;
    instance.run(&["app", "create", "shop"]);
    let key = instance.key("unlimited", &[]);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Handle::current(), clock, DrainDeadlines::default());
    let began = Instant::now();
    let mut agents = Vec::with_capacity(AGENTS);
    for number in 0..AGENTS {
        agents.push(Simulated::start(directory.path(), number, &key, &supervisor).await);
    }
    let all = async |what: &str, holds: &dyn Fn(&Simulated) -> bool| {
        until(what, PATIENCE, async || agents.iter().all(holds).then_some(())).await;
    };
    all("all are connected", &Simulated::is_connected).await;
    let joined = began.elapsed();
    // All come back at once.
    server.kill();
    all("all have noticed", &|agent| !agent.is_connected()).await;
    let began = Instant::now();
    let server = instance.setup.start().await;
    all("all are connected again", &Simulated::is_connected).await;
    let back = began.elapsed();
    // And are told the same at once.
    let text = "inputs: [{paths: [/var/log/app/*.log]}]\n";
    let began = Instant::now();
    instance.configure(text);
    let shown = instance.run(&["config", "status", "-o", "json"]);
    let hash =
        shown.split('"').find(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let hash = hash.expect("its hash is shown").to_owned();
    all("all run it", &|agent| agent.runs(&hash)).await;
    let told = began.elapsed();
    until_seldom("the server knows that all run it", PATIENCE, async || {
        let shown = instance.run(&["config", "status", "-o", "json"]);
        shown.contains(&format!("\"running\":{AGENTS},")).then_some(())
    })
    .await;
    eprintln!(
        "{AGENTS} agents joined in {joined:?}, came back in {back:?}, were told in {told:?}; the server had {} MiB at most",
        server.peak_memory() >> 20
    );
    drop(agents);
    supervisor.run_until(async {}).await;
    assert!(server.terminate().await.success());
}
