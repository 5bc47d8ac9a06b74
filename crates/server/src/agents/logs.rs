//! The log of an agent, whichever process it attends at.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use weir_auth::AgentName;
use weir_fleet::{Fleet, LogAnswer, LogRequest, StoreError};
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::failure::chain;
use weir_foundation::supervise::{DrainPhase, Policy};

use super::AgentParts;
use super::hub::{Hub, LogError};

/// How long another process may take: as long as its agent may, and a few seconds for the way through the state.
const PATIENCE: Duration = Duration::from_secs(15);

/// The log of an agent could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadLogError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the process at which the agent attends could not be asked for its log")]
    Store(#[from] StoreError),
}

/// The last lines that an agent has logged, the oldest first: of one that attends here, or else at another process of the
/// instance.
pub(crate) async fn read(
    hub: &Hub,
    fleet: &Fleet,
    agent: &AgentName,
    lines: u32,
    clock: &dyn Clock,
) -> Result<Vec<String>, ReadLogError> {
    let attends = || {
        let report = fleet.agent(agent).and_then(|view| view.report);
        report.is_some_and(|report| report.attending.is_some())
    };
    if hub.has(agent) || !attends() {
        return Ok(hub.log(agent, lines, clock).await?);
    }
    match timeout(clock, PATIENCE, fleet.ask_for_log(agent, lines)).await {
        Ok(answer) => match answer? {
            LogAnswer::Lines(lines) => Ok(lines),
            LogAnswer::Silent => Err(LogError::Silent.into()),
            LogAnswer::Crowded => Err(LogError::Crowded.into()),
        },
        Err(_elapsed) => Err(LogError::Silent.into()),
    }
}

/// Answers other processes that ask for logs of agents that attend here, until the process drains.
pub(super) fn answer_others(parts: &AgentParts) {
    let parts = parts.clone();
    let policy = Policy::essential(DrainPhase::StopIntake);
    parts.spawner.clone().spawn("server.agents.logs", policy, |drain| async move {
        let mut news = parts.fleet.news();
        news.mark_changed();
        let mut taken = HashSet::new();
        loop {
            tokio::select! {
                Ok(()) = news.changed() => {}
                () = drain.draining() => return Ok::<(), Infallible>(()),
            }
            let open = parts.fleet.log_requests();
            taken.retain(|id| open.iter().any(|request| request.id == *id));
            for request in open.into_iter().filter(|request| parts.hub.has(&request.agent)) {
                if taken.insert(request.id.clone()) {
                    answer(&parts, request);
                }
            }
        }
    });
}

fn answer(parts: &AgentParts, request: LogRequest) {
    let parts = parts.clone();
    let policy = Policy::expendable(DrainPhase::StopIntake);
    parts.spawner.clone().spawn("server.agents.log", policy, |_drain| async move {
        let clock = Arc::clone(&parts.clock);
        let answer = match parts.hub.log(&request.agent, request.lines, &*clock).await {
            Ok(lines) => LogAnswer::Lines(lines),
            Err(LogError::Silent) => LogAnswer::Silent,
            Err(LogError::Crowded) => LogAnswer::Crowded,
            // It left, and may attend elsewhere by now.
            Err(LogError::Absent) => return Ok::<(), Infallible>(()),
        };
        if let Err(error) = parts.fleet.answer_log_request(&request, answer).await {
            tracing::warn!(agent = %request.agent, error = %chain(&error), "nobody is told what an agent has logged");
        }
        Ok(())
    });
}
