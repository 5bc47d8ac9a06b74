//! Configurations of agents: immutable texts, and which agents have which.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use weir_auth::AgentName;
use weir_auth::secret::SecretHash;
use weir_foundation::settings::Problems;
use weir_state::{Expect, Write};

use crate::agents::AgentView;
use crate::codes;
use crate::documents::{Assignment, CONFIGURATION, Configuration, Counter, Versioned, create, key, replace};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::labels::{Marked, Selector};
use crate::names::OperatorName;
use crate::snapshot::Tables;

/// SHA-256 of the bytes of a configuration: 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigurationHash(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a configuration has 64 hexadecimal digits")]
pub struct IllegalHash;

/// Whether agents would take a text.
pub type Check<'a> = &'a (dyn Fn(&str) -> Result<(), Problems> + Sync);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationView {
    /// Grows with every configuration of the instance.
    pub revision: u64,
    pub selector: Selector,
    pub hash: ConfigurationHash,
    pub text: Arc<str>,
    pub made: SystemTime,
    pub made_by: OperatorName,
    pub note: String,
    /// The revision that was brought back by it.
    pub restores: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    #[error("a configuration has at most {LONGEST_TEXT} bytes, this one has {0}")]
    TooLarge(usize),
    #[error("a configuration has no control characters but tabs and line ends")]
    Characters,
    #[error("agents would not take the configuration")]
    Problems(Problems),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RollBackError {
    #[error("agents with `{selector}` never had configuration {revision}, or it is not kept any more")]
    Unknown { selector: Selector, revision: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    #[error("there is no configuration for agents with `{0}`")]
    Unknown(Selector),
    #[error(transparent)]
    Store(#[from] StoreError),
}

const LONGEST_TEXT: usize = 1 << 20;
/// Bytes of a note.
const LONGEST_NOTE: usize = 500;
/// Configurations that are kept of each selector.
const KEPT: usize = 50;

impl ConfigureError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::TooLarge(_) | Self::Characters | Self::Problems(_) => {
                Nature::Refused(codes::BAD_CONFIGURATION)
            }
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl RollBackError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown { .. } => Nature::Refused(codes::UNKNOWN_CONFIGURATION),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl WithdrawError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_CONFIGURATION),
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(ConfigureError, RollBackError, WithdrawError);
store_failures!(ConfigureError, RollBackError, WithdrawError);

impl ConfigurationHash {
    #[must_use]
    pub fn of(text: &str) -> Self {
        // SHA-256, in hexadecimal digits.
        Self(SecretHash::of(text).to_string().into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConfigurationHash {
    type Err = IllegalHash;

    fn from_str(text: &str) -> Result<Self, IllegalHash> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) { Ok(Self(text.into())) } else { Err(IllegalHash) }
    }
}

impl fmt::Display for ConfigurationHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConfigurationHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigurationHash({self})")
    }
}

/// What the document of an assignment is called: selectors may be longer than names.
pub(crate) fn assignment_name(selector: &Selector) -> String {
    ConfigurationHash::of(&selector.to_string()).to_string()
}

fn configuration_name(revision: u64) -> String {
    format!("{revision:020}")
}

/// The assignment for such an agent: of those that fit one that names it, else the one with the most labels, and of those
/// the one that was changed last.
fn choose<'a>(
    assignments: impl Iterator<Item = &'a Assignment>,
    agent: Marked<'_>,
) -> Option<&'a Assignment> {
    assignments
        .filter(|assignment| assignment.selector.fits(agent))
        .max_by_key(|assignment| (assignment.selector.width(), assignment.revisions.last().copied()))
}

/// A configuration to be added.
struct New<'a> {
    selector: &'a Selector,
    text: Arc<str>,
    note: String,
    restores: Option<u64>,
}

impl Configuration {
    fn view(&self, revision: u64) -> ConfigurationView {
        ConfigurationView {
            revision,
            selector: self.selector.clone(),
            hash: self.hash.clone(),
            text: Arc::clone(&self.text),
            made: self.made,
            made_by: self.made_by.clone(),
            note: self.note.clone(),
            restores: self.restores,
        }
    }
}

