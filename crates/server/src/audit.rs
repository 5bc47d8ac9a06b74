//! `GET /api/v1/audit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};

use crate::api;
use crate::door::AuditDepth;
use crate::failure::Failure;
use crate::route::Route;
use crate::server::Shared;

pub(crate) fn routes() -> Vec<Route> {
    let summary = "Whether everything that was accepted is accounted for";
    vec![
        Route::get("/api/v1/audit", "audit", summary, audit)
            .query::<api::AuditParameters>()
            .json::<api::Audit>(),
    ]
}

async fn audit(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<api::AuditParameters>, QueryRejection>,
) -> Result<Json<api::Audit>, Failure> {
    let Query(parameters) = parameters?;
    if parameters.verify != Some(true) {
        return Ok(Json(shared.parts.auditor.audit(AuditDepth::Counts).await?));
    }
    // It reads the whole journal: no more of that at once than of searches.
    let _place = shared.searches.enter().await?;
    Ok(Json(shared.parts.auditor.audit(AuditDepth::Positions).await?))
}
