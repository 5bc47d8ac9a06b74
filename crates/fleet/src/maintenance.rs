//! What becomes due by itself.

use std::time::SystemTime;

use weir_auth::AgentName;
use weir_auth::access_key::KeyId;
use weir_auth::pki::{Authority, AuthorityError, Certificate, IssueError};

use crate::authority::{is_ahead, make_intermediate, make_signing, renewal};
use crate::documents::{Agent, Instance, Intermediate, Root, SigningKey};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::Fleet;
use crate::settings::FleetSettings;
use crate::tokens::LEEWAY;

/// What was due could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    #[error("could not renew the authority below a root")]
    Issue(#[from] IssueError),
    #[error("a root of the instance can not be used")]
    Root(#[from] AuthorityError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MaintainError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Issue(_) | Self::Root(_) => Nature::Broken,
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(MaintainError);
store_failures!(MaintainError);

/// Agents and access keys that are removed at one time, so that others get their turn.
const AT_ONCE: usize = 100;

impl Instance {
    /// Does what is due, and says whether anything was. Where one authority can not be renewed the rest is done.
    fn maintain(&mut self, now: SystemTime, settings: &FleetSettings) -> (bool, Result<(), MaintainError>) {
        let before = self.signing.len();
        self.drop_signing_keys(now, settings);
        // Of a time at which a clock was ahead. Agents ask for another token.
        self.signing.retain(|key| !is_ahead(key.made, now));
        let mut changed = self.signing.len() != before;
        if self.signing.is_empty() {
            self.signing.push(make_signing(now, now));
            changed = true;
        }
        let newest = self.signing.last().map(|newest| newest.made);
        if newest.is_some_and(|made| made.checked_add(settings.signing_key_age).is_some_and(|due| due <= now))
        {
            self.signing.push(make_signing(now, now + settings.publication));
            changed = true;
        }
        let mut outcome = Ok(());
        for root in &mut self.roots {
            match root.maintain(now, settings) {
                Ok(renewed) => changed |= renewed,
                Err(error) => outcome = Err(error),
            }
        }
        (changed, outcome)
    }

    /// Drops keys whose last token has expired everywhere.
    fn drop_signing_keys(&mut self, now: SystemTime, settings: &FleetSettings) {
        let lingering = settings.token_life + 2 * LEEWAY;
        let is_over = |successor: &SigningKey| {
            successor.used_from.checked_add(lingering).is_some_and(|over| over < now)
        };
        let needed = self.signing.iter().rposition(is_over).unwrap_or(0);
        self.signing.drain(..needed);
    }
}

impl Root {
    /// Renews the authority below it, if it is time.
    fn maintain(&mut self, now: SystemTime, settings: &FleetSettings) -> Result<bool, MaintainError> {
        let Intermediate { made, not_after, .. } = self.intermediate;
        let is_ahead = is_ahead(made, now);
        if now < renewal(made, not_after) && !is_ahead {
            return Ok(false);
        }
        let authority = Authority::open(std::slice::from_ref(&self.certificate.0), &self.key.0)?;
        // One that ends with its root can not be followed by one that lasts longer.
        if authority.certificate().not_after() <= not_after && now <= not_after && !is_ahead {
            return Ok(false);
        }
        let next = make_intermediate(&authority, now, settings)?;
        let before = std::mem::replace(&mut self.intermediate, next);
        self.former.push(before.certificate);
        // Nobody is vouched for by one that has ended.
        self.former.retain(|der| Certificate::read(&der.0).is_ok_and(|own| own.not_after() >= now));
        Ok(true)
    }
}

impl Fleet {
    /// Does what is due at this time: new authorities and signing keys before the old ones end, and what nobody needs any
    /// more out of the state. To be called about once a minute, by every process: what one does the
    /// others find done. Where one thing fails the others are done nevertheless.
    pub async fn maintain(&self, now: SystemTime) -> Result<(), MaintainError> {
        let keys = self.maintain_keys(now).await;
        let removed = self.remove_old(now).await;
        keys?;
        Ok(removed?)
    }

    pub(crate) async fn maintain_keys(&self, now: SystemTime) -> Result<(), MaintainError> {
        let mut document = self.snapshot().keys.document.clone();
        let (due, outcome) = document.maintain(now, self.settings());
        if due {
            self.change_instance::<StoreError>(|instance| {
                // What can not be done is told anyway.
                drop(instance.maintain(now, self.settings()));
                Ok(())
            })
            .await?;
            tracing::info!("renewed keys of the instance");
        }
        outcome
    }

    async fn remove_old(&self, now: SystemTime) -> Result<(), StoreError> {
        let tables = self.snapshot().tables.clone();
        let long_ago = |end: SystemTime| {
            end.checked_add(self.settings().forget_after).is_some_and(|forget| forget < now)
        };
        let is_over = |agent: &Agent| {
            let end = agent.ends();
            if agent.forgotten { end < now } else { long_ago(end) }
        };
        let agents = tables.agents.iter().filter(|(_, agent)| is_over(agent)).map(|(name, _)| name);
        for name in agents.take(AT_ONCE).cloned().collect::<Vec<AgentName>>() {
            self.remove_agent(&name, is_over).await?;
            tracing::info!(agent = %name, "an agent that can not come back is gone");
        }
        let keys = tables.access_keys.iter().filter(|(_, key)| key.ended(now).is_some_and(long_ago));
        for id in keys.map(|(id, _)| id).take(AT_ONCE).cloned().collect::<Vec<KeyId>>() {
            self.remove_ended_key(&id).await?;
        }
        let nobodys = tables.reports.keys().filter(|name| !tables.agents.contains_key(*name));
        for name in nobodys.take(AT_ONCE).cloned().collect::<Vec<AgentName>>() {
            self.remove_report(&name).await?;
        }
        self.remove_old_log_requests(now).await?;
        Ok(())
    }
}
