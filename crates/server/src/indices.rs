//! `GET /api/v1/indices`.

use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use weir_model::Day;
use weir_store::IndexInfo;

use crate::api;
use crate::failure::Failure;
use crate::route::Route;
use crate::server::Shared;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/v1/indices",
            "listIndices",
            "What can be searched, and the files that hold it",
            list,
        )
        .query::<api::IndicesParameters>()
        .json::<api::Indices>(),
    ]
}

async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<api::IndicesParameters>, QueryRejection>,
) -> Result<Json<api::Indices>, Failure> {
    let Query(parameters) = parameters?;
    let wanted =
        |info: &IndexInfo| parameters.prefix.as_deref().is_none_or(|prefix| info.prefix.as_str() == prefix);
    let indices = shared.parts.store.indices().await?;
    Ok(Json(api::Indices { indices: indices.iter().filter(|info| wanted(info)).map(index).collect() }))
}

fn index(info: &IndexInfo) -> api::Index {
    api::Index {
        index: info.name(),
        prefix: info.prefix.to_string(),
        day: date(info.day),
        events: info.events,
        bytes: info.bytes,
        files: info.files.iter().map(|file| file.display().to_string()).collect(),
    }
}

fn date(day: Day) -> String {
    let (year, month, day) = day.civil();
    format!("{year:04}-{month:02}-{day:02}")
}
