//! Who may ask: operators, by the token that they show.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use weir_fleet::{Fleet, OperatorName};
use weir_foundation::settings::Secret;

use crate::failure::Failure;
use crate::server::{Control, FleetParts, Shared};

/// An operator who asks. Comes first among the arguments of a handler, so that whoever shows no good token learns nothing
/// else.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) by: OperatorName,
    fleet: Fleet,
}

/// An operator who asks about agents, or what they are let in with, where they are connected.
#[derive(Debug)]
pub(crate) struct AskingFleet {
    pub(crate) by: OperatorName,
    pub(crate) parts: FleetParts,
}

impl Asking {
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }
}

impl AskingFleet {
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.parts.fleet
    }
}

impl FromRequestParts<Arc<Shared>> for Asking {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let fleet = shared.parts.control.fleet();
        Ok(Self { by: known(fleet, &parts.headers)?, fleet: fleet.clone() })
    }
}

impl FromRequestParts<Arc<Shared>> for AskingFleet {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let by = known(shared.parts.control.fleet(), &parts.headers)?;
        match &shared.parts.control {
            Control::Fleet(parts) => Ok(Self { by, parts: parts.clone() }),
            Control::Operators(_) => {
                Err(Failure::not_here("this process knows no agents; ask the one where they are connected"))
            }
        }
    }
}

/// Lets operators through and nobody else.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match known(shared.parts.control.fleet(), request.headers()) {
        Ok(_operator) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn known(fleet: &Fleet, headers: &HeaderMap) -> Result<OperatorName, Failure> {
    let shown = bearer(headers).ok_or_else(Failure::unauthorized)?;
    fleet.check_operator(&shown).map_err(|_refused| Failure::unauthorized())
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
