//! From one root to the next, in four steps, so that nobody is cut off:
//!
//! 1. begin: everybody is given the new root beside the old one, and trusts both;
//! 2. switch: certificates of agents are issued below the new one; servers still show one below the old, which everybody
//!    knows;
//! 3. agents renew, as they always do;
//! 4. finish: the old one is given up, and servers show one below the new.

use std::time::{Duration, SystemTime};

use weir_auth::AgentName;
use weir_auth::access_key::KeyId;
use weir_auth::pki::{IssueError, Pin};

use crate::authority::{Keys, make_root};
use crate::codes;
use crate::documents::{INSTANCE, Instance, Rotation, replace};
use crate::failure::{Damaged, Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::keys::KeyState;
use crate::names::OperatorName;

/// Where the change of the root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStage {
    /// There is one root.
    Idle,
    /// Everybody is being given the new one.
    Begun { since: SystemTime },
    /// Agents are being given certificates below the new one.
    Switched { since: SystemTime },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationStatus {
    pub stage: RotationStage,
    /// Of the root that servers' certificates are below.
    pub root: Pin,
    pub next: Option<Pin>,
    /// Agents that can go on without the old root, of those that count.
    pub ready: usize,
    /// Agents that count and can not.
    pub missing: Vec<Missing>,
    /// Access keys that can be used and know the old root only.
    pub keys: Vec<KeyId>,
}

/// An agent that would be cut off. Those that were revoked or not seen for a day do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub agent: AgentName,
    pub reason: MissingReason,
    pub seen: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingReason {
    /// It was not given the new root.
    Root,
    /// Its certificate is below the old root.
    Certificate,
    /// It was given what it needs, and did not show that it got it.
    Unconfirmed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    WhenReady,
    /// Whoever is not ready has to join anew.
    Force,
}

#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("a change of the root has begun already")]
    BegunAlready,
    #[error("no change of the root has begun")]
    NotBegun,
    #[error("certificates are issued below the new root already")]
    SwitchedAlready,
    #[error("certificates are still issued below the old root")]
    NotSwitched,
    #[error("{agents} agents and {keys} access keys know the old root only")]
    NotReady { agents: usize, keys: usize },
    #[error("could not make a root")]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RotationError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::BegunAlready | Self::NotBegun | Self::SwitchedAlready | Self::NotSwitched => {
                Nature::Refused(codes::ROTATION_STEP)
            }
            Self::NotReady { .. } => Nature::Refused(codes::ROTATION_NOT_READY),
            Self::Issue(_) => Nature::Broken,
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(RotationError);
store_failures!(RotationError);

/// Who was not seen for so long does not count.
const ACTIVE: Duration = Duration::from_secs(24 * 3600);

impl Fleet {
    /// The first step.
    pub async fn begin_rotation(&self, by: &OperatorName) -> Result<(), RotationError> {
        let now = self.now();
        self.change_instance(|instance| {
            if instance.rotation.is_some() {
                return Err(RotationError::BegunAlready);
            }
            instance.bundle += 1;
            let root = make_root(&instance.id, instance.bundle, now, self.settings())?;
            instance.roots.push(root);
            instance.rotation = Some(Rotation { begun: now, begun_by: by.clone(), switched: None });
            Ok(())
        })
        .await?;
        tracing::warn!(%by, "the root of the instance is being changed: there is a new one beside it");
        Ok(())
    }

    /// The second step.
    pub async fn switch_rotation(&self, by: &OperatorName) -> Result<(), RotationError> {
        let now = self.now();
        self.change_instance(|instance| {
            let rotation = instance.rotation.as_mut().ok_or(RotationError::NotBegun)?;
            if rotation.switched.is_some() {
                return Err(RotationError::SwitchedAlready);
            }
            rotation.switched = Some(now);
            Ok(())
        })
        .await?;
        tracing::warn!(%by, "the root of the instance is being changed: agents are given certificates below the new one");
        Ok(())
    }

    /// The last step. Refused while anybody would be cut off.
    pub async fn finish_rotation(&self, finish: Finish, by: &OperatorName) -> Result<(), RotationError> {
        self.refresh().await?;
        self.change_instance(|instance| {
            let rotation = instance.rotation.as_ref().ok_or(RotationError::NotBegun)?;
            if rotation.switched.is_none() {
                return Err(RotationError::NotSwitched);
            }
            let RotationStatus { missing, keys, .. } = self.rotation_status();
            if finish == Finish::WhenReady && !(missing.is_empty() && keys.is_empty()) {
                return Err(RotationError::NotReady { agents: missing.len(), keys: keys.len() });
            }
            instance.roots.remove(0);
            instance.bundle += 1;
            instance.rotation = None;
            Ok(())
        })
        .await?;
        tracing::warn!(%by, ?finish, "the root of the instance was changed: the old one is given up");
        Ok(())
    }

    /// Changes the keys of the instance.
    pub(crate) async fn change_instance<E: From<StoreError> + From<Damaged>>(
        &self,
        edit: impl Fn(&mut Instance) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let edit = &edit;
        self.change(|| async move {
            let found = self.find::<Instance>(INSTANCE.as_str()).await?;
            let mut found =
                found.ok_or_else(|| Damaged { key: INSTANCE.key(INSTANCE.as_str()), line: 0, column: 0 })?;
            edit(&mut found.document)?;
            let writes = vec![replace(INSTANCE.as_str(), found.version, &found.document)];
            Ok(Decision { writes, outcome: () })
        })
        .await
    }

    #[must_use]
    pub fn rotation_status(&self) -> RotationStatus {
        let snapshot = self.snapshot();
        let keys = &snapshot.keys;
        let pins = keys.pins();
        let stage = stage(keys);
        let (mut ready, mut missing, mut old_keys) = (0, Vec::new(), Vec::new());
        if let Some(next) = keys.document.roots.get(1) {
            let now = self.now();
            for (name, agent) in snapshot.tables.agents.iter().filter(|(_, agent)| agent.revoked.is_none()) {
                let Some(newest) = agent.certificate() else { continue };
                let report = self.report_of(name, agent);
                let seen = report.as_ref().map_or(newest.issued, |report| report.seen.max(newest.issued));
                if now.duration_since(seen).is_ok_and(|ago| ago > ACTIVE) || newest.not_after < now {
                    continue;
                }
                let confirmed = report.is_some_and(|report| report.generation >= agent.generation);
                let reason = if agent.bundle < next.number {
                    MissingReason::Root
                } else if newest.root != next.number && keys.document.issuing() == 1 {
                    MissingReason::Certificate
                } else if !confirmed {
                    MissingReason::Unconfirmed
                } else {
                    ready += 1;
                    continue;
                };
                missing.push(Missing { agent: name.clone(), reason, seen });
            }
            let usable =
                snapshot.tables.access_keys.iter().filter(|(_, key)| key.state(now) == KeyState::Usable);
            let of_old = usable.filter(|(_, key)| !key.roots.contains(&next.number));
            old_keys.extend(of_old.map(|(id, _)| id.clone()));
        }
        RotationStatus { stage, root: pins[0], next: pins.get(1).copied(), ready, missing, keys: old_keys }
    }
}

fn stage(keys: &Keys) -> RotationStage {
    match &keys.document.rotation {
        None => RotationStage::Idle,
        Some(Rotation { switched: Some(since), .. }) => RotationStage::Switched { since: *since },
        Some(Rotation { begun, .. }) => RotationStage::Begun { since: *begun },
    }
}
