//! The instance that this process serves: who belongs to it, and how its own servers show who they are.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::watch;
use weir_auth::pki::Certificate;
use weir_auth::tls;
use weir_fleet::{
    Doors, Fleet, FleetListen, FleetSettings, InstanceView, OpenError, Opened, ServerIdentity, StoreError,
};
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::file;
use weir_foundation::http::{Plaintext, Proxies, Security, TlsConfig, Verifier};
use weir_foundation::ops::StatusBoard;
use weir_foundation::settings::Secret;
use weir_foundation::supervise::{DrainPhase, Policy};
use weir_foundation::tls::VERSIONS;
use weir_server::agents::{AgentParts, Hub};
use weir_state::{CommitError, State, StateError};

use super::Process;
use super::state::Kept;
use crate::host;
use crate::settings::{Settings, StateSettings};

/// Where the token of the first operator is put, for who looks into the data directory.
pub(crate) const FIRST_TOKEN: &str = "operator.token";

/// How often it is looked whether keys or certificates have to be renewed.
const MAINTENANCE: Duration = Duration::from_secs(60);

/// How long after a look for an instance the next one is.
const AGAIN: Duration = Duration::from_secs(1);

/// How often other processes are told what agents say at this one.
const TELLING: Duration = Duration::from_secs(2);

pub(super) struct Instance {
    pub(super) fleet: Fleet,
    pub(super) agents: AgentParts,
    /// What agents connect to.
    mutual: watch::Receiver<Arc<TlsConfig>>,
    /// By which agents are known whose TLS ended at a proxy.
    verifier: watch::Receiver<Verifier>,
    /// What nodes connect to.
    enrolment: watch::Receiver<Arc<TlsConfig>>,
    /// What clients connect to, by HTTP/1.1 too.
    clients: watch::Receiver<Arc<TlsConfig>>,
}

/// What a server shows, as it is now.
struct Shown {
    identity: ServerIdentity,
    /// The roots that were trusted when it was made.
    bundle: u64,
    /// The authorities below them that were known.
    between: Vec<Certificate>,
    mutual: Arc<TlsConfig>,
    verifier: Verifier,
    enrolment: Arc<TlsConfig>,
    clients: Arc<TlsConfig>,
}

/// Where listeners look for what to show.
struct Showing {
    mutual: watch::Sender<Arc<TlsConfig>>,
    verifier: watch::Sender<Verifier>,
    enrolment: watch::Sender<Arc<TlsConfig>>,
    clients: watch::Sender<Arc<TlsConfig>>,
}

/// Where others come to this process.
pub(super) struct Reached {
    /// The address of its own whose host stands in its certificate and in access keys, where the settings name none.
    pub(super) at: SocketAddr,
    pub(super) doors: Doors,
}

/// Why an instance can not be opened yet.
#[derive(PartialEq)]
enum Hitch {
    Absent,
    Away(String),
}

/// What a process belongs to an instance with.
struct Belonging {
    state: Arc<dyn State>,
    names: Vec<String>,
    /// Where agents connect, as they are told.
    agents: Vec<String>,
    fleet: FleetSettings,
}

impl Instance {
    /// Opens the instance of the state, or makes it; then the token of its first operator is in the data directory.
    pub(super) async fn open(
        state: &StateSettings,
        settings: &Settings,
        reached: Reached,
        process: &Process,
    ) -> Result<Self> {
        let own = Belonging::find(state, settings, reached, process).await?;
        let Opened { fleet, first_operator } = patiently(state, process, || {
            Fleet::open(Arc::clone(&own.state), Arc::clone(&process.clock), own.fleet.clone())
        })
        .await?;
        if let Some(token) = &first_operator {
            keep_first_token(&settings.data_dir, token)?;
        }
        Self::of(fleet, own, process)
    }

    /// Opens the instance of the state, once another process has made it.
    pub(super) async fn join(
        state: &StateSettings,
        settings: &Settings,
        reached: Reached,
        process: &Process,
    ) -> Result<Self> {
        let own = Belonging::find(state, settings, reached, process).await?;
        let fleet = patiently(state, process, || {
            Fleet::join(Arc::clone(&own.state), Arc::clone(&process.clock), own.fleet.clone())
        })
        .await?;
        Self::of(fleet, own, process)
    }

    fn of(fleet: Fleet, own: Belonging, process: &Process) -> Result<Self> {
        let Process { clock, spawner, .. } = process;
        let shown = Shown::of(&fleet, &own.names, clock)?;
        let showing = Showing::of(&shown);
        let agents = AgentParts {
            fleet: fleet.clone(),
            hub: Hub::default(),
            servers: own.agents.into(),
            clock: Arc::clone(clock),
            spawner: spawner.clone(),
        };
        let instance = Self {
            fleet: fleet.clone(),
            agents,
            mutual: showing.mutual.subscribe(),
            verifier: showing.verifier.subscribe(),
            enrolment: showing.enrolment.subscribe(),
            clients: showing.clients.subscribe(),
        };
        follow(&fleet, process);
        exchange(&fleet, process);
        maintain(fleet, own.names, shown, showing, process);
        Ok(instance)
    }

