//! What agents say of themselves. Kept in memory, and written into the state once a minute at most for each agent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use weir_auth::AgentName;
use weir_state::{Expect, Kind, MAX_WRITES, Write};

use crate::configurations::ConfigurationHash;
use crate::documents::{Agent, Document, encode, key, moment, optional_text, text};
use crate::failure::StoreError;
use crate::fleet::Fleet;

/// What an agent says. Texts that are too long are cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub version: String,
    /// The configuration that it was told last.
    #[serde(with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<ConfigurationHash>,
    /// The one that it runs.
    #[serde(with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub running: Option<ConfigurationHash>,
    /// The last one that it could not run. It stays when another one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedConfiguration>,
    /// Bytes that are read and not stored, or known and not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedConfiguration {
    #[serde(with = "text")]
    pub hash: ConfigurationHash,
    pub reason: String,
}

/// What is known of an agent's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportView {
    pub seen: SystemTime,
    /// Absent if it was seen and never said anything.
    pub said: Option<Report>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportDocument {
    /// When the life of the name began that it is about.
    #[serde(with = "moment")]
    pub(crate) life: SystemTime,
    #[serde(with = "moment")]
    pub(crate) seen: SystemTime,
    /// Of the newest certificate that it showed.
    pub(crate) generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<Report>,
}

pub(crate) const REPORT: Kind = Kind::new("report");

impl Document for ReportDocument {
    const KIND: Kind = REPORT;
}

/// What was heard since it was written.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    heard: Mutex<BTreeMap<AgentName, Heard>>,
}

#[derive(Debug, Clone)]
struct Heard {
    report: ReportDocument,
    written: Option<SystemTime>,
    is_new: bool,
}

const PAUSE: Duration = Duration::from_secs(60);

const LONGEST_VERSION: usize = 64;
const LONGEST_TEXT: usize = 1024;

/// As much of it as has this many bytes, in whole characters.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

impl Report {
    fn cut(self) -> Self {
        let text = |text: String| if text.len() > LONGEST_TEXT { cut(&text, LONGEST_TEXT) } else { text };
        Self {
            version: cut(&self.version, LONGEST_VERSION),
            failed: self.failed.map(|failed| FailedConfiguration { reason: text(failed.reason), ..failed }),
            last_error: self.last_error.map(text),
            ..self
        }
    }
}

impl ReportDocument {
    pub(crate) fn view(&self) -> ReportView {
        ReportView { seen: self.seen, said: self.said.clone() }
    }
}

impl Reports {
    fn heard(&self) -> MutexGuard<'_, BTreeMap<AgentName, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent of that life of the name showed a certificate of this generation.
    pub(crate) fn saw(&self, agent: &AgentName, life: SystemTime, generation: u64, now: SystemTime) {
        self.note(agent, life, now, |report| report.generation = report.generation.max(generation));
    }

    fn note(
        &self,
        agent: &AgentName,
        life: SystemTime,
        now: SystemTime,
        note: impl FnOnce(&mut ReportDocument),
    ) {
        let mut all = self.heard();
        let empty = || Heard {
            report: ReportDocument { life, seen: now, generation: 0, said: None },
            written: None,
            is_new: true,
        };
        let heard = all.entry(agent.clone()).or_insert_with(empty);
        if heard.report.life != life {
            *heard = empty();
        }
        heard.report.seen = heard.report.seen.max(now);
        heard.is_new = true;
        note(&mut heard.report);
    }

    pub(crate) fn forget(&self, agent: &AgentName) {
        self.heard().remove(agent);
    }

    fn keep(&self, known: impl Fn(&AgentName) -> bool) {
        self.heard().retain(|agent, _| known(agent));
    }

    fn get(&self, agent: &AgentName) -> Option<ReportDocument> {
        self.heard().get(agent).map(|heard| heard.report.clone())
    }

    /// What is to be written now.
    fn due(&self, now: SystemTime) -> Vec<(AgentName, ReportDocument)> {
        let all = self.heard();
        let due = all.iter().filter(|(_, heard)| {
            let paused = |written| now.duration_since(written).is_ok_and(|pause| pause >= PAUSE);
            heard.is_new && heard.written.is_none_or(paused)
        });
        due.map(|(agent, heard)| (agent.clone(), heard.report.clone())).collect()
    }

    /// What was said meanwhile is still to be written.
    fn written(&self, agent: &AgentName, report: &ReportDocument, now: SystemTime) {
        if let Some(heard) = self.heard().get_mut(agent) {
            heard.written = Some(now);
            heard.is_new = heard.report != *report;
        }
    }
}

impl Fleet {
    /// What an agent says of itself. Whether it is welcome was found out before; of one that is not there nothing is
    /// kept.
    pub fn report(&self, agent: &AgentName, report: Report) {
        if let Some(known) = self.snapshot().tables.agents.get(agent) {
            self.reports()
                .note(agent, known.joined, self.now(), |document| document.said = Some(report.cut()));
        }
    }

    /// The newest of what this process heard and what others wrote of this life of the name.
    pub(crate) fn report_of(&self, name: &AgentName, agent: &Agent) -> Option<ReportDocument> {
        let snapshot = self.snapshot();
        let written = snapshot.tables.reports.get(name).map(|report| ReportDocument::clone(report));
        let is_its = |report: &ReportDocument| report.life == agent.joined;
        match (self.reports().get(name).filter(is_its), written.filter(is_its)) {
            (Some(heard), Some(written)) => Some(merged(&heard, &written)),
            (heard, written) => heard.or(written),
        }
    }

    /// Writes what is due.
    pub(crate) async fn write_reports(&self, now: SystemTime) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let known = |name: &AgentName| snapshot.tables.agents.get(name).filter(|agent| !agent.forgotten);
        self.reports().keep(|name| known(name).is_some());
        for due in self.reports().due(now).chunks(MAX_WRITES) {
            let reports =
                due.iter().filter_map(|(name, _)| Some((name, self.report_of(name, known(name)?)?)));
            let writes: Vec<Write> = reports
                .map(|(name, report)| key::<ReportDocument>(name.as_str()).put(Expect::Any, encode(&report)))
                .collect();
            self.state().commit(&writes).await?;
            for (name, report) in due {
                self.reports().written(name, report, now);
            }
        }
        Ok(())
    }
}

/// An agent is heard by one process after the other. Both are of one life of its name.
fn merged(one: &ReportDocument, other: &ReportDocument) -> ReportDocument {
    let generation = one.generation.max(other.generation);
    let (newer, older) = if one.seen >= other.seen { (one, other) } else { (other, one) };
    let said = newer.said.as_ref().or(older.said.as_ref()).cloned();
    ReportDocument { life: one.life, seen: newer.seen, generation, said }
}

#[cfg(test)]
mod tests;
