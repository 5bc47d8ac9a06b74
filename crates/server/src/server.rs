//! The server as one thing: what it is made of, and the router that `weir` serves.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri, header};
use prometheus_client::registry::Registry;
use weir_fleet::Fleet;
use weir_foundation::clock::Clock;
use weir_foundation::settings::Problems;
use weir_foundation::supervise::{DrainToken, Spawner};
use weir_journal::Journal;
use weir_redaction::Redactor;
use weir_store::{DeadLetterStore, IndexStore};

use crate::admission::Admission;
use crate::agents::Hub;
use crate::door::{Auditor, Door};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::names::StreamNames;
use crate::route::Route;
use crate::section::ServerSettings;
use crate::{audit, codes, dead, fleet, groups, indices, journal, openapi, operator, search, streams, tail};

/// Whose the files of the journal are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalFiles {
    /// They can be checked here.
    OfThisProcess,
    /// Such as those of brokers, who check them.
    OfOthers,
}

/// Who reaches the address at which the router is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    ThisMachine,
    /// Then operators alone may ask anything.
    OtherMachines,
}

/// What the server stands on.
#[derive(Debug, Clone)]
pub struct Parts {
    pub journal: Arc<dyn Journal>,
    pub journal_files: JournalFiles,
    pub store: Arc<dyn IndexStore>,
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Applied to what is read from the journal; what the stores have was redacted before.
    pub redactor: Redactor,
    /// Absent if none is known; then nothing is replayed.
    pub door: Option<Arc<dyn Door>>,
    pub auditor: Arc<dyn Auditor>,
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub names: StreamNames,
    /// The control plane of the instance that this process belongs to.
    pub fleet: Fleet,
    /// The agents that attend at this process; none where agents come to others.
    pub hub: Hub,
    /// Whether agents would take a configuration.
    pub check: fn(&str) -> Result<(), Problems>,
    pub reach: Reach,
}

/// What every handler sees.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) settings: ServerSettings,
    pub(crate) searches: Admission,
    pub(crate) tails: Admission,
    /// One at a time: what it has in hand is a letter, which may be 20 MB. Who waits holds nothing.
    pub(crate) replays: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) drain: DrainToken,
}

/// The server, built and not yet serving.
#[derive(Debug)]
pub struct Server {
    parts: Parts,
    settings: ServerSettings,
    metrics: Metrics,
}

impl Server {
    /// `registry` is the one whose names get the prefix `weir_`.
    #[must_use]
    pub fn new(parts: Parts, settings: ServerSettings, registry: &mut Registry) -> Self {
        fleet::metrics::register(registry, parts.fleet.clone(), Arc::clone(&parts.clock));
        Self { parts, settings, metrics: Metrics::register(registry) }
    }

    /// The routes of `/api/v1` that look into weir. Sending events is the producer's; `weir` merges the two.
    ///
    /// Every answer that is no success has a JSON body with a stable code; see [`crate::CODES`]. Tails end
    /// when `drain` fires. What is of the fleet is for operators alone; see [`Reach`] for the rest.
    pub fn router(self, drain: DrainToken) -> Router {
        let Self { parts, settings, metrics } = self;
        let shared = Arc::new(Shared {
            searches: Admission::new(settings.searches_running, settings.searches_waiting),
            tails: Admission::new(settings.tails, 0),
            replays: Admission::new(1, usize::MAX),
            parts,
            settings,
            metrics,
            drain,
        });
        let mut router = Router::new();
        for route in routes() {
            router = router.route(route.path, route.handler);
        }
        let router = router.route("/api/v1/openapi.json", axum::routing::get(openapi_document));
        let router = match shared.parts.reach {
            Reach::ThisMachine => router,
            Reach::OtherMachines => {
                router.route_layer(middleware::from_fn_with_state(Arc::clone(&shared), operator::guard))
            }
        };
        router.method_not_allowed_fallback(method_not_allowed).with_state(shared)
    }
}

/// What is answered where no route is: JSON under `/api/`, the words of other gateways elsewhere.
pub async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/api/v1/apps/") && uri.path().ends_with("/events") {
        return Failure::not_here("this is a server: events are sent to a producer").into_response();
    }
    if uri.path().starts_with("/api/") {
        return Failure::not_found(format!("there is no `{}`", uri.path())).into_response();
    }
    (StatusCode::NOT_FOUND, "Not Found").into_response()
}

pub(crate) fn routes() -> Vec<Route> {
    [
        search::routes(),
        tail::routes(),
        streams::routes(),
        indices::routes(),
        audit::routes(),
        dead::routes(),
        groups::routes(),
        journal::routes(),
        fleet::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn openapi_document(State(_): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::DOCUMENT).into_response()
}

async fn method_not_allowed() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        codes::METHOD_NOT_ALLOWED,
        "the path exists, but not with this method",
    )
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
