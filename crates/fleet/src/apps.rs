//! Apps: in whose name events are sent.

use std::num::NonZeroU32;
use std::time::SystemTime;

use weir_auth::secret::{SecretHash, app_secret};
use weir_foundation::settings::Secret;
use weir_model::{AppName, IndexPrefix};
use weir_state::Expect;

use crate::codes;
use crate::documents::{App, create, key, replace};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::keys::KeyState;
use crate::names::OperatorName;
use crate::snapshot::Snapshot;

/// What an app may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLimits {
    /// Events per second; absent means what the producer allows by itself.
    pub max_tps: Option<NonZeroU32>,
    /// Absent means what the producer makes of the name.
    pub index_prefix: Option<IndexPrefix>,
    /// Whether anybody may send in its name.
    pub enabled: bool,
}

/// A secret to be known from now on.
#[derive(Debug, Clone)]
pub enum NewSecret {
    /// One of our own.
    Random,
    /// One that clients have already, of 16 bytes at least.
    Given(Secret),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppView {
    pub name: AppName,
    pub limits: AppLimits,
    /// How many secrets it has: none, one, or two while clients change from one to the other.
    pub secrets: usize,
    pub made: SystemTime,
    pub made_by: OperatorName,
}

/// What a producer has to know of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTerms {
    pub name: AppName,
    pub max_tps: Option<NonZeroU32>,
    pub index_prefix: Option<IndexPrefix>,
    pub enabled: bool,
    pub has_secret: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateAppError {
    #[error("there is an app `{0}` already")]
    NameTaken(AppName),
    #[error(transparent)]
    Secret(#[from] BadSecret),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeAppError {
    #[error("there is no app `{0}`")]
    Unknown(AppName),
    #[error(transparent)]
    Secret(#[from] BadSecret),
    #[error("app `{0}` has two secrets already")]
    SecretsFull(AppName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A given secret that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    #[error("a secret has at least {SHORTEST_SECRET} bytes and at most {LONGEST_SECRET}")]
    Length,
    #[error("another app has this secret")]
    OfAnother,
}

#[derive(Debug, thiserror::Error)]
pub enum RemoveAppError {
    #[error("there is no app `{0}`")]
    Unknown(AppName),
    #[error("{agents} agents and {keys} access keys of the app are good")]
    InUse { agents: usize, keys: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Nobody may send in the name of the app with this secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefused {
    /// Or there is no such app, or it has no secret.
    #[error("this is not the secret of the app")]
    Wrong,
    #[error("the app is disabled")]
    Disabled,
}

const SHORTEST_SECRET: usize = 16;
const LONGEST_SECRET: usize = 1024;
const MOST_SECRETS: usize = 2;

impl Default for AppLimits {
    fn default() -> Self {
        Self { max_tps: None, index_prefix: None, enabled: true }
    }
}

impl CreateAppError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::NameTaken(_) => Nature::Refused(codes::NAME_TAKEN),
            Self::Secret(_) => Nature::Refused(codes::BAD_SECRET),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl ChangeAppError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_APP),
            Self::Secret(_) => Nature::Refused(codes::BAD_SECRET),
            Self::SecretsFull(_) => Nature::Refused(codes::APP_SECRETS_FULL),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl RemoveAppError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_APP),
            Self::InUse { .. } => Nature::Refused(codes::APP_IN_USE),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl SecretRefused {
    fn nature(&self) -> Nature<'_> {
        Nature::Refused(match self {
            Self::Wrong => codes::WRONG_SECRET,
            Self::Disabled => codes::APP_DISABLED,
        })
    }
}
failures!(CreateAppError, ChangeAppError, RemoveAppError, SecretRefused);
store_failures!(CreateAppError, ChangeAppError, RemoveAppError);

impl NewSecret {
    /// What is to be kept, and what is to be shown.
    fn make(&self, app: &AppName, snapshot: &Snapshot) -> Result<(SecretHash, Option<Secret>), BadSecret> {
        match self {
            Self::Random => {
                let secret = app_secret();
                Ok((SecretHash::of(secret.reveal()), Some(secret)))
            }
            Self::Given(secret) => {
                if !(SHORTEST_SECRET..=LONGEST_SECRET).contains(&secret.reveal().len()) {
                    return Err(BadSecret::Length);
                }
                let hash = SecretHash::of(secret.reveal());
                match snapshot.tables.app_secrets.get(&hash) {
                    Some(owner) if owner != app => Err(BadSecret::OfAnother),
                    _ => Ok((hash, None)),
                }
            }
        }
    }
}

impl App {
    fn limits(&self) -> AppLimits {
        AppLimits { max_tps: self.max_tps, index_prefix: self.index_prefix.clone(), enabled: self.enabled }
    }

    fn set(&mut self, limits: &AppLimits) {
        self.max_tps = limits.max_tps;
        self.index_prefix.clone_from(&limits.index_prefix);
        self.enabled = limits.enabled;
    }

    fn terms(&self, name: &AppName) -> AppTerms {
        AppTerms {
            name: name.clone(),
            max_tps: self.max_tps,
            index_prefix: self.index_prefix.clone(),
            enabled: self.enabled,
            has_secret: !self.secrets.is_empty(),
        }
    }
}

impl Fleet {
    /// A new app. The secret is there to be shown once, if it is one of ours.
    pub async fn create_app(
        &self,
        name: &AppName,
        limits: &AppLimits,
        secret: Option<&NewSecret>,
        by: &OperatorName,
    ) -> Result<Option<Secret>, CreateAppError> {
        let made = secret.map(|secret| secret.make(name, &self.snapshot())).transpose()?;
        let (hash, shown) = made.map_or((None, None), |(hash, shown)| (Some(hash), shown));
        let mut app = App {
            secrets: hash.into_iter().collect(),
            max_tps: None,
            index_prefix: None,
            enabled: true,
            made: self.now(),
            made_by: by.clone(),
        };
        app.set(limits);
        let app = &app;
        self.change(|| async move {
            match self.find::<App>(name.as_str()).await? {
                Some(_) => Err(CreateAppError::NameTaken(name.clone())),
                None => Ok(Decision { writes: vec![create(name.as_str(), app)], outcome: () }),
            }
        })
        .await?;
        tracing::info!(app = %name, %by, "created an app");
        Ok(shown)
    }

    pub async fn limit_app(
        &self,
        name: &AppName,
        limits: &AppLimits,
        by: &OperatorName,
    ) -> Result<(), ChangeAppError> {
        self.change_app(name, |app| {
            app.set(limits);
            Ok(())
        })
        .await?;
        tracing::info!(app = %name, %by, ?limits, "changed what an app may do");
        Ok(())
    }

    /// Changes a part of what an app may do; `change` may be asked several times.
    pub async fn change_app_limits(
        &self,
        name: &AppName,
        change: &(dyn Fn(&mut AppLimits) + Sync),
        by: &OperatorName,
    ) -> Result<(), ChangeAppError> {
        self.change_app(name, |app| {
            let mut limits = app.limits();
            change(&mut limits);
            app.set(&limits);
            Ok(())
        })
        .await?;
        tracing::info!(app = %name, %by, "changed what an app may do");
        Ok(())
    }

    /// One more secret, beside the one that it has, until [`Fleet::end_app_secrets`] leaves the newest.
    pub async fn add_app_secret(
        &self,
        name: &AppName,
        secret: &NewSecret,
        by: &OperatorName,
    ) -> Result<Option<Secret>, ChangeAppError> {
        let (hash, shown) = secret.make(name, &self.snapshot())?;
        self.change_app(name, |app| {
            if app.secrets.len() >= MOST_SECRETS {
                return Err(ChangeAppError::SecretsFull(name.clone()));
            }
            app.secrets.push(hash);
            Ok(())
        })
        .await?;
        tracing::info!(app = %name, %by, "added a secret of an app");
        Ok(shown)
    }

    /// The app keeps this many of its newest secrets.
    pub async fn end_app_secrets(
        &self,
        name: &AppName,
        keep: usize,
        by: &OperatorName,
    ) -> Result<(), ChangeAppError> {
        self.change_app(name, |app| {
            let old = app.secrets.len().saturating_sub(keep);
            app.secrets.drain(..old);
            Ok(())
        })
        .await?;
        tracing::info!(app = %name, %by, keep, "removed secrets of an app");
        Ok(())
    }

    async fn change_app(
        &self,
        name: &AppName,
        edit: impl Fn(&mut App) -> Result<(), ChangeAppError> + Sync,
    ) -> Result<(), ChangeAppError> {
        let edit = &edit;
        self.change(|| async move {
            let found = self.find::<App>(name.as_str()).await?;
            let mut found = found.ok_or_else(|| ChangeAppError::Unknown(name.clone()))?;
            edit(&mut found.document)?;
            let writes = vec![replace(name.as_str(), found.version, &found.document)];
            Ok(Decision { writes, outcome: () })
        })
        .await
    }

    /// Refused while anybody could send or join in its name; [`AppLimits::enabled`] stops that at once.
    pub async fn remove_app(&self, name: &AppName, by: &OperatorName) -> Result<(), RemoveAppError> {
        self.change(|| async move {
            self.refresh().await?;
            let found = self.find::<App>(name.as_str()).await?;
            let found = found.ok_or_else(|| RemoveAppError::Unknown(name.clone()))?;
            let (agents, keys) = self.users_of(name);
            if agents + keys > 0 {
                return Err(RemoveAppError::InUse { agents, keys });
            }
            let writes = vec![key::<App>(name.as_str()).delete(Expect::Version(found.version))];
            Ok(Decision { writes, outcome: () })
        })
        .await?;
        tracing::info!(app = %name, %by, "removed an app");
        Ok(())
    }

    /// Good agents and access keys of an app.
    fn users_of(&self, name: &AppName) -> (usize, usize) {
        let (snapshot, now) = (self.snapshot(), self.now());
        let agents = snapshot.tables.agents.values().filter(|agent| {
            let ends = agent.certificate().map(|certificate| certificate.not_after);
            agent.apps.contains(name) && agent.revoked.is_none() && ends.is_some_and(|ends| now <= ends)
        });
        let keys = snapshot.tables.access_keys.values();
        let keys = keys.filter(|key| key.apps.contains(name) && key.state(now) == KeyState::Usable);
        (agents.count(), keys.count())
    }

    #[must_use]
    pub fn apps(&self) -> Vec<AppView> {
        let snapshot = self.snapshot();
        let apps = snapshot.tables.apps.iter().map(|(name, app)| AppView {
            name: name.clone(),
            limits: app.limits(),
            secrets: app.secrets.len(),
            made: app.made,
            made_by: app.made_by.clone(),
        });
        apps.collect()
    }

    /// Needs no I/O.
    #[must_use]
    pub fn app(&self, name: &AppName) -> Option<AppTerms> {
        self.snapshot().tables.apps.get(name).map(|app| app.terms(name))
    }

    /// Needs no I/O. An app that is not there and a wrong secret look alike and take the same work.
    pub fn check_secret(&self, name: &AppName, secret: &Secret) -> Result<AppTerms, SecretRefused> {
        let snapshot = self.snapshot();
        let app = snapshot.tables.apps.get(name);
        let nobody = SecretHash::of("");
        let hashes = app.map_or(&[][..], |app| &app.secrets);
        // As many comparisons whatever the app has.
        let fits = (0..MOST_SECRETS)
            .fold(false, |fits, index| fits | hashes.get(index).unwrap_or(&nobody).fits(secret.reveal()));
        match app {
            Some(app) if fits && !secret.reveal().is_empty() => {
                if app.enabled {
                    Ok(app.terms(name))
                } else {
                    Err(SecretRefused::Disabled)
                }
            }
            _ => Err(SecretRefused::Wrong),
        }
    }
}
