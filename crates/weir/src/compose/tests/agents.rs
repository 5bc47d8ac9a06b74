//! Agents from their key to what is stored of their files, with a server in the same process.

use std::num::NonZeroU32;
use std::path::Path;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weir_agent::{Agent, AgentSection, FilesSettings, Link, Node, OwnLog, RemoteSection, Standing};
use weir_auth::AgentName;
use weir_fleet::{AppLimits, Finish, Fleet, KeySpec, Labels, NewSecret, OperatorName, Selector, Title, Uses};
use weir_foundation::settings::Secret;
use weir_model::AppName;
use weir_server::api::Hit;
use weir_testkit::FastClock;

use super::*;
use crate::client::ClientError;

pub(super) const SHOP: &str = "shop";

impl World {
    pub(super) fn fleet(&self) -> &Fleet {
        &self.running.fleet
    }

    /// An access key for the app, which is made.
    pub(super) async fn key(&self, seal: bool) -> Secret {
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
    pub(super) async fn configure(&self, text: &str) {
        let selector = Selector::new([("role".to_owned(), "web".to_owned())]).expect("it is legal");
        let check = |text: &str| weir_agent::check(text);
        self.fleet().configure(&selector, text, "", &check, &operator()).await.expect("it is good");
    }
}

pub(super) fn operator() -> OperatorName {
    OperatorName::new("admin").expect("a name")
}

/// A machine with files, and an agent that runs on it.
pub(super) struct Machine {
    directory: tempfile::TempDir,
    /// What it lets the server read: everything, unless something is said.
    remote: RemoteSection,
    /// How long answers are waited for, unless as usual.
    answer_timeout: Option<&'static str>,
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
        let directory = tempfile::tempdir().expect("there is space");
        Self { directory, remote: RemoteSection::default(), answer_timeout: None, running: None }
    }

    /// One whose agent waits so long for answers.
    pub(super) fn waiting(answer_timeout: &'static str) -> Self {
        Self { answer_timeout: Some(answer_timeout), ..Self::new() }
    }

    /// Of its logs the server may read those that the pattern stands for.
    pub(super) fn lets_read(&mut self, pattern: &str) {
        self.remote.paths = Some(vec![self.path(pattern).display().to_string()]);
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
            remote: self.remote.clone(),
            answer_timeout: self.answer_timeout.map(|timeout| timeout.parse().expect("a duration")),
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
            max_open_files: 1_000,
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
        ended.await.expect("it does not panic");
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
    assert_eq!((report.last_error(), &report.failed), (None, &None));
    // Started again it needs no key, and no server to know what to read.
    machine.stop().await;
    machine.append("a.log", "four\n");
    machine.start(&world.process.clock, None);
    world.found(SHOP, "", 4).await;
    machine.stop().await;
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

/// Lines that are written at a time.
const BURST: usize = 20;

/// Writes lines from that number on as long as the work goes on; gives the next number.
async fn while_lines_are_written(
    world: &World,
    machine: &Machine,
    mut lines: usize,
    work: impl Future<Output = ()>,
) -> usize {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            () = work.as_mut() => return lines,
            () = world.process.clock.sleep(Duration::from_secs(1)) => {
                let burst = lines..lines + BURST;
                lines = burst.end;
                machine.append("a.log", &burst.map(|line| format!("line {line}\n")).collect::<String>());
            }
        }
    }
}

const FAST_LIVES: [(&str, &str); 2] = [("fleet.certificate_life", "1m"), ("fleet.token_life", "15s")];

/// Time is fast, and lives are short: a certificate lives for two seconds, a token for half a one. Nothing of it may be seen
/// in what is stored.
async fn fast() -> World {
    let directory = tempfile::tempdir().expect("there is space");
    World::with(directory, Arc::new(FastClock::new(30)), &FAST_LIVES).await
}

impl World {
    pub(super) fn generation(&self, name: &str) -> u64 {
        self.fleet().agent(&AgentName::new(name).expect("a name")).map_or(0, |agent| agent.generation)
    }

    /// All lines are stored, each once and in their order.
    pub(super) async fn has_lines(&self, count: usize) {
        let hits = self
            .until(async || {
                let hits = self.hits().await?;
                (hits.len() >= count).then_some(hits)
            })
            .await;
        let mut lines: Vec<((u64, u64), String)> = hits.iter().map(placed).collect();
        lines.sort_unstable();
        let messages: Vec<String> = lines.into_iter().map(|(_, message)| message).collect();
        let expected: Vec<String> = (0..count).map(|number| format!("line {number}")).collect();
        assert_eq!(messages, expected);
    }

    /// Everything that is stored of the app. Nothing where a connection ended that was about to be used, as one does on
    /// which nobody asked anything while time leapt.
    async fn hits(&self) -> Option<Vec<Hit>> {
        let (mut hits, mut after) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("prefix", SHOP.to_owned()), ("limit", "10000".to_owned())];
            query.extend(after.take().map(|cursor| ("after", cursor)));
            let answer: SearchAnswer = match self.client.get(&["search"], &query).await {
                Err(ClientError::Broken { .. }) => return None,
                answer => answer.expect("it answers"),
            };
            hits.extend(answer.hits);
            match answer.next {
                Some(next) => after = Some(next),
                None => return Some(hits),
            }
        }
    }
}

