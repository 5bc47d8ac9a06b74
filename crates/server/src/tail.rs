//! `GET /api/v1/tail/{stream}`: what comes into a stream, as server-sent events, straight from the journal.
//!
//! A tail reads only as fast as its caller does, so it holds one round of records and no more. A caller that
//! falls behind the end by more than the operator allows is taken to the end, and told how much it missed.
//!
//! Events of the protocol: unnamed ones are hits ([`api::Hit`], the id is the event's); `gap` says what was not
//! shown ([`api::TailGap`]); `waiting` says once that the stream does not exist yet.

mod follow;
mod start;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;

use self::follow::{Follow, Shown};
use self::start::Start;
use crate::api;
use crate::codes;
use crate::failure::Failure;
use crate::question;
use crate::route::Route;
use crate::server::Shared;

pub(crate) fn routes() -> Vec<Route> {
    let summary = "What comes into a stream, live; also `gap` and `waiting` events";
    vec![
        Route::get("/api/v1/tail/{stream}", "tail", summary, tail)
            .query::<api::TailParameters>()
            .events::<api::Hit>(),
    ]
}

async fn tail(
    State(shared): State<Arc<Shared>>,
    written: Result<Path<String>, PathRejection>,
    parameters: Result<Query<api::TailParameters>, QueryRejection>,
) -> Result<impl IntoResponse, Failure> {
    let (Path(written), Query(parameters)) = (written?, parameters?);
    let stream =
        shared.parts.names.full(&written).map_err(|error| Failure::bad_parameter(error.to_string()))?;
    let clock = &*shared.parts.clock;
    let query = question::query(parameters.q.as_deref())?;
    let start = match parameters.since.as_deref() {
        None => Start::End,
        Some(since) => Start::Received(question::time(since, parameters.zone.as_deref(), clock)?),
    };
    let place = shared
        .tails
        .enter()
        .await
        .map_err(|_crowded| Failure::busy(codes::TOO_MANY_TAILS, "too many tails are open"))?;
    let follow = Follow::new(Arc::clone(&shared), place, stream, query, start, parameters.limit).await?;
    let events = stream::unfold(follow, |mut follow| async move {
        let shown = follow.next().await?;
        Some((Ok::<_, Infallible>(event(&shown)), follow))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn event(shown: &Shown) -> Event {
    let built = match shown {
        Shown::Hit(hit) => Event::default().id(hit.id.clone()).json_data(hit),
        Shown::Gap(gap) => Event::default().event("gap").json_data(gap),
        Shown::Waiting { stream } => {
            Event::default().event("waiting").json_data(serde_json::json!({ "stream": stream }))
        }
    };
    built.expect("these types have string keys and no fallible parts")
}
