//! `GET` and `POST /api/v1/search`.

mod answer;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::Response;
use weir_foundation::clock;
use weir_store::{SearchError, SearchRequest, SearchResponse};

use crate::admission::Place;
use crate::failure::Failure;
use crate::metrics::SearchLabels;
use crate::route::Route;
use crate::server::Shared;
use crate::{api, parcel};

const PATH: &str = "/api/v1/search";

pub(crate) fn routes() -> Vec<Route> {
    let summary = "Events of the indices of one prefix, newest first, and what they add up to";
    vec![
        Route::get(PATH, "search", summary, get)
            .query::<api::SearchParameters>()
            .json_or_lines::<api::SearchAnswer, api::Hit>(),
        Route::post(PATH, "searchByBody", summary, post)
            .body::<api::SearchParameters>()
            .json_or_lines::<api::SearchAnswer, api::Hit>(),
    ]
}

async fn get(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<api::SearchParameters>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(parameters) = parameters?;
    search(&shared, parameters).await
}

async fn post(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Json<api::SearchParameters>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(parameters) = parameters?;
    search(&shared, parameters).await
}

/// A caller that leaves drops this future, and with it the place in the queue and the search itself.
async fn search(shared: &Shared, parameters: api::SearchParameters) -> Result<Response, Failure> {
    let asked = request::request(parameters, &shared.settings, &*shared.parts.clock)?;
    let began = shared.parts.clock.monotonic();
    let outcome = in_turn(shared, asked.request).await;
    let took = shared.parts.clock.monotonic().saturating_duration_since(began);
    count(shared, &outcome, took);
    let (place, response) = outcome?;
    parcel::answer(shared, place, move |body| answer::write(asked.format, response, took, body)).await
}

/// The time-out runs from the arrival: the search gets what its wait has left of it.
async fn in_turn(
    shared: &Shared,
    mut request: SearchRequest,
) -> Result<(Place, SearchResponse), SearchError> {
    let clock = &*shared.parts.clock;
    let limit = request.limits.timeout;
    let began = clock.monotonic();
    let waited = clock::timeout(clock, limit, shared.searches.enter()).await;
    let place =
        waited.map_err(|_elapsed| SearchError::TimedOut { limit })?.map_err(|_crowded| SearchError::Busy)?;
    request.limits.timeout = limit.saturating_sub(clock.monotonic().saturating_duration_since(began));
    match shared.parts.store.search(request).await {
        Err(SearchError::TimedOut { .. }) => Err(SearchError::TimedOut { limit }),
        outcome => outcome.map(|response| (place, response)),
    }
}

fn count<T>(shared: &Shared, outcome: &Result<T, SearchError>, took: Duration) {
    let outcome = match outcome {
        Ok(_) => "answered",
        Err(SearchError::TimedOut { .. }) => "timed-out",
        Err(SearchError::TooLarge { .. }) => "too-large",
        Err(SearchError::Busy) => "busy",
        Err(SearchError::Cancelled | SearchError::Closing) => "closing",
        Err(SearchError::Failed(_)) => "failed",
    };
    shared.metrics.searches.get_or_create(&SearchLabels { outcome }).inc();
    shared.metrics.search_seconds.observe(took.as_secs_f64());
}
