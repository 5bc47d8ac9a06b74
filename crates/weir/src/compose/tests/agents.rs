//! Agents from their key to what is stored of their files, with a server in the same process.

use std::num::NonZeroU32;
use std::path::Path;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weir_agent::{Agent, AgentSection, FilesSettings, Link, Node, OwnLog, Standing};
use weir_auth::AgentName;
use weir_fleet::{AppLimits, Fleet, KeySpec, Labels, NewSecret, OperatorName, Selector, Title, Uses};
use weir_foundation::settings::Secret;
use weir_model::AppName;

use super::*;

pub(super) const SHOP: &str = "shop";

impl World {
    fn fleet(&self) -> &Fleet {
        &self.running.fleet
    }

    /// An access key for the app, which is made.
    async fn key(&self, seal: bool) -> Secret {
        let fleet = self.fleet();
        let app = AppName::new(SHOP).expect("a name");
        let made = fleet.create_app(&app, &AppLimits::default(), Some(&NewSecret::Random), &operator()).await;
        if let Err(error) = made {
            assert!(error.to_string().contains("already"), "{error}");
        }
        let labels = Labels::new([("role".to_owned(), "web".to_owned())]).expect("they are legal");
        let spec = KeySpec {
            title: Title::new("web").expect("a title"),
            apps: vec![app],
            labels,
            life: Some(Duration::from_secs(3_600)),
            uses: Uses::Times(NonZeroU32::MIN),
            seal,
        };
        fleet.create_key(&spec, &operator()).await.expect("it can be made").key
    }

    /// Tells the agents with role `web` to read the logs of a node.
    async fn configure(&self, text: &str) {
        let selector = Selector::new([("role".to_owned(), "web".to_owned())]).expect("it is legal");
        let check = |text: &str| weir_agent::check(text);
        self.fleet().configure(&selector, text, "", &check, &operator()).await.expect("it is good");
    }
}

fn operator() -> OperatorName {
    OperatorName::new("admin").expect("a name")
}

/// A machine with files, and an agent that runs on it.
pub(super) struct Machine {
    directory: tempfile::TempDir,
    running: Option<Alive>,
}

struct Alive {
    agent: Agent,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<ExitCode>,
}

#[derive(Debug)]
struct Log(LastLines);

impl OwnLog for Log {
    fn last(&self, lines: usize) -> Vec<String> {
        self.0.last(lines)
    }
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("there is space"), running: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What makes the server read all its logs.
    pub(super) fn configuration(&self) -> String {
        format!(
            "inputs:\n  - paths: ['{}/*.log']\n    scan_interval: 20ms\n",
            self.directory.path().display()
        )
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    #[expect(clippy::disallowed_methods, reason = "the process of a test needs no supervision")]
    pub(super) fn start(&mut self, clock: &Arc<dyn Clock>, key: Option<&Secret>) {
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(clock), DrainDeadlines::default());
        let health = Health::new(Arc::clone(clock));
        let mut metrics = Builder::new();
        let state = self.path("state");
        let node = if weir_agent::is_enrolled(&state) { Node::Enrolled } else { Node::Unknown };
        let section = AgentSection {
            key: key.cloned(),
            retry_longest: Some("250ms".parse().expect("a duration")),
            probation: Some("200ms".parse().expect("a duration")),
            ..AgentSection::default()
        };
        let inputs: Vec<FilesSettings> = Vec::new();
        let settings =
            weir_agent::Settings::validate(&section, inputs, "web-3", node).expect("they are valid");
        let parts = weir_agent::Parts {
            clock: Arc::clone(clock),
            spawner: supervisor.spawner(),
            health: &health,
            metrics: &mut metrics,
            folder: state,
            log: Arc::new(Log(LastLines::default())),
        };
        let agent = Agent::start(settings, parts).expect("the folder can be used");
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(supervisor.run_until(async { drop(stopped.await) }));
        self.running = Some(Alive { agent, stop, ended });
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.running.as_ref().expect("it runs").agent
    }

    pub(super) async fn stop(&mut self) {
        let Alive { agent, stop, ended } = self.running.take().expect("it runs");
        stop.send(()).expect("it runs");
        assert_eq!(ended.await.expect("it does not panic"), ExitCode::Good);
        drop(agent);
    }
}

fn append(path: &Path, text: &str) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("there is space");
}

/// What the agent is called, once it is connected.
pub(super) fn connected(agent: &Agent) -> Option<String> {
    match agent.standing() {
        Standing::Enrolled { name, link: Link::Connected { .. } } => Some(name),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_nothing_but_a_key_sends_what_the_server_says() {
    let world = World::new().await;
    let mut machine = Machine::new();
    machine.append("a.log", "one\ntwo\n");
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    let name = world.until(async || connected(machine.agent())).await;
    assert_eq!(name, "web-3");
    // It is told what to read while it runs, and reads what is there and what comes.
    world.configure(&machine.configuration()).await;
    world.found(SHOP, "", 2).await;
    machine.append("a.log", "three\n");
    world.found(SHOP, "", 3).await;
    let report = world
        .until(async || {
            let agent = world.fleet().agent(&AgentName::new(&name).expect("a name"))?;
            let report = agent.report?.said?;
            (report.running.is_some() && report.running == report.offered).then_some(report)
        })
        .await;
    assert_eq!((report.failed, report.last_error), (None, None));
    // Started again it needs no key, and no server to know what to read.
    machine.stop().await;
    machine.append("a.log", "four\n");
    machine.start(&world.process.clock, None);
    world.found(SHOP, "", 4).await;
    machine.stop().await;
    assert_eq!(world.drain().await.1, ExitCode::Good);
}
