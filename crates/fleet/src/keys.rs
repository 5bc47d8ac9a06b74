//! Access keys: with which agents join.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use weir_auth::AgentName;
use weir_auth::access_key::{KeyId, TooMuch};
use weir_auth::secret::{SecretHash, random_text};
use weir_foundation::settings::Secret;
use weir_model::{AppName, IllegalName, IndexPrefix};
use weir_state::{Expect, MAX_WRITES};

use crate::codes;
use crate::documents::{AccessKey, Agent, App, RevocationReason, Revoked, create, key, replace};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::labels::Labels;
use crate::names::{OperatorName, Title};

/// How many agents may join with an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uses {
    Times(NonZeroU32),
    Unlimited,
}

/// An access key to be made.
#[derive(Debug, Clone)]
pub struct KeySpec {
    pub title: Title,
    /// In whose names its agents send: one at least. Without further ado they send in the name of the first.
    pub apps: Vec<AppName>,
    /// Of its agents.
    pub labels: Labels,
    /// Absent means that it does not expire.
    pub life: Option<Duration>,
    pub uses: Uses,
    /// Whether its agents seal payloads.
    pub seal: bool,
}

/// A new access key.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    pub id: KeyId,
    /// The text for the nodes, to be shown once.
    pub key: Secret,
    pub expires: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    pub id: KeyId,
    pub title: Title,
    pub apps: Vec<AppName>,
    pub labels: Labels,
    pub made: SystemTime,
    pub made_by: OperatorName,
    pub expires: Option<SystemTime>,
    pub uses: Uses,
    pub used: u32,
    pub last_used: Option<SystemTime>,
    pub seal: bool,
    pub state: KeyState,
}

/// Whether anybody can join with an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Usable,
    UsedUp,
    Expired,
    Revoked,
}

/// What becomes of those who joined with a revoked access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentsToo {
    Stay,
    Revoke,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    #[error("there is no app `{0}`")]
    UnknownApp(AppName),
    #[error("an access key is for one to {MOST_APPS} apps, each of them once")]
    Apps,
    /// Clients of other protocols name an index themselves.
    #[error("agents can not send in the name of `{app}`, which would be the name of an index: it {why}")]
    AppName { app: AppName, why: IllegalName },
    #[error("the access key would expire at once, or never end")]
    Life,
    #[error("could not write the access key")]
    TooMuch(#[from] TooMuch),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RevokeKeyError {
    #[error("there is no access key `{0}`")]
    Unknown(KeyId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

const MOST_APPS: usize = 16;

impl CreateKeyError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::UnknownApp(_) => Nature::Refused(codes::UNKNOWN_APP),
            Self::Apps | Self::AppName { .. } | Self::Life | Self::TooMuch(_) => {
                Nature::Refused(codes::BAD_KEY_SPEC)
            }
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl RevokeKeyError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_KEY),
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(CreateKeyError, RevokeKeyError);
store_failures!(CreateKeyError, RevokeKeyError);

impl AccessKey {
    pub(crate) fn state(&self, now: SystemTime) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|expires| expires <= now) {
            KeyState::Expired
        } else if self.uses.is_some_and(|uses| uses <= self.used) {
            KeyState::UsedUp
        } else {
            KeyState::Usable
        }
    }

    /// Since when nobody can join with it any more, if that is so.
    pub(crate) fn ended(&self, now: SystemTime) -> Option<SystemTime> {
        match self.state(now) {
            KeyState::Usable => None,
            KeyState::UsedUp => self.last_used,
            KeyState::Expired => self.expires,
            KeyState::Revoked => self.revoked,
        }
    }

    fn view(&self, id: &KeyId, now: SystemTime) -> KeyView {
        KeyView {
            id: id.clone(),
            title: self.title.clone(),
            apps: self.apps.clone(),
            labels: self.labels.clone(),
            made: self.made,
            made_by: self.made_by.clone(),
            expires: self.expires,
            uses: self.uses.and_then(NonZeroU32::new).map_or(Uses::Unlimited, Uses::Times),
            used: self.used,
            last_used: self.last_used,
            seal: self.seal,
            state: self.state(now),
        }
    }
}

