//! Who may ask: operators, by the token that they show.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, header};
use weir_fleet::{Fleet, OperatorName};
use weir_foundation::clock::Clock;
use weir_foundation::settings::Secret;

use crate::failure::Failure;
use crate::server::Shared;

/// How soon it is seen that a token has ended by its time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The content type of what has no end.
const EVENTS: &str = "text/event-stream";

/// An operator who asks. Comes first among the arguments of a handler, so that whoever shows no good token learns nothing
/// else.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) by: OperatorName,
    fleet: Fleet,
}

impl Asking {
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }
}

impl FromRequestParts<Arc<Shared>> for Asking {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let fleet = &shared.parts.fleet;
        let (by, _) = known(fleet, &parts.headers)?;
        Ok(Self { by, fleet: fleet.clone() })
    }
}

/// Lets operators through and nobody else. What is answered without an end ends with the token.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let fleet = &shared.parts.fleet;
    let shown = match known(fleet, request.headers()) {
        Ok((_, shown)) => shown,
        Err(failure) => return failure.into_response(),
    };
    let response = next.run(request).await;
    if response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != EVENTS) {
        return response;
    }
    let over = sent_away(fleet.clone(), shown, Arc::clone(&shared.parts.clock));
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(over))))
}

/// Waits until the token is not good any more.
async fn sent_away(fleet: Fleet, shown: Secret, clock: Arc<dyn Clock>) {
    let mut changes = fleet.changes();
    while fleet.check_operator(&shown).is_ok() {
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = clock.sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Who asks, by what he shows.
fn known(fleet: &Fleet, headers: &HeaderMap) -> Result<(OperatorName, Secret), Failure> {
    let shown = bearer(headers).ok_or_else(Failure::unauthorized)?;
    let by = fleet.check_operator(&shown).map_err(|_refused| Failure::unauthorized())?;
    Ok((by, shown))
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_what_follows_the_scheme() {
        let check = |header: &[u8], token: Option<&str>| {
            let value = HeaderValue::from_bytes(header).expect("is legal");
            let found = bearer(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]));
            assert_eq!(found.as_ref().map(Secret::reveal), token);
        };
        check(b"Bearer weiro1_x", Some("weiro1_x"));
        check(b"bearer  weiro1_x ", Some("weiro1_x"));
        check(b"Bearer ", Some(""));
        check(b"Bearer", None);
        check(b"Basic weiro1_x", None);
        check(b"weiro1_x", None);
        check(b"Bearer \xff", None);
        assert!(bearer(&HeaderMap::new()).is_none());
    }
}