impl Tables {
    fn present(&self, assignment: &Assignment) -> Option<ConfigurationView> {
        let revision = assignment.revisions.last()?;
        Some(self.configurations.get(revision)?.view(*revision))
    }
}

impl Fleet {
    /// Whether a text could be a configuration.
    pub fn check_configuration(text: &str, check: Check<'_>) -> Result<(), ConfigureError> {
        if text.len() > LONGEST_TEXT {
            return Err(ConfigureError::TooLarge(text.len()));
        }
        // Which would also make it larger than it may be in JSON.
        if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
            return Err(ConfigureError::Characters);
        }
        check(text).map_err(ConfigureError::Problems)
    }

    /// Gives agents with these labels this configuration. One that they have already stays what it is, unless it did not
    /// work on one of them: then it is to be tried again, under a new revision.
    pub async fn configure(
        &self,
        selector: &Selector,
        text: &str,
        note: &str,
        check: Check<'_>,
        by: &OperatorName,
    ) -> Result<ConfigurationView, ConfigureError> {
        Self::check_configuration(text, check)?;
        let note = crate::reports::cut(note, LONGEST_NOTE);
        let new = New { selector, text: text.into(), note, restores: None };
        let new = &new;
        let view = self.change(|| async move {
            let assignment = self.assignment(selector).await?;
            if let Some(present) = self.present(assignment.as_ref()).await?
                && present.text == new.text
                && !self.did_not_work(&present)
            {
                return Ok(Decision::nothing(present));
            }
            self.decide_configuration(new, assignment, by).await
        });
        let view = view.await?;
        tracing::info!(revision = view.revision, %selector, %by, "configured agents");
        Ok(view)
    }

    /// On somebody, by his last word.
    fn did_not_work(&self, configuration: &ConfigurationView) -> bool {
        let failed = |agent: &AgentView| {
            let said = agent.report.as_ref().and_then(|report| report.said.as_ref());
            said.and_then(|said| said.failed.as_ref()).is_some_and(|failed| failed.hash == configuration.hash)
        };
        self.agents().iter().any(failed)
    }

    /// Gives agents with these labels again what they had with an earlier revision, under a new one.
    pub async fn roll_back(
        &self,
        selector: &Selector,
        revision: u64,
        by: &OperatorName,
    ) -> Result<ConfigurationView, RollBackError> {
        let unknown = || RollBackError::Unknown { selector: selector.clone(), revision };
        let view = self.change(|| async move {
            let assignment = self.assignment(selector).await?.ok_or_else(unknown)?;
            if !assignment.document.revisions.contains(&revision) {
                return Err(unknown());
            }
            let old = self.find::<Configuration>(&configuration_name(revision)).await?.ok_or_else(unknown)?;
            let Configuration { text, note, .. } = old.document;
            let new = New { selector, text, note, restores: Some(revision) };
            Ok(self.decide_configuration(&new, Some(assignment), by).await?)
        });
        let view = view.await?;
        tracing::info!(revision = view.revision, restores = revision, %selector, %by, "rolled a configuration back");
        Ok(view)
    }

    /// Agents with these labels have what other assignments say from now on; the history of this one is gone.
    pub async fn withdraw_configuration(
        &self,
        selector: &Selector,
        by: &OperatorName,
    ) -> Result<(), WithdrawError> {
        self.change(|| async move {
            let assignment = self.assignment(selector).await?;
            let assignment = assignment.ok_or_else(|| WithdrawError::Unknown(selector.clone()))?;
            let name = assignment_name(selector);
            let mut writes = vec![key::<Assignment>(name).delete(Expect::Version(assignment.version))];
            writes.extend(assignment.document.revisions.into_iter().map(remove_configuration));
            Ok::<_, WithdrawError>(Decision { writes, outcome: () })
        })
        .await?;
        tracing::info!(%selector, %by, "withdrew a configuration");
        Ok(())
    }

    async fn assignment(&self, selector: &Selector) -> Result<Option<Versioned<Assignment>>, StoreError> {
        self.find::<Assignment>(&assignment_name(selector)).await
    }

    async fn present(
        &self,
        assignment: Option<&Versioned<Assignment>>,
    ) -> Result<Option<ConfigurationView>, StoreError> {
        let Some(revision) = assignment.and_then(|assignment| assignment.document.revisions.last()) else {
            return Ok(None);
        };
        let found = self.find::<Configuration>(&configuration_name(*revision)).await?;
        Ok(found.map(|found| found.document.view(*revision)))
    }

    async fn decide_configuration(
        &self,
        new: &New<'_>,
        assignment: Option<Versioned<Assignment>>,
        by: &OperatorName,
    ) -> Result<Decision<ConfigurationView>, StoreError> {
        let counter = self.find::<Counter>(CONFIGURATION.as_str()).await?;
        let revision = counter.as_ref().map_or(0, |counter| counter.document.last) + 1;
        let next = Counter { last: revision };
        let configuration = Configuration {
            selector: new.selector.clone(),
            hash: ConfigurationHash::of(&new.text),
            text: Arc::clone(&new.text),
            made: self.now(),
            made_by: by.clone(),
            note: new.note.clone(),
            restores: new.restores,
        };
        let mut writes = vec![
            match counter {
                None => create(CONFIGURATION.as_str(), &next),
                Some(counter) => replace(CONFIGURATION.as_str(), counter.version, &next),
            },
            create(configuration_name(revision), &configuration),
        ];
        let name = assignment_name(new.selector);
        match assignment {
            None => {
                let first = Assignment { selector: new.selector.clone(), revisions: vec![revision] };
                writes.push(create(name, &first));
            }
            Some(Versioned { version, mut document }) => {
                document.revisions.push(revision);
                let old = document.revisions.len().saturating_sub(KEPT);
                writes.extend(document.revisions.drain(..old).map(remove_configuration));
                writes.push(replace(name, version, &document));
            }
        }
        Ok(Decision { writes, outcome: configuration.view(revision) })
    }

    /// What each selector's agents have now.
    #[must_use]
    pub fn configurations(&self) -> Vec<ConfigurationView> {
        let tables = &self.snapshot().tables;
        tables.assignments.values().filter_map(|assignment| tables.present(assignment)).collect()
    }

    /// What a selector's agents had, the newest first.
    #[must_use]
    pub fn configuration_history(&self, selector: &Selector) -> Vec<ConfigurationView> {
        let tables = &self.snapshot().tables;
        let revisions = tables
            .assignments
            .get(&assignment_name(selector))
            .map_or(&[][..], |assignment| &assignment.revisions);
        let view = |revision: &u64| Some(tables.configurations.get(revision)?.view(*revision));
        revisions.iter().rev().filter_map(view).collect()
    }

    #[must_use]
    pub fn configuration(&self, revision: u64) -> Option<ConfigurationView> {
        self.snapshot().tables.configurations.get(&revision).map(|found| found.view(revision))
    }

    /// What an agent is to run; absent if nobody decided that. Needs no I/O.
    #[must_use]
    pub fn configuration_of(&self, agent: &AgentName) -> Option<ConfigurationView> {
        let tables = &self.snapshot().tables;
        let marked = tables.agents.get(agent)?.marked(agent);
        tables.present(choose(tables.assignments.values().map(AsRef::as_ref), marked)?)
    }

    /// Agents that are not out and would run a configuration that is given to these labels now: those for whom no
    /// assignment fits that is more exact.
    #[must_use]
    pub fn agents_with(&self, selector: &Selector) -> Vec<AgentName> {
        let tables = &self.snapshot().tables;
        let good = tables.agents.iter().filter(|(_, agent)| agent.revoked.is_none());
        let selectors = tables.assignments.values().map(|assignment| &assignment.selector);
        let wider: Vec<&Selector> = selectors.filter(|other| other.width() > selector.width()).collect();
        let theirs = good.filter(|(name, agent)| {
            let marked = agent.marked(name);
            selector.fits(marked) && !wider.iter().any(|other| other.fits(marked))
        });
        theirs.map(|(name, _)| name.clone()).collect()
    }
}

fn remove_configuration(revision: u64) -> Write {
    key::<Configuration>(configuration_name(revision)).delete(Expect::Any)
}

#[cfg(test)]
mod tests;
