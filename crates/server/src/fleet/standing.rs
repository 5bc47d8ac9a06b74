//! How an agent is, in one word and in a sentence.

use std::time::{Duration, SystemTime};

use weir_auth::AgentName;
use weir_fleet::{
    AgentState, AgentStatus, AgentView, Attendance, ConfigurationView, Fleet, InputStatus, Report,
};
use weir_model::AppName;

use super::words::{size, span};
use crate::agents::RECENTLY;
use crate::api;

/// What is known of an agent at one time.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) view: AgentView,
    /// What it should run.
    pub(super) wanted: Option<ConfigurationView>,
    /// Of the apps that it may send for.
    pub(super) off: Vec<Off>,
}

/// An app of which nothing is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Off {
    pub(super) app: AppName,
    pub(super) why: &'static str,
}

/// How far an agent is with what it should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress<'a> {
    Away,
    Running,
    Failed { reason: &'a str },
    Trying,
}

/// What was written longer ago is stored late.
const LATE: Duration = Duration::from_secs(60);

/// Sessions that take the place of others within a minute: of a network that breaks there are seldom so many.
const RIVALS: u32 = 4;

/// From here on it matters for tokens and for the times of events.
const SKEW: Duration = Duration::from_secs(30);

/// An agent renews its certificate when six tenths of its life are over.
const UNRENEWED: f64 = 0.75;

impl Picture {
    pub(super) fn of(fleet: &Fleet, view: AgentView) -> Self {
        let off = |app: &AppName| match fleet.app(app) {
            None => Some(Off { app: app.clone(), why: "is not there any more" }),
            Some(terms) if !terms.enabled => Some(Off { app: app.clone(), why: "is disabled" }),
            Some(_) => None,
        };
        Self {
            wanted: fleet.configuration_of(&view.name),
            off: view.apps.iter().filter_map(off).collect(),
            view,
        }
    }

    pub(super) fn name(&self) -> &AgentName {
        &self.view.name
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.view.state != AgentState::Good
    }

    /// Absent if it does not attend.
    pub(super) fn attendance(&self) -> Option<Attendance> {
        self.view.report.as_ref()?.attending
    }

    /// The last that it said, when it attended last.
    pub(super) fn said(&self) -> Option<&Report> {
        self.view.report.as_ref()?.said.as_ref()
    }

    /// How it is; absent if it does not attend.
    pub(super) fn status(&self) -> Option<&AgentStatus> {
        self.attendance().and(self.said())?.status.as_ref()
    }

    pub(super) fn inputs(&self) -> &[InputStatus] {
        self.status().map_or(&[], |status| &status.inputs)
    }

    /// The longest that something waits.
    pub(super) fn lag(&self) -> Option<Duration> {
        self.inputs().iter().map(|input| Duration::from_millis(input.lag_millis)).max()
    }

