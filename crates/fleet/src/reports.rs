//! What agents say of themselves, and whether they attend. Kept in memory, and written into the state for the other
//! processes: at once what tells how an agent is, the rest once a minute.

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

/// What an agent says. Texts that are too long are cut, inputs beyond [`MOST_INPUTS`] are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub version: String,
    /// What its machine is called.
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub os: String,
    /// Whether it reads what its own settings say, whatever it is told.
    #[serde(default)]
    pub own_inputs: bool,
    /// The configuration that it was told last.
    #[serde(with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<ConfigurationHash>,
    /// The one that it runs.
    #[serde(with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub running: Option<ConfigurationHash>,
    /// The last one that it could not run. It stays when another one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedConfiguration>,
    /// Absent until it says how it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
}

/// How an agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    #[serde(default)]
    pub inputs: Vec<InputStatus>,
    /// By how many milliseconds its clock is ahead of the server's.
    #[serde(default)]
    pub clock_skew_millis: i64,
    /// What is wrong in general; empty if nothing is.
    #[serde(default)]
    pub error: String,
}

/// How an input of an agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputStatus {
    pub kind: String,
    /// What tells it from others: its patterns.
    pub name: String,
    pub app: String,
    pub files: u64,
    /// Bytes that are read and not stored, or known and not read.
    pub lag_bytes: u64,
    /// How long the oldest of them has been there.
    pub lag_millis: u64,
    pub stored_bytes: u64,
    pub lines: u64,
    pub errors: u64,
    /// Empty if there was none.
    pub last_error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedConfiguration {
    #[serde(with = "text")]
    pub hash: ConfigurationHash,
    pub reason: String,
}

/// That an agent attends at a process of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// Grows with every session of this life of the name: clocks of processes may be apart.
    pub session: u64,
    /// By the clock of that process.
    #[serde(with = "moment")]
    pub since: SystemTime,
    /// How often a session took the place of one that was there, in the time before this one began.
    #[serde(default)]
    pub takeovers: u32,
}

/// What is known of an agent's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportView {
    pub seen: SystemTime,
    /// Absent if it does not attend, or was not heard for [`SILENCE`].
    pub attending: Option<Attendance>,
    /// Absent if it was seen and never said anything.
    pub said: Option<Report>,
}

/// Whoever writes it back without what a newer weir put in loses nothing that is not said again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportDocument {
    /// When the life of the name began that it is about.
    #[serde(with = "moment")]
    pub(crate) life: SystemTime,
    #[serde(with = "moment")]
    pub(crate) seen: SystemTime,
    /// Of the newest certificate that it showed.
    pub(crate) generation: u64,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attendance: Option<Attendance>,
    /// Whether that is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) over: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<Report>,
}

pub(crate) const REPORT: Kind = Kind::new("report");

impl Document for ReportDocument {
    const KIND: Kind = REPORT;
}

/// What this process heard.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    heard: Mutex<BTreeMap<AgentName, ReportDocument>>,
}

/// What says nothing new is written that often.
const PAUSE: Duration = Duration::from_secs(60);

/// What an agent has to do with configurations is written that often, whatever it says.
const SHORT_PAUSE: Duration = Duration::from_secs(3);

/// An agent that attends says something every few seconds, of which the other processes know after [`PAUSE`]. The process
/// of one that was not heard for so long may have ended without a word.
pub const SILENCE: Duration = Duration::from_secs(150);

/// Sessions that follow each other so soon are counted as taking the place of each other.
const QUICK: Duration = Duration::from_secs(15);

const LONGEST_VERSION: usize = 64;
const LONGEST_NAME: usize = 256;
const LONGEST_TEXT: usize = 1024;

/// Of one agent, so that a document has its limits.
pub const MOST_INPUTS: usize = 256;

/// Bytes of documents that are written at once: together they are no larger than one may be.
const MOST_BYTES: usize = weir_state::MAX_VALUE;

/// As much of it as has this many bytes, in whole characters.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

fn short(text: String, bytes: usize) -> String {
    if text.len() > bytes { cut(&text, bytes) } else { text }
}

impl Report {
    fn cut(self) -> Self {
        let failed = |failed: FailedConfiguration| FailedConfiguration {
            reason: short(failed.reason, LONGEST_TEXT),
            ..failed
        };
        Self {
            version: short(self.version, LONGEST_VERSION),
            host: short(self.host, LONGEST_NAME),
            os: short(self.os, LONGEST_NAME),
            failed: self.failed.map(failed),
            status: self.status.map(AgentStatus::cut),
            ..self
        }
    }