impl Fleet {
    pub async fn create_key(&self, spec: &KeySpec, by: &OperatorName) -> Result<CreatedKey, CreateKeyError> {
        let now = self.now();
        let twice = |index: usize| spec.apps[..index].contains(&spec.apps[index]);
        if !(1..=MOST_APPS).contains(&spec.apps.len()) || (0..spec.apps.len()).any(twice) {
            return Err(CreateKeyError::Apps);
        }
        for app in &spec.apps {
            IndexPrefix::new(app.as_str())
                .map_err(|why| CreateKeyError::AppName { app: app.clone(), why })?;
        }
        let expires = match spec.life {
            None => None,
            Some(Duration::ZERO) => return Err(CreateKeyError::Life),
            Some(life) => Some(now.checked_add(life).ok_or(CreateKeyError::Life)?),
        };
        let (random_id, secret) = (KeyId::random(), random_text());
        let (id, secret) = (&random_id, &secret);
        let text = self.change(|| async move {
            for app in &spec.apps {
                self.find::<App>(app.as_str())
                    .await?
                    .ok_or_else(|| CreateKeyError::UnknownApp(app.clone()))?;
            }
            let keys = self.snapshot().keys.clone();
            let text = keys.access_key(self.settings(), id.clone(), secret.clone(), spec.seal).encode()?;
            let document = AccessKey {
                title: spec.title.clone(),
                hash: SecretHash::of(secret.reveal()),
                apps: spec.apps.clone(),
                labels: spec.labels.clone(),
                made: now,
                made_by: by.clone(),
                expires,
                uses: match spec.uses {
                    Uses::Times(times) => Some(times.get()),
                    Uses::Unlimited => None,
                },
                used: 0,
                last_used: None,
                revoked: None,
                seal: spec.seal,
                roots: keys.document.roots.iter().map(|root| root.number).collect(),
            };
            let writes = vec![create(id.as_str(), &document), keys.unchanged()];
            Ok::<_, CreateKeyError>(Decision { writes, outcome: text })
        });
        let key = text.await?;
        tracing::info!(%id, %by, title = %spec.title, "created an access key");
        Ok(CreatedKey { id: random_id, key, expires })
    }

    #[must_use]
    pub fn keys(&self) -> Vec<KeyView> {
        let (snapshot, now) = (self.snapshot(), self.now());
        snapshot.tables.access_keys.iter().map(|(id, key)| key.view(id, now)).collect()
    }

    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<KeyView> {
        self.snapshot().tables.access_keys.get(id).map(|key| key.view(id, self.now()))
    }

    /// Nobody joins with it any more. Returns how many agents were revoked with it. Where that fails it may be done
    /// again.
    pub async fn revoke_key(
        &self,
        id: &KeyId,
        agents: AgentsToo,
        by: &OperatorName,
    ) -> Result<usize, RevokeKeyError> {
        let now = self.now();
        self.change(|| async move {
            let found = self.find::<AccessKey>(id.as_str()).await?;
            let mut found = found.ok_or_else(|| RevokeKeyError::Unknown(id.clone()))?;
            if found.document.revoked.is_some() {
                return Ok::<_, RevokeKeyError>(Decision::nothing(()));
            }
            found.document.revoked = Some(now);
            let writes = vec![replace(id.as_str(), found.version, &found.document)];
            Ok(Decision { writes, outcome: () })
        })
        .await?;
        tracing::info!(%id, %by, "revoked an access key");
        match agents {
            AgentsToo::Stay => Ok(0),
            AgentsToo::Revoke => self.revoke_agents_of(id, by).await,
        }
    }

    async fn revoke_agents_of(&self, id: &KeyId, by: &OperatorName) -> Result<usize, RevokeKeyError> {
        // Those who joined a moment ago through another process are among them: nobody does any more.
        self.refresh().await?;
        let snapshot = self.snapshot();
        let is_theirs = |agent: &Agent| &agent.access_key == id && agent.revoked.is_none();
        let theirs = snapshot.tables.agents.iter().filter(|(_, agent)| is_theirs(agent));
        let theirs: Vec<&AgentName> = theirs.map(|(name, _)| name).collect();
        let revoked = Revoked { at: self.now(), reason: RevocationReason::AccessKey { by: by.clone() } };
        let (mut count, revoked) = (0, &revoked);
        for names in theirs.chunks(MAX_WRITES) {
            count += self
                .change(|| async move {
                    let mut writes = Vec::with_capacity(names.len());
                    for name in names {
                        let found = self.find::<Agent>(name.as_str()).await?;
                        if let Some(mut found) = found.filter(|found| is_theirs(&found.document)) {
                            found.document.revoked = Some(revoked.clone());
                            writes.push(replace(name.as_str(), found.version, &found.document));
                        }
                    }
                    let count = writes.len();
                    Ok::<_, RevokeKeyError>(Decision { writes, outcome: count })
                })
                .await?;
        }
        tracing::warn!(%id, agents = count, "revoked agents with their access key");
        Ok(count)
    }

    /// Removes an access key that nobody can join with from the lists.
    pub(crate) async fn remove_ended_key(&self, id: &KeyId) -> Result<(), StoreError> {
        self.change(|| async move {
            let Some(found) = self.find::<AccessKey>(id.as_str()).await? else {
                return Ok(Decision::nothing(()));
            };
            let writes = vec![key::<AccessKey>(id.as_str()).delete(Expect::Version(found.version))];
            Ok::<_, StoreError>(Decision { writes, outcome: () })
        })
        .await
    }
}
