//! The role: its parts put together, and its listeners.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use weir_fleet::Fleet;
use weir_foundation::clock::Clock;
use weir_foundation::health::Health;
use weir_foundation::http::{self, Http2Limits, Limits, Listener, Pace, Plaintext, Process, Security};
use weir_foundation::metrics;
use weir_foundation::supervise::{DrainPhase, Spawner};
use weir_journal::{Journal, ReadError};
use weir_limits::{Limiter, LimiterMetrics, SharedLimiter};
use weir_model::{ByteSize, Timestamp};
use weir_wire::compression::Encoding;

use crate::admission::Admission;
use crate::apps::Apps;
use crate::budget::Budget;
use crate::grpc::{self, Serving};
use crate::ingest::{self, AgentsFrom};
use crate::metrics::Metrics;
use crate::rest;
use crate::section::Settings;
use crate::streams::Streams;
use crate::window::BatchWindow;

/// What the producer needs of the process it lives in.
#[derive(Debug)]
pub struct Parts<'a> {
    pub journal: Arc<dyn Journal>,
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub health: &'a Health,
    pub metrics: &'a mut metrics::Builder,
    /// The limits that this producer shares with others, if it does.
    pub shared_limits: Option<Arc<dyn SharedLimiter>>,
    pub records: Records,
    /// The instance that apps and agents are known by; absent where there is none: then no agent can show who it is, and
    /// all apps are unknown.
    pub fleet: Option<Fleet>,
}

/// How the journal wants its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// The bytes of a batch as they came: the journal is embedded, and nobody else reads it.
    AsReceived,
    /// As barito-flow writes them, by [`Settings::record_format`], each with a time for its events, and none
    /// larger than this.
    Shaped { limit: ByteSize },
}

impl Records {
    /// The largest that the journal takes, if that is known.
    pub(crate) fn limit(self) -> Option<u64> {
        match self {
            Self::AsReceived => None,
            Self::Shaped { limit } => Some(limit.bytes()),
        }
    }
}

/// The doors, ready to be opened. Clones are the same producer.
///
/// An event that a door acknowledged is durable in the journal. What is refused is refused whole, with a
/// reason from [`CODES`](crate::CODES), and leaves nothing behind; the exceptions say so in the answer (a
/// body of lines that is stored in parts, a journal that failed while storing).
#[derive(Debug, Clone)]
pub struct Producer {
    admission: Arc<Admission>,
    serving: Serving,
}

/// The producer could not be put together.
#[derive(Debug, thiserror::Error)]
#[error("could not read the batches that the journal knows")]
pub struct StartError(#[from] ReadError);

/// How long batches may wait for the journal, none of them being stored, before the producer is not ready.
const STALL: Duration = Duration::from_secs(30);

/// Requests at a time in one connection of agents: one has four, behind a proxy several share it.
const AGENT_STREAMS: u32 = 32;

/// How long an agent may take nothing of its answers.
const AGENT_PATIENCE: Duration = Duration::from_secs(600);

/// The memory for conversions, as a multiple of the budget.
const CONVERSIONS: u64 = 4;

impl Producer {
    /// Fills the window of batch ids from the journal; opens nothing yet.
    pub async fn start(settings: Settings, parts: Parts<'_>) -> Result<Self, StartError> {
        let Parts { journal, clock, spawner, health, metrics, shared_limits, records, fleet } = parts;
        let window = BatchWindow::new(settings.batch_ids, Arc::clone(&clock));
        let since = Timestamp::from(clock.now()).saturating_sub(settings.batch_ids.window);
        window.remember(journal.known_batches(since, settings.batch_ids.limit).await?);

        let rate_window = settings.rates.window;
        let limits = match shared_limits {
            None => Limiter::local(rate_window, Arc::clone(&clock)),
            Some(shared) => {
                let metrics = LimiterMetrics::register(metrics);
                Limiter::shared(shared, rate_window, Arc::clone(&clock), health, metrics)
            }
        };
        let limit = settings.memory_budget.bytes();
        let budget = Budget::new(limit);
        let metrics = Metrics::register(metrics, &budget, limit, &window);
        let serving = Serving::start(&spawner).await;
        let progress = health.register("producer", STALL);
        progress.idle();
        let admission = Admission {
            budget,
            conversions: Budget::new(limit.saturating_mul(CONVERSIONS)),
            apps: Apps::new(fleet, settings.unknown_apps),
            streams: Streams::new(&settings, Arc::clone(&journal), Arc::clone(&metrics)),
            metrics,
            limits,
            window,
            journal,
            records,
            progress,
            drain: spawner.token(DrainPhase::StopIntake),
            clock,
            spawner,
            settings,
        };
        Ok(Self { admission: Arc::new(admission), serving })
    }

    /// Serves gRPC on `listener` until the process drains: `producer.Producer`, health and reflection, by
    /// tasks named `producer.grpc.accept` and `producer.grpc.connection`.
    pub fn serve_grpc(&self, listener: impl Into<Listener>) -> io::Result<()> {
        let limits = Limits { connections: self.admission.settings.max_connections, ..Limits::default() };
        self.serve_grpc_within(listener, limits)
    }

    /// As [`Producer::serve_grpc`], with other limits for connections.
    pub fn serve_grpc_within(&self, listener: impl Into<Listener>, limits: Limits) -> io::Result<()> {
        let process = Process { spawner: &self.admission.spawner, clock: &self.admission.clock };
        let router = grpc::router(&self.admission, &self.serving);
        http::serve("producer.grpc", listener, router, limits, DrainPhase::StopIntake, process)
    }

    /// Serves agents on `listener` until the process drains, by tasks named `producer.ingest.*`; and `beside`, what else
    /// they ask for there.
    ///
    /// Where the listener has TLS, agents show certificate and token of the fleet; without, everybody is taken who reaches
    /// it.
    pub fn serve_ingest(&self, listener: impl Into<Listener>, beside: Option<Router>) -> io::Result<()> {
        let listener = listener.into();
        let limits = Limits {
            connections: self.admission.settings.max_connections,
            // A stream lasts as long as its agent; pings find out who is gone.
            pace: Pace { window: AGENT_PATIENCE, bytes: 0 },
            http2: Http2Limits { streams: AGENT_STREAMS, ..Http2Limits::default() },
            ..Limits::default()
        };
        let local = match listener.security {
            Security::Plain | Security::Tls { plaintext: Plaintext::FromThisMachine, .. } => true,
            Security::Tls { plaintext: Plaintext::Refused, .. } => false,
        };
        let from = AgentsFrom { fleet: self.admission.apps.fleet.clone(), local };
        let process = Process { spawner: &self.admission.spawner, clock: &self.admission.clock };
        let router = ingest::router(&self.admission, from).merge(beside.unwrap_or_default());
        http::serve("producer.ingest", listener, router, limits, DrainPhase::StopIntake, process)
    }

    /// The message that the gRPC door finds in a body that comes in these pieces, decompressed; none if it is
    /// refused. For the fuzz target.
    #[doc(hidden)]
    pub async fn grpc_message(&self, pieces: &[Bytes], encoding: Encoding) -> Option<Bytes> {
        grpc::message_in(&self.admission, pieces, encoding).await
    }

    /// The HTTP doors, `/produce`, `/produce_batch` and `/api/v1/apps/<app>/events`, without a fallback: they
    /// share their listener with the rest of weir's API.
    ///
    /// Serve it by [`weir_foundation::http`], which bounds how slowly a body may come.
    pub fn router(&self) -> Router {
        rest::router(&self.admission)
    }
}