    /// Bytes that are read and not stored, or known and not read, of all inputs; absent as long as nothing is known.
    #[must_use]
    pub fn lag_bytes(&self) -> Option<u64> {
        let inputs = &self.status.as_ref()?.inputs;
        Some(inputs.iter().map(|input| input.lag_bytes).fold(0, u64::saturating_add))
    }

    /// What is wrong in general, or else with the first input that has an error.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        let status = self.status.as_ref()?;
        let of_inputs = status.inputs.iter().map(|input| &*input.last_error);
        std::iter::once(&*status.error).chain(of_inputs).find(|error| !error.is_empty())
    }
}

impl AgentStatus {
    fn cut(self) -> Self {
        let input = |input: InputStatus| InputStatus {
            kind: short(input.kind, LONGEST_VERSION),
            name: short(input.name, LONGEST_NAME),
            app: short(input.app, LONGEST_NAME),
            last_error: short(input.last_error, LONGEST_TEXT),
            ..input
        };
        Self {
            inputs: self.inputs.into_iter().take(MOST_INPUTS).map(input).collect(),
            error: short(self.error, LONGEST_TEXT),
            ..self
        }
    }
}

impl ReportDocument {
    fn new(life: SystemTime, seen: SystemTime) -> Self {
        Self { life, seen, generation: 0, attendance: None, over: false, said: None }
    }

    pub(crate) fn view(&self, now: SystemTime) -> ReportView {
        let is_silent = now.duration_since(self.seen).is_ok_and(|silence| silence > SILENCE);
        let attending = self.attendance.filter(|_| !self.over && !is_silent);
        ReportView { seen: self.seen, attending, said: self.said.clone() }
    }

    /// Whether it is to be written over what is there.
    fn is_due(&self, written: Option<&Self>) -> bool {
        let Some(written) = written else { return true };
        let is_after = |pause| self.seen.duration_since(written.seen).is_ok_and(|passed| passed >= pause);
        self.generation != written.generation
            || (self.attendance, self.over) != (written.attendance, written.over)
            || (self.configurations() != written.configurations() && is_after(SHORT_PAUSE))
            || is_after(PAUSE)
    }

    /// What is of a later session is newer, whatever clocks say.
    fn order(&self) -> (u64, Option<SystemTime>, SystemTime) {
        let Attendance { session, since, .. } = match self.attendance {
            Some(attendance) => attendance,
            None => return (0, None, self.seen),
        };
        (session, Some(since), self.seen)
    }

    /// Offered, running, failed.
    fn configurations(&self) -> Option<[Option<&ConfigurationHash>; 3]> {
        let Report { offered, running, failed, .. } = self.said.as_ref()?;
        Some([offered.as_ref(), running.as_ref(), failed.as_ref().map(|failed| &failed.hash)])
    }
}

impl Reports {
    fn heard(&self) -> MutexGuard<'_, BTreeMap<AgentName, ReportDocument>> {
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
        let empty = || ReportDocument::new(life, now);
        let heard = all.entry(agent.clone()).or_insert_with(empty);
        if heard.life != life {
            *heard = empty();
        }
        heard.seen = heard.seen.max(now);
        note(heard);
    }

    /// It is not heard by that: otherwise the word of a process at which the agent was would hide that it is at another
    /// one by now.
    fn leaves(&self, agent: &AgentName, attendance: Attendance) {
        if let Some(heard) = self.heard().get_mut(agent)
            && heard.attendance == Some(attendance)
        {
            heard.over = true;
        }
    }

    pub(crate) fn forget(&self, agent: &AgentName) {
        self.heard().remove(agent);
    }

    fn get(&self, agent: &AgentName) -> Option<ReportDocument> {
        self.heard().get(agent).cloned()
    }
}

impl Fleet {
    /// What an agent says of itself. Whether it is welcome was found out before; of one that is not there nothing is
    /// kept.
    pub fn report(&self, agent: &AgentName, report: Report) {
        self.note(agent, |document| document.said = Some(report.cut()));
    }

