//! Searching: a snapshot of head and segments, looked at page by page on a thread for blocking work.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::store::Shared;
use crate::error::SearchError;
use crate::search::{SearchRequest, SearchResponse};

mod bind;
mod eval;
mod guard;
mod hits;
mod rebuild;
mod run;
mod span;
mod tally;
mod unit;

use guard::Guard;

/// Answers a search. Dropping the future makes the thread stop at the next page.
pub(super) async fn search(
    shared: &Arc<Shared>,
    request: SearchRequest,
) -> Result<SearchResponse, SearchError> {
    let (guard, _leaving) = Guard::new(Arc::clone(&shared.parts.clock), request.limits);
    let shared = Arc::clone(shared);
    let spawner = shared.parts.spawner.clone();
    let work = move || {
        guard.check()?;
        let number = shared.searches.fetch_add(1, Ordering::Relaxed);
        let snapshot = shared.state().snapshot(&request.prefix);
        let response = run::run(&snapshot, &request, &guard, number);
        shared.forget_old();
        response
    };
    let answer = spawner.blocking("index.search", work).await;
    answer.map_err(|error| SearchError::Failed(Box::new(error)))?
}
