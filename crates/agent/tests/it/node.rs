//! A machine with files and an agent.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weir_agent::{
    Agent, AgentSection, FilesSettings, InputSection, Inputs, OwnLog, Parts, Report, Scan, Settings,
};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::health::Health;
use weir_foundation::metrics::{Builder, Metrics};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};

use crate::door::Door;

/// Reached by code that does not work, and by no other.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Node {
    directory: TempDir,
    pub(crate) max_open_files: usize,
}

/// Nobody asks for it here.
#[derive(Debug)]
struct NoLog;

impl OwnLog for NoLog {
    fn last(&self, _: usize) -> Vec<String> {
        Vec::new()
    }
}

/// An agent that runs.
pub(crate) struct Running {
    agent: Agent,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<ExitCode>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("there is space");
        std::fs::create_dir(directory.path().join("logs")).expect("there is space");
        Self { directory, max_open_files: 1_000 }
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        append(&self.log(name), text);
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.log(from), self.log(to)).expect("it is there");
    }

    /// Inputs as JSON, in which `LOGS` is the folder of the files. Unless they say otherwise they are looked at often.
    pub(crate) fn inputs(&self, json: &str) -> Vec<FilesSettings> {
        let logs = self.directory.path().join("logs").display().to_string();
        let raw: Vec<InputSection> =
            serde_json::from_str(&json.replace("LOGS", &logs)).expect("the test writes JSON");
        let often = Some("10ms".parse().expect("a duration"));
        let soon = Some("150ms".parse().expect("a duration"));
        let raw: Vec<InputSection> = raw
            .into_iter()
            .map(|input| InputSection {
                scan_interval: input.scan_interval.or(often),
                close_after: input.close_after.or(soon),
                ..input
            })
            .collect();
        if raw.is_empty() {
            return Vec::new();
        }
        FilesSettings::validate_all(&raw).expect("the settings of a test are valid")
    }

    #[expect(clippy::disallowed_methods, reason = "the process of a test needs no supervision")]
    pub(crate) fn start(&self, door: &Door, inputs: &str) -> Running {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let health = Health::new(Arc::clone(&clock));
        let mut metrics = Builder::new();
        let section = AgentSection {
            server: Some(format!("http://{}", door.address)),
            retry_longest: Some("250ms".parse().expect("a duration")),
            ..AgentSection::default()
        };
        let settings = Settings::validate(&section, self.inputs(inputs), "web-1", weir_agent::Node::Unknown);
        let parts = Parts {
            clock,
            spawner: supervisor.spawner(),
            health: &health,
            metrics: &mut metrics,
            folder: self.state(),
            log: Arc::new(NoLog),
            max_open_files: self.max_open_files,
        };
        let agent = Agent::start(settings.expect("they are valid"), parts).expect("the folder can be used");
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(supervisor.run_until(async { drop(stopped.await) }));
        Running { agent, metrics: metrics.build(), stop, ended }
    }
}

impl Running {
    pub(crate) fn inputs(&self) -> Inputs {
        self.agent.inputs()
    }

    pub(crate) async fn end(self) {
        let Self { agent, stop, ended, .. } = self;
        stop.send(()).expect("it runs");
        assert_eq!(ended.await.expect("it does not panic"), ExitCode::Good);
        drop(agent);
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let exposition = self.metrics.exposition();
        let value = exposition.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).expect("it is shown")
    }

    /// Waits for a report about what there is.
    pub(crate) async fn told(&self, what: &str, mut is_it: impl FnMut(&Report) -> bool) -> Report {
        let mut is_it = |report: &Report| report.scan != Scan::Pending && is_it(report);
        let mut report = self.inputs().report();
        let told = tokio::time::timeout(PATIENCE, report.wait_for(|report| is_it(report))).await;
        let told = told.map(|report| report.expect("the agent lives").clone());
        let last = self.inputs().report().borrow().clone();
        assert!(told.is_ok(), "waited in vain until {what}: {last:?}");
        told.unwrap_or(last)
    }
}

pub(crate) fn append(path: &Path, text: impl AsRef<[u8]>) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_ref())).expect("there is space");
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let outcome = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            SystemClock.sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(outcome.await.is_ok(), "waited in vain until {what}");
}

/// Waits until the door has as many events, and looks at what they say.
pub(crate) async fn arrived(door: &Door, count: usize) -> Vec<String> {
    eventually(&format!("there are {count} events"), || door.events().len() >= count).await;
    door.messages()
}