    /// The agent attends at this process from now on, until [`Fleet::leaves`], and nowhere else any more. `takeovers`
    /// are those that are known here.
    pub fn attends(&self, agent: &AgentName, takeovers: u32) -> Attendance {
        let (snapshot, since) = (self.snapshot(), self.now());
        let known = snapshot.tables.agents.get(agent).and_then(|known| self.report_of(agent, known));
        let before = known.as_ref().and_then(|report| report.attendance);
        let present = known.as_ref().and_then(|report| report.view(since).attending);
        let is_recent = |before: &Attendance| since.duration_since(before.since).is_ok_and(|ago| ago < QUICK);
        let in_a_row = present.filter(is_recent).map_or(0, |before| before.takeovers.saturating_add(1));
        let session = before.map_or(0, |before| before.session).saturating_add(1);
        let attendance = Attendance { session, since, takeovers: takeovers.max(in_a_row) };
        self.note(agent, |document| (document.attendance, document.over) = (Some(attendance), false));
        attendance
    }

    /// Whether the agent attends elsewhere since later than that.
    #[must_use]
    pub fn is_replaced(&self, agent: &AgentName, attendance: Attendance) -> bool {
        let snapshot = self.snapshot();
        let report = snapshot.tables.agents.get(agent).and_then(|known| self.report_of(agent, known));
        let last = report.filter(|report| !report.over).and_then(|report| report.attendance);
        last.is_some_and(|last| (last.session, last.since) > (attendance.session, attendance.since))
    }

    /// The agent does not attend here any more, unless it came again meanwhile.
    pub fn leaves(&self, agent: &AgentName, attendance: Attendance) {
        self.reports().leaves(agent, attendance);
    }

    fn note(&self, agent: &AgentName, note: impl FnOnce(&mut ReportDocument)) {
        if let Some(known) = self.snapshot().tables.agents.get(agent) {
            self.reports().note(agent, known.joined, self.now(), note);
        }
    }

    /// The newest of what this process heard and what others wrote of this life of the name.
    pub(crate) fn report_of(&self, name: &AgentName, agent: &Agent) -> Option<ReportDocument> {
        let snapshot = self.snapshot();
        let is_its = |report: &&ReportDocument| report.life == agent.joined;
        let written = snapshot.tables.reports.get(name).map(|report| &**report).filter(is_its);
        let heard = self.reports().get(name);
        match (heard.as_ref().filter(is_its), written) {
            (Some(heard), Some(written)) => Some(merged(heard, written)),
            (heard, written) => heard.or(written).cloned(),
        }
    }

    /// Writes what the other processes should know. To be called every second or two.
    pub async fn write_reports(&self) -> Result<(), StoreError> {
        let mut due = self.due_reports().into_iter().peekable();
        while due.peek().is_some() {
            let (mut writes, mut bytes): (Vec<Write>, usize) = (Vec::new(), 0);
            while let Some((name, value)) = due.next_if(|(_, value)| {
                writes.is_empty() || (writes.len() < MAX_WRITES && bytes + value.len() <= MOST_BYTES)
            }) {
                bytes += value.len();
                writes.push(key::<ReportDocument>(name.as_str()).put(Expect::Any, value));
            }
            self.state().commit(&writes).await?;
            self.refresh().await?;
        }
        Ok(())
    }

    /// Of an agent that is gone: another process may have written what it had heard of it before.
    pub(crate) async fn remove_report(&self, name: &AgentName) -> Result<(), StoreError> {
        let agent = key::<Agent>(name.as_str()).keep(Expect::Absent);
        let report = key::<ReportDocument>(name.as_str()).delete(Expect::Any);
        match self.state().commit(&[agent, report]).await {
            Ok(_) => Ok(()),
            // Somebody has joined by that name.
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// By agent, as they are written. What is not of the present life of a name is dropped.
    fn due_reports(&self) -> Vec<(AgentName, Vec<u8>)> {
        let snapshot = self.snapshot();
        let mut due = Vec::new();
        self.reports().heard().retain(|name, heard| {
            let agent = snapshot.tables.agents.get(name).filter(|agent| !agent.forgotten);
            let Some(agent) = agent.filter(|agent| agent.joined == heard.life) else { return false };
            let written = snapshot.tables.reports.get(name).filter(|report| report.life == agent.joined);
            let merged = written.map_or_else(|| heard.clone(), |written| merged(heard, written));
            if merged.is_due(written.map(|written| &**written)) {
                due.push((name.clone(), encode(&merged)));
            }
            true
        });
        due
    }
}

/// An agent attends at one process after the other. Both are of one life of its name; of two that are as new the first
/// counts.
fn merged(one: &ReportDocument, other: &ReportDocument) -> ReportDocument {
    let generation = one.generation.max(other.generation);
    let (newer, older) = if one.order() >= other.order() { (one, other) } else { (other, one) };
    let said = newer.said.as_ref().or(older.said.as_ref()).cloned();
    ReportDocument { generation, said, ..newer.clone() }
}

#[cfg(test)]
mod tests;
