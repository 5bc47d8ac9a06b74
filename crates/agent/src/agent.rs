use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_auth::access_key::AccessKey;
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::health::{Health, Progress};
use weir_foundation::lock::{DirectoryLock, LockError};
use weir_foundation::metrics::Builder;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_uplink::{
    Attendance, Condition, EnrolError, Enrolment, IdentityFile, Link, OwnLog, Pings, Server, Uplink,
};

use crate::configuration::{ConfigurationError, Configurations};
use crate::files::{self, Feed, Inputs, RegisterError, Worker};
use crate::metrics::Metrics;
use crate::remote::Terms;
use crate::section::{Access, Settings};
use crate::steward::Steward;

/// What the agent needs of the process that it lives in.
#[derive(Debug)]
pub struct Parts<'a> {
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub health: &'a Health,
    pub metrics: &'a mut Builder,
    /// Where it keeps its state; one agent owns it.
    pub folder: PathBuf,
    /// What the server may ask for.
    pub log: Arc<dyn OwnLog>,
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
    #[error("could not find out who this agent is")]
    Identity(#[source] EnrolError),
    #[error("could not find out what to run")]
    Configuration(#[from] ConfigurationError),
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
}

/// The role, running. It lives as long as the process.
#[derive(Debug)]
pub struct Agent {
    standing: watch::Receiver<Standing>,
    inputs: Inputs,
    condition: watch::Receiver<Condition>,
    _lock: DirectoryLock,
}

/// How the agent stands with its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not an agent of anybody yet, with the reason once there is one.
    Enrolling(Option<Arc<str>>),
    Enrolled {
        /// What it is called.
        name: String,
        link: Link,
    },
}

/// What there is before the agent knows who it is.
struct Beginning {
    settings: Settings,
    folder: PathBuf,
    inputs: Inputs,
    feed: Feed,
    configurations: Configurations,
    condition: watch::Sender<Condition>,
    standing: watch::Sender<Standing>,
    metrics: Metrics,
    log: Arc<dyn OwnLog>,
    max_open_files: usize,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
}

/// How long the server may take to take the agent in.
const CONNECT: Duration = Duration::from_secs(10);

/// How long connecting may take before the agent is not ready.
const STALL: Duration = Duration::from_secs(30);

impl Agent {
    /// Enrols if the agent has a key and no identity yet, connects to the server, and reads what the settings or the
    /// server say. A server that is away is waited for.
    pub fn start(settings: Settings, parts: Parts<'_>) -> Result<Self, StartError> {
        let Parts { clock, spawner, health, metrics, folder, max_open_files, log } = parts;
        let lock = lock(&folder)?;
        let (inputs, feed) = Inputs::new(settings.inputs.clone());
        let (standing, stands) = watch::channel(Standing::Enrolling(None));
        let (condition, conditions) = watch::channel(Condition::default());
        watch(stands.clone(), health, &spawner);
        let beginning = Beginning {
            configurations: Configurations::open(&folder)?,
            metrics: Metrics::register(metrics.weir()),
            inputs: inputs.clone(),
            settings,
            folder,
            feed,
            condition,
            standing,
            log,
            max_open_files,
            clock,
            spawner: spawner.clone(),
        };
        match beginning.settings.access.clone() {
            Access::Open { endpoint, name } => {
                let server = Server::Open { endpoint, agent: name.clone() };
                beginning.run(server, &name, None)?;
            }
            Access::Enrolled { key } => {
                let policy = Policy::essential(DrainPhase::StopIntake);
                spawner.spawn("agent.enrolment", policy, |drain| async move {
                    match beginning.enrol(key.as_deref(), &drain).await? {
                        Some(identity) => beginning.run_as(identity),
                        None => Ok(()),
                    }
                });
            }
        }
        Ok(Self { standing: stands, inputs, condition: conditions, _lock: lock })
    }

    /// How it stands with its server.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// What it reads, and how that goes.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }

    /// What it tells its server of itself.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }
}

impl Beginning {
    /// Asks until the server has made an agent of this node; none if the process drains before.
    async fn enrol(
        &self,
        key: Option<&AccessKey>,
        drain: &DrainToken,
    ) -> Result<Option<IdentityFile>, StartError> {
        let (name, patience) = (self.settings.name.as_str(), self.settings.answer_timeout);
        let clock = Arc::clone(&self.clock);
        let enrolment = Enrolment { folder: &self.folder, key, name, clock, patience };
        let mut delays = self.settings.retry.delays(StdRng::from_rng(&mut rand::rng()));
        for attempt in 0.. {
            let asked = tokio::select! {
                asked = enrolment.ask(attempt) => asked,
                () = drain.draining() => return Ok(None),
            };
            let error = match asked {
                Ok(Some(identity)) => return Ok(Some(identity)),
                Ok(None) => EnrolError::Nowhere,
                Err(error) if error.is_final() => return Err(StartError::Identity(error)),
                Err(error) => error,
            };
            let why: Arc<str> = chain(&error).to_string().into();
            let is_new = *self.standing.borrow() != Standing::Enrolling(Some(Arc::clone(&why)));
            match (is_new, error.is_refusal()) {
                (true, true) => {
                    tracing::error!(error = %why, "this node is not taken as an agent; trying again")
                }
                (true, false) => tracing::warn!(error = %why, "could not enrol; trying again"),
                (false, _) => tracing::debug!(error = %why, "could not enrol again"),
            }
            self.standing.send_replace(Standing::Enrolling(Some(why)));
            tokio::select! {
                () = self.clock.sleep(delays.next().unwrap_or(CONNECT)) => {}
                () = drain.draining() => return Ok(None),
            }
        }
        Ok(None)
    }