    /// Says which instance this is, so that it can be told from others.
    pub(super) fn show(&self, status: &StatusBoard, state: &StateSettings) {
        let (id, state) = (self.fleet.instance().id.to_string(), state.to_string());
        tracing::info!(instance = id, state, "belongs to an instance");
        status.section("instance", move || json!({ "id": id, "state": state }));
    }

    /// Of the listener of agents. From this machine they may come without a certificate, if the settings let them; by
    /// proxies they come with the one that these were shown.
    pub(super) fn agents_security(&self, settings: &FleetListen) -> Security {
        let plaintext = if settings.local_agents { Plaintext::FromThisMachine } else { Plaintext::Refused };
        let proxies = Proxies::of_certificates(&settings.proxies, self.verifier.clone());
        Security::Tls { config: self.mutual.clone(), plaintext, proxies }
    }

    /// Of listeners of clients, as far as the instance sees to it.
    pub(super) fn clients(&self) -> watch::Receiver<Arc<TlsConfig>> {
        self.clients.clone()
    }

    /// Of the listener of nodes that are no agents yet.
    pub(super) fn enrolment_security(&self, settings: &FleetListen) -> Security {
        let proxies = Proxies::of_anybody(&settings.proxies);
        Security::Tls { config: self.enrolment.clone(), plaintext: Plaintext::Refused, proxies }
    }
}

impl Belonging {
    async fn find(
        state: &StateSettings,
        settings: &Settings,
        reached: Reached,
        process: &Process,
    ) -> Result<Self> {
        let Reached { at, doors } = reached;
        let state = Kept::await_open(state, &process.clock, &process.spawner).await?.seam();
        let host = host::name().context("find out what this machine is called")?;
        let names = settings.fleet.names(at, &host);
        let told = settings.fleet.told(doors, &names);
        let fleet = FleetSettings { enrol: told.enrolment, ..settings.fleet.fleet.clone() };
        Ok(Self { state, names, agents: told.agents, fleet })
    }
}

impl Shown {
    fn of(fleet: &Fleet, names: &[String], clock: &Arc<dyn Clock>) -> Result<Self> {
        let view = fleet.instance();
        let identity = fleet.server_identity(names).context("make a certificate for this server")?;
        let failed = "prepare TLS with the certificate of this server";
        let mutual =
            tls::server_mutual(&identity.identity, &view.roots, Arc::clone(clock)).context(failed)?;
        let verifier = tls::agents(&view.id, &view.roots, &view.between).context(failed)?;
        let enrolment = tls::server(&identity.identity, Arc::clone(clock)).context(failed)?;
        let mut clients = enrolment.clone();
        clients.alpn_protocols = VERSIONS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            identity,
            bundle: view.bundle,
            between: view.between,
            mutual: Arc::new(mutual),
            verifier,
            enrolment: Arc::new(enrolment),
            clients: Arc::new(clients),
        })
    }

    fn is_current(&self, fleet: &Fleet) -> bool {
        fleet.is_current(&self.identity) && self.is_of(&fleet.instance())
    }

    /// Whether those are trusted who are to be.
    fn is_of(&self, view: &InstanceView) -> bool {
        view.bundle == self.bundle && view.between == self.between
    }
}

impl Showing {
    fn of(shown: &Shown) -> Self {
        Self {
            mutual: watch::Sender::new(Arc::clone(&shown.mutual)),
            verifier: watch::Sender::new(Arc::clone(&shown.verifier)),
            enrolment: watch::Sender::new(Arc::clone(&shown.enrolment)),
            clients: watch::Sender::new(Arc::clone(&shown.clients)),
        }
    }

    fn becomes(&self, next: &Shown) {
        self.mutual.send_replace(Arc::clone(&next.mutual));
        self.verifier.send_replace(Arc::clone(&next.verifier));
        self.enrolment.send_replace(Arc::clone(&next.enrolment));
        self.clients.send_replace(Arc::clone(&next.clients));
    }
}

