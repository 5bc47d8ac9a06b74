//! The handle.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};
use weir_auth::pki::IssueError;
use weir_auth::secret::{SecretHash, operator_token};
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::settings::Secret;
use weir_state::{Kind, State, StateError, Write};

use crate::authority::{self, BrokenKeys, Keys};
use crate::documents::{self, Document, INSTANCE, LOG_REQUEST, Versioned, create};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::names::OperatorName;
use crate::reports::{REPORT, Reports};
use crate::settings::FleetSettings;
use crate::snapshot::{KINDS, Snapshot, Tables};

/// The control plane of an instance. Clones are handles of the same.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

struct Shared {
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    settings: FleetSettings,
    snapshot: ArcSwap<Snapshot>,
    /// Tells of everything.
    news: watch::Sender<u64>,
    /// Tells of what was decided.
    changes: watch::Sender<u64>,
    refreshing: Mutex<()>,
    /// When the state could not be read for somebody who is not known; one at a time asks.
    failed_look: Mutex<Option<SystemTime>>,
    /// Changes of this process come one after the other; those of others are met as conflicts.
    changing: Mutex<()>,
    reports: Reports,
}

/// A fleet that was opened.
#[derive(Debug)]
pub struct Opened {
    pub fleet: Fleet,
    /// The token of the first operator, `admin`, if the instance was made just now. It is not kept: show it once.
    pub first_operator: Option<Secret>,
}

/// Why a fleet could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process is to make it.
    #[error("there is no instance in the state yet")]
    Absent,
    #[error("could not make the keys of the instance")]
    Make(#[source] IssueError),
    #[error("the keys of the instance can not be used")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whether the instance was made is not known, or it was made and nothing more: nobody is shown a token of it.
    #[error(
        "an instance may have been made, and the token of its first operator is lost: if there is one, `weir operator \
         create NAME --config FILE`, or `--data-dir DIR`, makes an operator"
    )]
    TokenLost(#[source] Box<Self>),
}

impl OpenError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Store(error) => Nature::Store(error),
            Self::TokenLost(error) => error.nature(),
            Self::Absent | Self::Make(_) | Self::Keys(_) => Nature::Broken,
        }
    }
}
failures!(OpenError);
store_failures!(OpenError);

impl From<BrokenKeys> for OpenError {
    fn from(error: BrokenKeys) -> Self {
        Self::Keys(Box::new(error))
    }
}

/// What an operation wants to be written, and what it returns then.
pub(crate) struct Decision<T> {
    pub(crate) writes: Vec<Write>,
    pub(crate) outcome: T,
}

const ADMIN: &str = "admin";

/// How often an operation decides anew because others were faster.
const ATTEMPTS: usize = 100;

impl Fleet {
    /// Opens the instance that is in the state, or makes one if there is none, and renews its keys if that is due.
    pub async fn open(
        state: Arc<dyn State>,
        clock: Arc<dyn Clock>,
        settings: FleetSettings,
    ) -> Result<Opened, OpenError> {
        let mut first_operator = None;
        let snapshot = loop {
            let found = read(&*state).await;
            let found = if first_operator.is_some() { found.map_err(token_lost) } else { found };
            if let Some(snapshot) = found? {
                break snapshot;
            }
            first_operator = make(&*state, clock.now(), &settings).await?;
        };
        let fleet = Self::over(state, clock, settings, snapshot).await;
        Ok(Opened { fleet, first_operator })
    }

    /// As [`Fleet::open`], but makes none.
    pub async fn join(
        state: Arc<dyn State>,
        clock: Arc<dyn Clock>,
        settings: FleetSettings,
    ) -> Result<Self, OpenError> {
        let snapshot = read(&*state).await?.ok_or(OpenError::Absent)?;
        Ok(Self::over(state, clock, settings, snapshot).await)
    }

    async fn over(
        state: Arc<dyn State>,
        clock: Arc<dyn Clock>,
        settings: FleetSettings,
        snapshot: Snapshot,
    ) -> Self {
        let news = watch::Sender::new(snapshot.revision);
        let changes = watch::Sender::new(snapshot.revision);
        let shared = Shared {
            state,
            clock,
            settings,
            snapshot: ArcSwap::from_pointee(snapshot),
            news,
            changes,
            refreshing: Mutex::new(()),
            failed_look: Mutex::default(),
            changing: Mutex::new(()),
            reports: Reports::default(),
        };
        let fleet = Self { shared: Arc::new(shared) };
        // It may have been away for longer than an authority lasts.
        if let Err(error) = fleet.maintain_keys(fleet.now()).await {
            tracing::error!(error = %chain(&error), "keys of the instance that are due were not renewed");
        }
        fleet
    }

