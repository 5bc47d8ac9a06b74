use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use http::StatusCode;
use weir_auth::AgentName;
use weir_fleet::{AgentState, AgentView, ConfigurationHash, Fleet, InputStatus, Report, RevokeAgentError};

use super::standing::Picture;
use super::{InPath, in_path, map, time};
use crate::agents::LogError;
use crate::agents::logs::{self, ReadLogError};
use crate::failure::Failure;
use crate::operator::Asking;
use crate::route::Route;
use crate::server::{Parts, Shared};
use crate::{api, codes, question};

const LINES: u32 = 100;
const MOST_LINES: u32 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/agents", "listAgents", "All agents, and how each of them is", list)
            .json::<api::Agents>(),
        Route::get("/api/v1/agents/{agent}", "getAgent", "One agent with what it reads", show)
            .json::<api::Agent>(),
        Route::get(
            "/api/v1/agents/{agent}/log",
            "getAgentLog",
            "The last lines that a connected agent has logged",
            log,
        )
        .query::<api::AgentLogParameters>()
        .json::<api::AgentLog>(),
        Route::post("/api/v1/agents/{agent}/revoke", "revokeAgent", "Refuse an agent from now on", revoke)
            .body::<api::RevokeAgent>()
            .json::<api::Agent>(),
        Route::delete(
            "/api/v1/agents/{agent}",
            "forgetAgent",
            "Refuse an agent from now on, and give its name to whoever comes next",
            forget,
        ),
    ]
}

async fn list(asking: Asking, State(shared): State<Arc<Shared>>) -> Json<api::Agents> {
    let (revisions, now) = (Revisions::of(asking.fleet()), shared.parts.clock.now());
    let entry = |view| entry(&Picture::of(asking.fleet(), view), &revisions, now);
    Json(api::Agents { agents: asking.fleet().agents().into_iter().map(entry).collect() })
}

async fn show(
    asking: Asking,
    State(shared): State<Arc<Shared>>,
    name: InPath,
) -> Result<Json<api::Agent>, Failure> {
    let name = in_path("an agent", name, AgentName::new)?;
    Ok(Json(agent(&asking, find(&asking, &name)?, shared.parts.clock.now())))
}

async fn log(
    asking: Asking,
    State(shared): State<Arc<Shared>>,
    name: InPath,
    parameters: Result<Query<api::AgentLogParameters>, QueryRejection>,
) -> Result<Json<api::AgentLog>, Failure> {
    let name = in_path("an agent", name, AgentName::new)?;
    let Query(parameters) = parameters?;
    let lines = question::number("lines", parameters.lines, LINES, 1, MOST_LINES)?;
    find(&asking, &name)?;
    let lines = u32::try_from(lines).unwrap_or(MOST_LINES);
    let Parts { fleet, hub, clock, .. } = &shared.parts;
    let lines = logs::read(hub, fleet, &name, lines, &**clock).await?;
    Ok(Json(api::AgentLog { lines }))
}

async fn revoke(
    asking: Asking,
    State(shared): State<Arc<Shared>>,
    name: InPath,
    body: Result<Json<api::RevokeAgent>, JsonRejection>,
) -> Result<Json<api::Agent>, Failure> {
    let name = in_path("an agent", name, AgentName::new)?;
    let Json(api::RevokeAgent { note }) = body?;
    let revoked = asking.fleet().revoke_agent(&name, &note, &asking.by).await;
    revoked.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(agent(&asking, find(&asking, &name)?, shared.parts.clock.now())))
}