/// Opens an instance, however long that takes: another process may have to make it, and a Postgres may be about to come back.
async fn patiently<T>(
    state: &StateSettings,
    process: &Process,
    mut open: impl AsyncFnMut() -> Result<T, OpenError>,
) -> Result<T> {
    let mut told = None;
    loop {
        let hitch = match open().await {
            Ok(opened) => return Ok(opened),
            Err(OpenError::Absent) => Hitch::Absent,
            Err(error) if state.is_remote() && is_passing(&error) => Hitch::Away(chain(&error).to_string()),
            Err(error) => return Err(anyhow::Error::from(error).context("open the instance")),
        };
        if told.as_ref() != Some(&hitch) {
            match &hitch {
                Hitch::Absent => {
                    tracing::warn!(%state, "waiting for an instance: `weir server` with the same `state` makes it");
                }
                Hitch::Away(error) => tracing::warn!(%state, error, "the state is away, trying again"),
            }
        }
        told = Some(hitch);
        process.clock.sleep(AGAIN).await;
    }
}

/// Whether nothing was changed, and the same may work later. A change of which that is not known is none of these: an
/// instance may have been made, and its first token with it.
fn is_passing(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Store(
            StoreError::Read(StateError::Failed(_)) | StoreError::Commit(CommitError::Unavailable(_))
        )
    )
}

/// What others change is seen here.
fn follow(fleet: &Fleet, process: &Process) {
    let fleet = fleet.clone();
    process.spawner.spawn("fleet.follow", Policy::essential(DrainPhase::Close), |drain| async move {
        tokio::select! {
            () = fleet.follow() => {}
            () = drain.draining() => {}
        }
        Ok::<(), Infallible>(())
    });
}

/// It is never busy for long enough to be stuck.
const STALL: Duration = Duration::from_secs(600);

/// What agents say here is seen by others, and it is looked whether the state is there; at the end that they do not attend
/// here any more.
fn exchange(fleet: &Fleet, process: &Process) {
    let (fleet, clock) = (fleet.clone(), Arc::clone(&process.clock));
    let progress = process.health.register("state", STALL);
    progress.idle();
    process.spawner.spawn("fleet.exchange", Policy::essential(DrainPhase::Commit), |drain| async move {
        let mut failing = false;
        let mut draining = false;
        while !draining {
            tokio::select! {
                () = clock.sleep(TELLING) => {}
                () = drain.draining() => draining = true,
            }
            let exchanged = async {
                fleet.refresh().await?;
                fleet.write_reports().await
            };
            match exchanged.await {
                Ok(()) if std::mem::replace(&mut failing, false) => {
                    progress.recovered();
                    tracing::info!("the state can be read and written again");
                }
                Ok(()) => {}
                Err(error) => {
                    let error = chain(&error);
                    progress.degraded(format!("what was known last counts: {error}"));
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the state can not be used: nobody joins, and changes are not seen");
                    }
                }
            }
        }
        Ok::<(), Infallible>(())
    });
}

/// Keys and certificates are renewed when their time has come, and listeners show them from then on.
fn maintain(fleet: Fleet, names: Vec<String>, mut shown: Shown, showing: Showing, process: &Process) {
    let clock = Arc::clone(&process.clock);
    process.spawner.spawn("fleet.maintain", Policy::essential(DrainPhase::StopIntake), |drain| async move {
        let mut changes = fleet.changes();
        loop {
            if let Err(error) = fleet.maintain(clock.now()).await {
                tracing::error!(error = %chain(&error), "the keys of the instance could not be looked after");
            }
            if !shown.is_current(&fleet) {
                match Shown::of(&fleet, &names, &clock) {
                    Ok(next) => {
                        showing.becomes(&next);
                        shown = next;
                        tracing::info!("this server shows a new certificate from now on");
                    }
                    Err(error) => tracing::error!(error = %format!("{error:#}"), "this server goes on with its certificate"),
                }
            }
            let rotates = async {
                // A change of the authorities is not waited out; others are nothing to do with here.
                while changes.changed().await.is_ok() {
                    if !shown.is_of(&fleet.instance()) {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = clock.sleep(MAINTENANCE) => {}
                () = rotates => {}
                () = drain.draining() => return Ok::<(), Infallible>(()),
            }
        }
    });
}

fn keep_first_token(data_dir: &Path, token: &Secret) -> Result<()> {
    let path = data_dir.join(FIRST_TOKEN);
    if path.exists() {
        let kept = path.with_extension("token.old");
        std::fs::rename(&path, &kept).with_context(|| {
            format!("put the token of another instance out of the way, `{}`", path.display())
        })?;
        tracing::warn!(path = %kept.display(), "there was the token of another instance; was its state removed?");
    }
    file::replace(&path, format!("{}\n", token.reveal()).as_bytes())
        .with_context(|| {
            format!(
                "keep the first operator's token in `{}`, and so it is lost: `weir operator create NAME` with `--data-dir` or \
                 `--config` makes another operator",
                path.display()
            )
        })?;
    tracing::info!(path = %path.display(), "the token of the first operator is in a file");
    Ok(())
}