    fn run_as(self, identity: IdentityFile) -> Result<(), StartError> {
        let (name, apps) = (identity.agent(), identity.apps());
        tracing::info!(name, ?apps, "this node is an agent");
        let attendance = Attendance {
            identity,
            condition: self.condition.subscribe(),
            log: Arc::clone(&self.log),
            host: self.settings.name.clone(),
            own_inputs: !self.settings.inputs.is_empty(),
        };
        self.run(Server::Secured(attendance), &name, Some(apps))
    }

    /// Starts the tasks. `apps` are those of an agent that the server tells what to read.
    fn run(self, server: Server, name: &str, apps: Option<Vec<String>>) -> Result<(), StartError> {
        let Self { settings, folder, inputs, feed, configurations, .. } = self;
        let uplink = weir_uplink::Settings {
            server,
            connect_timeout: CONNECT.min(settings.answer_timeout),
            answer_timeout: settings.answer_timeout,
            backoff: settings.retry,
            pings: Pings::default(),
        };
        let uplink = Uplink::start(uplink, Arc::clone(&self.clock), &self.spawner);
        follow(uplink.link(), name.to_owned(), self.standing, &self.spawner);
        let is_told = apps.is_some() && settings.inputs.is_empty();
        let steward = Steward {
            configurations,
            inputs,
            offers: is_told.then(|| uplink.offers()),
            condition: self.condition,
            terms: Terms { apps: apps.unwrap_or_default(), paths: settings.remote_paths },
            clock: Arc::clone(&self.clock),
            probation: settings.probation,
            trouble: None,
        };
        let policy = Policy::essential(DrainPhase::StopIntake);
        self.spawner.spawn("agent.steward", policy, |drain| async move {
            steward.run(&drain).await;
            Ok::<(), Infallible>(())
        });
        let worker = Worker::open(files::Parts {
            inputs: feed,
            folder,
            host: name.to_owned(),
            uplink,
            clock: self.clock,
            metrics: self.metrics,
            max_open: self.max_open_files,
        })?;
        let (runtime, stop) = (Handle::current(), self.spawner.token(DrainPhase::StopIntake));
        self.spawner
            .spawn_thread("agent.files", Policy::essential(DrainPhase::FlushJournal), move |_| {
                worker.run(&runtime, &stop);
                Ok::<(), io::Error>(())
            })
            .map_err(StartError::Thread)
    }
}

fn lock(folder: &Path) -> Result<DirectoryLock, StartError> {
    DirectoryLock::take(folder).map_err(|error| match error {
        LockError::Taken { .. } => StartError::Taken(folder.to_owned()),
        LockError::Io(source) => StartError::Folder { path: folder.to_owned(), source },
    })
}

/// How the link is becomes how the agent stands.
fn follow(
    mut link: watch::Receiver<Link>,
    name: String,
    standing: watch::Sender<Standing>,
    spawner: &Spawner,
) {
    spawner.spawn("agent.link", Policy::essential(DrainPhase::StopIntake), |drain| async move {
        loop {
            let link_now = link.borrow_and_update().clone();
            standing.send_replace(Standing::Enrolled { name: name.clone(), link: link_now });
            tokio::select! {
                changed = link.changed() => if changed.is_err() { break },
                () = drain.draining() => break,
            }
        }
        Ok::<(), Infallible>(())
    });
}

/// An agent that does not reach its server is not ready, and says why.
fn watch(mut standing: watch::Receiver<Standing>, health: &Health, spawner: &Spawner) {
    let progress = health.register("uplink", STALL);
    spawner.spawn("agent.health", Policy::essential(DrainPhase::StopIntake), |drain| async move {
        loop {
            tell(&standing.borrow_and_update(), &progress);
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { break },
                () = drain.draining() => break,
            }
        }
        Ok::<(), Infallible>(())
    });
}

fn tell(standing: &Standing, progress: &Progress) {
    match standing {
        Standing::Enrolling(None) | Standing::Enrolled { link: Link::New, .. } => progress.began(),
        Standing::Enrolling(Some(why)) => progress.failed(format!("not enrolled: {why}")),
        Standing::Enrolled { link: Link::Connected { .. }, .. } => {
            progress.recovered();
            progress.idle();
        }
        Standing::Enrolled { link: Link::Throttled(why), .. } => {
            progress.degraded(format!("the server wants nothing for now: {why}"));
        }
        Standing::Enrolled { link: Link::Disconnected(why) | Link::Refused(why), .. } => {
            progress.failed(why.to_string());
        }
    }
}