    /// Nothing if it has nothing to run, or runs what its own settings say.
    pub(super) fn progress(&self) -> Option<Progress<'_>> {
        let wanted = self.wanted.as_ref().filter(|_| !self.has_own_inputs())?;
        if self.attendance().is_none() {
            return Some(Progress::Away);
        }
        let Some(said) = self.said() else { return Some(Progress::Trying) };
        if said.running.as_ref() == Some(&wanted.hash) {
            return Some(Progress::Running);
        }
        let failed = said.failed.as_ref().filter(|failed| failed.hash == wanted.hash);
        Some(failed.map_or(Progress::Trying, |failed| Progress::Failed { reason: &failed.reason }))
    }

    fn has_own_inputs(&self) -> bool {
        self.attendance().and(self.said()).is_some_and(|said| said.own_inputs)
    }

    /// The first state that fits, and why; of one that is well only what is odd.
    pub(super) fn standing(&self, now: SystemTime) -> (api::AgentState, Option<String>) {
        if let AgentState::Revoked(revoked) = &self.view.state {
            return (api::AgentState::Revoked, Some(revoked.reason.to_string()));
        }
        if self.attendance().is_none() {
            return (api::AgentState::Away, Some(self.absence(now)));
        }
        if let Some(why) = self.refusal() {
            return (api::AgentState::Refused, Some(why));
        }
        if let Some(why) = self.failure() {
            return (api::AgentState::FailedConfiguration, Some(why));
        }
        if let Some(why) = self.lateness() {
            return (api::AgentState::Late, Some(why));
        }
        (api::AgentState::Ok, self.oddity(now))
    }

    fn absence(&self, now: SystemTime) -> String {
        let ago = |then: SystemTime| span(now.duration_since(then).unwrap_or_default());
        let seen = match &self.view.report {
            Some(report) => format!("not connected, seen {} ago", ago(report.seen)),
            None => format!("not seen since it joined {} ago", ago(self.view.joined)),
        };
        match &self.view.certificate {
            Some(certificate) if certificate.not_after < now => {
                format!(
                    "{seen}; its certificate ended {} ago, it asks for a new one by itself",
                    ago(certificate.not_after)
                )
            }
            _ => seen,
        }
    }

    /// Apps count that it reads something for; all of its apps, as long as that is not known.
    fn refusal(&self) -> Option<String> {
        let inputs = self.inputs();
        let counts =
            |off: &&Off| inputs.is_empty() || inputs.iter().any(|input| input.app == off.app.as_str());
        let Off { app, why } = self.off.iter().find(counts)?;
        Some(format!("app `{app}` {why}: nothing of it is taken"))
    }

    fn failure(&self) -> Option<String> {
        let Some(Progress::Failed { reason }) = self.progress() else { return None };
        let revision = self.wanted.as_ref().map(|wanted| wanted.revision)?;
        let runs = match self.said().and_then(|said| said.running.as_ref()) {
            Some(_) => "it runs the one before",
            None => "it runs none",
        };
        Some(format!("revision {revision} does not work, {runs}: {reason}"))
    }

    fn lateness(&self) -> Option<String> {
        let status = self.status()?;
        if !status.error.is_empty() {
            return Some(status.error.clone());
        }
        let late = |input: &&InputStatus| Duration::from_millis(input.lag_millis) >= LATE;
        let input = self.inputs().iter().filter(late).max_by_key(|input| input.lag_millis)?;
        let age = span(Duration::from_millis(input.lag_millis));
        let what = format!("{} of `{}` wait for {age}", size(input.lag_bytes), input.name);
        match input.last_error.as_str() {
            "" => Some(what),
            error => Some(format!("{what}: {error}")),
        }
    }

    /// Of two that use one folder or one key, until a renewal shows which generation each has.
    fn rivalry(&self, now: SystemTime) -> Option<String> {
        let Attendance { since, takeovers: often, .. } =
            self.attendance().filter(|here| here.takeovers >= RIVALS)?;
        let is_recent = now.duration_since(since).is_ok_and(|ago| ago < RECENTLY);
        is_recent.then(|| {
            format!("was replaced by itself {often} times in a minute: its connection breaks, or two have its folder or its key")
        })
    }

    fn oddity(&self, now: SystemTime) -> Option<String> {
        if let Some(rivalry) = self.rivalry(now) {
            return Some(rivalry);
        }
        if let Some(wanted) = self.wanted.as_ref().filter(|_| self.has_own_inputs()) {
            let revision = wanted.revision;
            return Some(format!("runs the inputs of its own settings, and not revision {revision}"));
        }
        if self.wanted.is_none() && !self.has_own_inputs() {
            return Some("has nothing to run: no configuration fits its labels".to_owned());
        }
        if let (Some(Progress::Trying), Some(wanted)) = (self.progress(), &self.wanted) {
            return Some(format!("has not said yet that it runs revision {}", wanted.revision));
        }
        let skew = self.status().map_or(0, |status| status.clock_skew_millis);
        let by = Duration::from_millis(skew.unsigned_abs());
        if by >= SKEW {
            let direction = if skew > 0 { "ahead" } else { "behind" };
            return Some(format!("its clock is {} {direction}", span(by)));
        }
        let certificate = self.view.certificate.as_ref()?;
        let life = certificate.not_after.duration_since(certificate.issued).ok()?;
        let left = certificate.not_after.duration_since(now).unwrap_or_default();
        let is_overdue = left < life.mul_f64(1.0 - UNRENEWED);
        is_overdue.then(|| format!("its certificate ends in {} and was not renewed yet", span(left)))
    }
}

#[cfg(test)]
mod tests;
