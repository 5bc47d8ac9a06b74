//! `GET /api/v1/groups` and `DELETE /api/v1/groups/{group}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use weir_journal::{GroupInfo, StreamInfo};

use crate::api;
use crate::failure::Failure;
use crate::route::Route;
use crate::server::Shared;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/groups", "listGroups", "Who reads the journal, and how far they are", list)
            .json::<api::Groups>(),
        Route::delete(
            "/api/v1/groups/{group}",
            "deleteGroup",
            "Forget a group that is gone, so that it holds back nothing",
            delete,
        ),
    ]
}

async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<api::Groups>, Failure> {
    let groups = shared.parts.journal.groups().await?;
    let streams = shared.parts.journal.streams().await?;
    Ok(Json(api::Groups { groups: groups.iter().map(|info| group(info, &streams)).collect() }))
}

async fn delete(
    State(shared): State<Arc<Shared>>,
    group: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Failure> {
    let Path(group) = group?;
    let groups = shared.parts.journal.groups().await?;
    if groups.iter().all(|info| info.name != group) {
        return Err(Failure::not_found(format!("there is no group `{group}`")));
    }
    shared.parts.journal.delete_group(&group).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn group(info: &GroupInfo, streams: &[StreamInfo]) -> api::Group {
    let mut positions = Vec::new();
    for stream in streams {
        for bounds in &stream.partitions {
            let known = info.positions.iter().find(|position| position.partition == bounds.partition);
            let Some(position) = known else { continue };
            positions.push(api::GroupPosition {
                stream: stream.name.to_string(),
                partition: bounds.partition.partition.0,
                committed: position.committed.0,
                end: bounds.end.0,
            });
        }
    }
    let waiting = |position: &api::GroupPosition| position.end.saturating_sub(position.committed);
    api::Group {
        group: info.name.clone(),
        live: info.live,
        waiting_records: positions.iter().map(waiting).sum(),
        positions,
    }
}
