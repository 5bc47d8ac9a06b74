//! The HTTP doors: barito-flow's REST gateway and weir's own.
//!
//! * `POST /produce`, `POST /produce_batch`: barito-flow's, as protobuf requests in JSON; unless the operator
//!   closed this gateway.
//! * `POST /api/v1/apps/<app>/events`: lines of text, lines of JSON, a JSON array; see [`events`].
//!
//! Bodies may be compressed with gzip or zstd.

mod answer;
mod events;
mod gateway;
mod lines;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;

use self::events::EventsDoor;
use self::gateway::RestDoor;
use crate::admission::Admission;
use crate::section::RestGateway;

pub(crate) fn router(admission: &Arc<Admission>) -> Router {
    let gateway = match admission.settings.rest_gateway {
        RestGateway::Open => gateway(admission),
        RestGateway::Closed => Router::new(),
    };
    let events = Router::new()
        .route("/api/v1/apps/{app}/events", post(events::post).fallback(answer::method_not_allowed))
        .with_state(EventsDoor::new(admission));
    // The doors bound bodies themselves, within the memory budget.
    gateway.merge(events).layer(DefaultBodyLimit::disable())
}

fn gateway(admission: &Arc<Admission>) -> Router {
    Router::new()
        .route("/produce", post(gateway::produce).fallback(method_not_allowed))
        .route("/produce_batch", post(gateway::produce_batch).fallback(method_not_allowed))
        .with_state(RestDoor::new(admission))
}

async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").into_response()
}
