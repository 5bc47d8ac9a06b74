use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};

use super::Views;
use crate::health::ComponentState;
use crate::metrics;

pub(super) fn router(views: Views) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(scrape))
        .with_state(views)
}

async fn readyz(State(views): State<Views>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let components = views.health.readiness();
    let unready = components.iter().filter(|component| !component.condition.is_ready());
    let status = match unready.clone().next() {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::OK,
    };
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let text = match status {
        _ if verbose => lines(components.iter()),
        StatusCode::OK => "ready\n".to_owned(),
        _ => lines(unready),
    };
    (status, text)
}

fn lines<'a>(components: impl Iterator<Item = &'a ComponentState>) -> String {
    components.map(|component| format!("{component}\n")).collect()
}

async fn status(State(views): State<Views>) -> impl IntoResponse {
    Json(views.status.page(&views.health))
}

async fn scrape(State(views): State<Views>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], views.metrics.exposition())
}