async fn forget(asking: Asking, name: InPath) -> Result<StatusCode, Failure> {
    let name = in_path("an agent", name, AgentName::new)?;
    asking.fleet().forget_agent(&name, &asking.by).await.map_err(|error| Failure::of_fleet(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<ReadLogError> for Failure {
    fn from(error: ReadLogError) -> Self {
        let error = match error {
            ReadLogError::Log(error) => error,
            ReadLogError::Store(error) => return Self::of_fleet(&error),
        };
        let message = error.to_string();
        match error {
            LogError::Absent => Self::new(StatusCode::CONFLICT, codes::AGENT_AWAY, message),
            LogError::Crowded => Self::busy(codes::AGENT_BUSY, message),
            LogError::Silent => Self::new(StatusCode::GATEWAY_TIMEOUT, codes::AGENT_SILENT, message),
        }
    }
}

fn find(asking: &Asking, name: &AgentName) -> Result<AgentView, Failure> {
    let unknown = || Failure::of_fleet(&RevokeAgentError::Unknown(name.clone()));
    asking.fleet().agent(name).ok_or_else(unknown)
}

/// By which revisions texts are known, the newest where several have the same.
struct Revisions(HashMap<ConfigurationHash, u64>);

impl Revisions {
    fn of(fleet: &Fleet) -> Self {
        let mut revisions = HashMap::new();
        for present in fleet.configurations() {
            for view in fleet.configuration_history(&present.selector) {
                let newest = revisions.entry(view.hash).or_insert(view.revision);
                *newest = view.revision.max(*newest);
            }
        }
        Self(revisions)
    }

    fn running(&self, picture: &Picture) -> Option<u64> {
        let running = picture.said()?.running.as_ref()?;
        let wanted = picture.wanted.as_ref().filter(|wanted| wanted.hash == *running);
        wanted.map(|wanted| wanted.revision).or_else(|| self.0.get(running).copied())
    }
}

fn entry(picture: &Picture, revisions: &Revisions, now: SystemTime) -> api::AgentEntry {
    let (state, why) = picture.standing(now);
    let (view, said) = (&picture.view, picture.said());
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    api::AgentEntry {
        agent: view.name.to_string(),
        state,
        why,
        apps: view.apps.iter().map(ToString::to_string).collect(),
        labels: map(view.labels.iter()),
        version: said.and_then(|said| text(&said.version)),
        host: said.and_then(|said| text(&said.host)),
        connected: picture.attendance().map(|attendance| time(attendance.since)),
        seen: view.report.as_ref().map(|report| time(report.seen)),
        lag_bytes: said.and_then(Report::lag_bytes),
        lag_millis: picture.lag().map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
        revision: revisions.running(picture),
        certificate_expires: view.certificate.as_ref().map(|certificate| time(certificate.not_after)),
    }
}

fn agent(asking: &Asking, view: AgentView, now: SystemTime) -> api::Agent {
    let picture = Picture::of(asking.fleet(), view);
    let entry = entry(&picture, &Revisions::of(asking.fleet()), now);
    let Picture { view, wanted, .. } = &picture;
    let said = picture.said();
    api::Agent {
        entry,
        os: said.map(|said| said.os.clone()).filter(|os| !os.is_empty()),
        joined: time(view.joined),
        access_key: view.access_key.to_string(),
        seal: view.seal,
        generation: view.generation,
        certificate: view.certificate.as_ref().map(|certificate| api::AgentCertificate {
            serial: certificate.serial.clone(),
            issued: time(certificate.issued),
            expires: time(certificate.not_after),
        }),
        clock_skew_millis: picture.status().map(|status| status.clock_skew_millis),
        configuration: api::AgentConfiguration {
            wanted: wanted.as_ref().map(|wanted| api::WantedConfiguration {
                revision: wanted.revision,
                labels: map(wanted.selector.iter()),
                hash: wanted.hash.to_string(),
            }),
            offered: said.and_then(|said| said.offered.as_ref()).map(ToString::to_string),
            running: said.and_then(|said| said.running.as_ref()).map(ToString::to_string),
            failed: said.and_then(|said| said.failed.as_ref()).map(|failed| api::FailedConfiguration {
                hash: failed.hash.to_string(),
                reason: failed.reason.clone(),
            }),
        },
        inputs: picture.inputs().iter().map(input).collect(),
        last_error: said.and_then(Report::last_error).map(str::to_owned),
        revoked: match &view.state {
            AgentState::Good => None,
            AgentState::Revoked(revoked) => Some(time(revoked.at)),
        },
    }
}

fn input(input: &InputStatus) -> api::AgentInput {
    api::AgentInput {
        kind: input.kind.clone(),
        input: input.name.clone(),
        app: input.app.clone(),
        files: input.files,
        lag_bytes: input.lag_bytes,
        lag_millis: input.lag_millis,
        stored_bytes: input.stored_bytes,
        lines: input.lines,
        errors: input.errors,
        last_error: Some(input.last_error.clone()).filter(|error| !error.is_empty()),
    }
}
