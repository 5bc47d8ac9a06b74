//! Dead letters: list, look at, give to the door again, purge.

mod edit;
mod event;
mod replay;
mod selection;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use weir_model::EventId;
use weir_store::{DeadLetterEntry, DeadLetterKey};

use crate::failure::Failure;
use crate::parcel::Pieces;
use crate::route::Route;
use crate::server::Shared;
use crate::{api, hit, parcel, question};

const DEFAULT_LIMIT: u32 = 100;
const LIMIT: u32 = 1_000;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/dead", "listDeadLetters", "Events that no store took, oldest first", list)
            .query::<api::DeadListParameters>()
            .json::<api::DeadLetters>(),
        Route::get("/api/v1/dead/{id}", "getDeadLetter", "One dead letter", show).json::<api::DeadLetter>(),
        Route::post(
            "/api/v1/dead/replay",
            "replayDeadLetters",
            "Give dead letters to the door again, changed or as they are; what is accepted is removed",
            replay::replay,
        )
        .body::<api::Replay>()
        .json::<api::ReplayAnswer>(),
        Route::post(
            "/api/v1/dead/purge",
            "purgeDeadLetters",
            "Remove dead letters for good; they stay counted",
            replay::purge,
        )
        .body::<api::DeadSelection>()
        .json::<api::PurgeAnswer>(),
    ]
}

async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<api::DeadListParameters>, QueryRejection>,
) -> Result<Json<api::DeadLetters>, Failure> {
    let Query(parameters) = parameters?;
    let limit = question::number("limit", parameters.limit, DEFAULT_LIMIT, 1, LIMIT)?;
    let filter = selection::filter(&shared.parts.names, parameters.stream.as_deref(), parameters.code)?;
    let after = parameters.after.map(DeadLetterKey);
    let found = shared.parts.dead_letters.list(&filter, after, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|(key, _)| key.0);
    Ok(Json(api::DeadLetters { letters: found.into_iter().map(|(_, dead)| entry(dead)).collect(), next }))
}

async fn show(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(id) = id?;
    let id = event_id(&id)?;
    // It may be 20 MB: no more of that at once than of searches.
    let place = shared.searches.enter().await?;
    let Some(dead) = shared.parts.dead_letters.get(&id).await? else {
        return Err(Failure::not_found(format!("there is no dead letter `{id}`")));
    };
    let write = move |body: &mut Pieces| {
        let original = BASE64_STANDARD.encode(&dead.original);
        let content = event::read(&dead).and_then(|said| said.content).map(hit::json);
        serde_json::to_writer(body, &api::DeadLetter { entry: entry(dead.entry()), content, original })?;
        Ok(parcel::content("application/json"))
    };
    parcel::answer(&shared, place, write).await
}

fn event_id(text: &str) -> Result<EventId, Failure> {
    text.parse().map_err(|error: weir_model::IllegalEventId| Failure::bad_parameter(error.to_string()))
}

fn entry(dead: DeadLetterEntry) -> api::DeadLetterEntry {
    api::DeadLetterEntry {
        stream: dead.position.partition.stream.to_string(),
        id: EventId(dead.position).to_string(),
        events: dead.events,
        received: dead.received.into(),
        died: dead.died.into(),
        prefix: dead.prefix.as_ref().map(ToString::to_string),
        format: dead.format.to_string(),
        code: dead.reason.code,
        message: dead.reason.message,
        bytes: dead.bytes,
    }
}
