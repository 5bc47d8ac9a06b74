use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::health::Health;
use weir_foundation::metrics::Builder;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_uplink::{Link, Uplink};

use crate::files::{self, Inputs, RegisterError, Worker};
use crate::metrics::Metrics;
use crate::section::Settings;

/// What the agent needs of the process that it lives in.
#[derive(Debug)]
pub struct Parts<'a> {
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub health: &'a Health,
    pub metrics: &'a mut Builder,
    /// Where it keeps its state; one agent owns it.
    pub folder: PathBuf,
    /// Files that may be open at once; those without changes are closed if there are more.
    pub max_open_files: usize,
}

/// The agent could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not use `{path}`")]
    Folder { path: PathBuf, source: io::Error },
    #[error("another agent uses `{0}`")]
    Taken(PathBuf),
    #[error("could not find out how far files are read")]
    Register(#[from] RegisterError),
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
}

/// The role, running. It lives as long as the process.
#[derive(Debug)]
pub struct Agent {
    link: watch::Receiver<Link>,
    inputs: Inputs,
    _lock: File,
}

impl Agent {
    /// Connects to the server and reads what the settings say. A server that is away is waited for.
    pub fn start(settings: Settings, parts: Parts<'_>) -> Result<Self, StartError> {
        let Parts { clock, spawner, health, metrics, folder, max_open_files } = parts;
        let lock = lock(&folder)?;
        let uplink = weir_uplink::Settings {
            server: settings.server,
            agent: settings.name.clone(),
            connect_timeout: CONNECT.min(settings.answer_timeout),
            answer_timeout: settings.answer_timeout,
            backoff: settings.retry,
        };
        let uplink = Uplink::start(uplink, Arc::clone(&clock), &spawner);
        let link = uplink.link();
        watch(link.clone(), health, &spawner);
        let (inputs, feed) = Inputs::new(settings.inputs);
        let worker = Worker::open(files::Parts {
            inputs: feed,
            folder,
            host: settings.name,
            uplink,
            clock,
            metrics: Metrics::register(metrics.weir()),
            max_open: max_open_files,
        })?;
        let (runtime, stop) = (Handle::current(), spawner.token(DrainPhase::StopIntake));
        spawner
            .spawn_thread("agent.files", Policy::essential(DrainPhase::FlushJournal), move |_| {
                worker.run(&runtime, &stop);
                Ok::<(), io::Error>(())
            })
            .map_err(StartError::Thread)?;
        Ok(Self { link, inputs, _lock: lock })
    }

    /// How the connection to the server is.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link.borrow().clone()
    }

    /// What it reads, and how that goes.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }
}

fn lock(folder: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Folder { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let lock = File::create(folder.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Taken(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// An agent that does not reach its server is not ready, and says why.
fn watch(mut link: watch::Receiver<Link>, health: &Health, spawner: &Spawner) {
    let progress = health.register("uplink", STALL);
    spawner.spawn("agent.link", Policy::essential(DrainPhase::StopIntake), |drain| async move {
        loop {
            match &*link.borrow_and_update() {
                Link::New => progress.began(),
                Link::Connected { .. } => {
                    progress.recovered();
                    progress.idle();
                }
                Link::Disconnected(why) => progress.failed(why.to_string()),
            }
            tokio::select! {
                changed = link.changed() => if changed.is_err() { break },
                () = drain.draining() => break,
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

/// How long the server may take to take the agent in.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

/// How long connecting may take before the agent is not ready.
const STALL: std::time::Duration = std::time::Duration::from_secs(30);