    /// Tells that something was decided, so that whoever went by what was before looks again. The number grows.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// As [`Fleet::changes`], also of what agents say and of who asks for their logs, which is all the time.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    /// Takes in what others wrote, as soon as the state tells of it. Returns when the state is closed.
    pub async fn follow(&self) {
        let mut revision = self.shared.state.revision();
        let mut failing = false;
        loop {
            // Before the state is read: what is told from here on may not be in it.
            revision.mark_unchanged();
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(StateError::Closing) => return,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(error = %chain(&error), "what others change in the fleet is not seen");
                    }
                    self.shared.clock.sleep(error.retry_after()).await;
                    continue;
                }
            }
            // A revision is not compared with what was told: a state that lost something is behind that for good.
            if revision.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes in what was written until now.
    pub async fn refresh(&self) -> Result<(), StateError> {
        let _one_at_a_time = self.shared.refreshing.lock().await;
        let before = self.snapshot();
        let changes = self.shared.state.changes(KINDS, before.revision).await?;
        if changes.revision == before.revision {
            return Ok(());
        }
        let after = before.with(&changes);
        let revision = after.revision;
        // Whoever may write to the state can make one, and nobody else would say so.
        let operators = &after.tables.operators;
        let is_new = |name: &OperatorName| !before.tables.operators.contains_key(name);
        for (name, _) in operators.iter().filter(|(name, made)| made.made_by.is_none() && is_new(name)) {
            tracing::warn!(operator = %name, "there is an operator whom no operator has made");
        }
        self.shared.snapshot.store(Arc::new(after));
        let is_decided = |kind: Kind| !matches!(kind, REPORT | LOG_REQUEST);
        if changes.whole || changes.changes.iter().any(|change| is_decided(change.kind)) {
            self.shared.changes.send_replace(revision);
        }
        self.shared.news.send_replace(revision);
        Ok(())
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    pub(crate) fn settings(&self) -> &FleetSettings {
        &self.shared.settings
    }

    pub(crate) fn failed_look(&self) -> &Mutex<Option<SystemTime>> {
        &self.shared.failed_look
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.shared.reports
    }

    pub(crate) fn state(&self) -> &dyn State {
        &*self.shared.state
    }

    /// A document as it is in the state.
    pub(crate) async fn find<D: Document>(&self, name: &str) -> Result<Option<Versioned<D>>, StoreError> {
        let entry = self.shared.state.get(D::KIND, name).await?;
        Ok(entry.map(|entry| Versioned::of(&entry)).transpose()?)
    }

    /// Decides and writes, until nobody else was faster. What was written is in the snapshot when it returns.
    pub(crate) async fn change<T, E, F>(&self, decide: impl Fn() -> F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: Future<Output = Result<Decision<T>, E>>,
    {
        let _one_at_a_time = self.shared.changing.lock().await;
        for _ in 0..ATTEMPTS {
            let Decision { writes, outcome } = decide().await?;
            match self.shared.state.commit(&writes).await {
                Ok(_) => {
                    self.refresh_after_change().await;
                    return Ok(outcome);
                }
                Err(error) if error.is_conflict() => self.refresh().await.map_err(StoreError::from)?,
                Err(error) => return Err(StoreError::from(error).into()),
            }
        }
        Err(StoreError::Contended.into())
    }

    async fn refresh_after_change(&self) {
        if let Err(error) = self.refresh().await {
            tracing::error!(error = %chain(&error), "a change was stored and is not seen yet");
        }
    }
}

impl<T> Decision<T> {
    /// Nothing is to be written.
    pub(crate) fn nothing(outcome: T) -> Self {
        Self { writes: Vec::new(), outcome }
    }
}

/// Nothing if there is no instance.
async fn read(state: &dyn State) -> Result<Option<Snapshot>, OpenError> {
    let changes = state.changes(KINDS, 0).await?;
    let (tables, found) = Tables::default().with(&changes);
    let Some(found) = found else { return Ok(None) };
    let keys = Arc::new(Keys::open(found?)?);
    Ok(Some(Snapshot { revision: changes.revision, keys, tables }))
}

/// Nothing if another process was faster.
async fn make(
    state: &dyn State,
    now: SystemTime,
    settings: &FleetSettings,
) -> Result<Option<Secret>, OpenError> {
    let instance = authority::make(now, settings).map_err(OpenError::Make)?;
    let token = operator_token();
    let operator =
        documents::Operator { hash: SecretHash::of(token.reveal()), made: now, made_by: None, expires: None };
    let writes = [create(INSTANCE.as_str(), &instance), create(ADMIN, &operator)];
    match state.commit(&writes).await {
        Ok(_) => {
            tracing::info!(instance = %instance.id, "made a new instance");
            Ok(Some(token))
        }
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) if error.outcome_unknown() => Err(token_lost(StoreError::from(error).into())),
        Err(error) => Err(StoreError::from(error).into()),
    }
}

fn token_lost(error: OpenError) -> OpenError {
    OpenError::TokenLost(Box::new(error))
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Fleet")
            .field("instance", snapshot.keys.instance())
            .field("revision", &snapshot.revision)
            .finish_non_exhaustive()
    }
}