/// Where a line is in the partition of its file, and the line.
fn placed(hit: &Hit) -> ((u64, u64), String) {
    let place = hit.id.rsplit('-').next().and_then(|place| place.split_once('.')).expect("offset.index");
    let number = |text: &str| text.parse().expect("a number");
    let content: serde_json::Value = serde_json::from_str(hit.content.get()).expect("is JSON");
    let message = content["message"].as_str().expect("a line").to_owned();
    ((number(place.0), number(place.1)), message)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_tokens_live_short_and_agents_long() {
    let world = fast().await;
    let mut machine = Machine::new();
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    let renewed = world.until(async || (world.generation("web-3") >= 8).then_some(()));
    let lines = while_lines_are_written(&world, &machine, 0, renewed).await;
    world.has_lines(lines).await;
    // One that was away for longer than its certificate lives comes back by itself.
    machine.stop().await;
    machine.append("a.log", &format!("line {lines}\n"));
    world.process.clock.sleep(Duration::from_secs(100)).await;
    machine.start(&world.process.clock, None);
    world.has_lines(lines + 1).await;
    machine.stop().await;
    // Its phases have a thirtieth of their time here.
    world.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_is_changed_under_load_and_nobody_is_cut_off() {
    let world = fast().await;
    let mut machine = Machine::new();
    let key = world.key(true).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    world.until(async || connected(machine.agent())).await;
    let fleet = world.fleet();
    let pin = fleet.rotation_status().root;
    let rotating = async {
        fleet.begin_rotation(&operator()).await.expect("it is the first step");
        let generation = world.generation("web-3");
        world.until(async || (world.generation("web-3") > generation).then_some(())).await;
        fleet.switch_rotation(&operator()).await.expect("it is the second step");
        world.until(async || fleet.finish_rotation(Finish::WhenReady, &operator()).await.ok()).await;
    };
    let lines = while_lines_are_written(&world, &machine, 0, rotating).await;
    world.has_lines(lines).await;
    assert_ne!(fleet.rotation_status().root, pin);
    // With certificates below the new root all goes on, also for one that comes anew.
    let generation = world.generation("web-3");
    let renewed = world.until(async || (world.generation("web-3") > generation + 1).then_some(()));
    let lines = while_lines_are_written(&world, &machine, lines, renewed).await;
    machine.stop().await;
    machine.start(&world.process.clock, None);
    world.has_lines(lines).await;
    machine.stop().await;
    world.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_list_of_servers_cuts_nobody_off() {
    // For the life of the test: settings are given as they are written.
    let here = free();
    let leak = |address: SocketAddr| &*address.to_string().leak();
    let nodes = SocketAddr::new(here.ip(), 0);
    let mut settings = vec![("producer.ingest_listen", leak(here)), ("fleet.enrol_listen", leak(nodes))];
    settings.extend(FAST_LIVES);
    let directory = tempfile::tempdir().expect("there is space");
    let clock: Arc<dyn Clock> = Arc::new(FastClock::new(30));
    let world = World::with(directory, Arc::clone(&clock), &settings).await;
    let mut machine = Machine::new();
    machine.start(&clock, Some(&world.key(false).await));
    world.configure(&machine.configuration()).await;
    machine.append("a.log", "line 0\n");
    world.has_lines(1).await;
    let directory = world.drain().await.0;
    // Nobody listens where agents are told to go from now on.
    settings.push(("fleet.advertise.agents", "127.0.0.1:1"));
    let world = World::with(directory, clock, &settings).await;
    let renewed = world.until(async || (world.generation("web-3") >= 4).then_some(()));
    let lines = while_lines_are_written(&world, &machine, 1, renewed).await;
    world.has_lines(lines).await;
    machine.stop().await;
    world.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_sent_away_says_so_and_loses_nothing() {
    let world = World::new().await;
    let mut machine = Machine::new();
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    machine.append("a.log", "line 0\n");
    world.has_lines(1).await;
    let name = AgentName::new("web-3").expect("a name");
    world.fleet().revoke_agent(&name, "stolen", &operator()).await.expect("it is known");
    let why = world
        .until(async || match machine.agent().standing() {
            Standing::Enrolled { link: Link::Refused(why), .. } => Some(why),
            _ => None,
        })
        .await;
    assert!(why.contains("revoked"), "{why}");
    machine.append("a.log", "line 1\n");
    // The same key does not help it; another one does, and nothing is missing or there twice.
    machine.stop().await;
    machine.start(&world.process.clock, Some(&key));
    world
        .until(async || {
            matches!(machine.agent().standing(), Standing::Enrolled { link: Link::Refused(_), .. })
                .then_some(())
        })
        .await;
    machine.stop().await;
    let other = world.key(false).await;
    machine.start(&world.process.clock, Some(&other));
    world.has_lines(2).await;
    machine.stop().await;
    assert_eq!(world.drain().await.1, ExitCode::Good);
}
