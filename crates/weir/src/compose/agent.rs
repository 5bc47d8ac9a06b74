//! The agent in a process of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use weir_agent::{Agent, InputReport, Link, OwnLog, Standing};
use weir_foundation::listen::bind;
use weir_foundation::metrics::Builder;
use weir_foundation::ops::{Ops, StatusBoard};
use weir_foundation::supervise::{DrainPhase, Policy};
use weir_foundation::telemetry::LastLines;
use weir_foundation::{descriptors, resident};

use super::{Process, announce, directory, identity, show};
use crate::settings::AgentSettings;

pub(crate) async fn agent(settings: &AgentSettings, process: &Process) -> Result<Ops> {
    let listening = bind(settings.ops, settings.exposure).context("open the address for operators")?;
    let ops = listening.local_addr().context("ask for a bound address")?;
    directory::prepare_without_space(&settings.data_dir)?;
    let mut metrics = Builder::new();
    let parts = weir_agent::Parts {
        clock: Arc::clone(&process.clock),
        spawner: process.spawner.clone(),
        health: &process.health,
        metrics: &mut metrics,
        folder: settings.data_dir.clone(),
        log: Arc::new(Log(process.log.clone())),
        max_open_files: descriptors::most_files(),
    };
    let agent = Agent::start(settings.agent.clone(), parts).context("start the agent")?;
    tracing::info!(%ops, data_dir = %settings.data_dir.display(), "collecting");
    let durability = "a line is sent until the server has it synced";
    let status = StatusBoard::new(identity("agent", durability), Arc::clone(&process.clock));
    status.section("agent", move || describe(&agent));
    let ops = show(listening, status, process, metrics)?;
    slim(process);
    announce(process);
    Ok(ops)
}

/// How long after the start, and then again each time, as there are renewals and changes.
const SLIM_AFTER: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(3600)];

/// Of one program for everything a node's agent needs little, and least when it has begun.
fn slim(process: &Process) {
    let (clock, [mut after, hour]) = (Arc::clone(&process.clock), SLIM_AFTER);
    process.spawner.spawn("agent.slim", Policy::expendable(DrainPhase::StopIntake), |drain| async move {
        loop {
            tokio::select! {
                () = clock.sleep(after) => {}
                () = drain.draining() => return Ok::<(), Infallible>(()),
            }
            match resident::give_back_code() {
                Ok(bytes) => tracing::debug!(bytes, "gave back code that was used to start"),
                Err(error) => tracing::debug!(%error, "could not give back code that was used to start"),
            }
            after = hour;
        }
    });
}

fn describe(agent: &Agent) -> serde_json::Value {
    let (name, link) = match agent.standing() {
        Standing::Enrolling(None) => (None, "enrolling".to_owned()),
        Standing::Enrolling(Some(why)) => (None, format!("not enrolled: {why}")),
        Standing::Enrolled { name, link } => (Some(name), words(&link)),
    };
    let condition = agent.condition();
    let failed = condition.outcome.as_ref().and_then(|outcome| {
        let error = outcome.error.as_ref()?;
        Some(json!({ "revision": outcome.revision, "error": error }))
    });
    let inputs: Vec<_> = agent.inputs().report().borrow().inputs.iter().map(input).collect();
    json!({
        "name": name,
        "link": link,
        "configuration": condition.running,
        "failed": failed,
        "error": condition.error,
        "inputs": inputs,
    })
}

/// How the link is while events are taken.
pub(crate) const CONNECTED: &str = "connected";

fn words(link: &Link) -> String {
    match link {
        Link::New => "connecting".to_owned(),
        Link::Connected { .. } => CONNECTED.to_owned(),
        Link::Throttled(why) => format!("{CONNECTED}, and throttled: {why}"),
        Link::Disconnected(why) => format!("not connected: {why}"),
        Link::Refused(why) => format!("refused: {why}"),
    }
}

fn input(report: &InputReport) -> serde_json::Value {
    json!({
        "kind": report.kind.as_str(),
        "app": report.app,
        "paths": report.paths,
        "files": report.files,
        "lag_bytes": report.lag_bytes,
        "lag_seconds": report.lag_age.map(|age| age.as_secs()),
        "lines": report.lines,
        "stored_bytes": report.stored_bytes,
        "errors": report.errors,
        "last_error": report.last_error,
    })
}

/// The agent's log is that of its process.
#[derive(Debug)]
struct Log(LastLines);

impl OwnLog for Log {
    fn last(&self, lines: usize) -> Vec<String> {
        self.0.last(lines)
    }
}
