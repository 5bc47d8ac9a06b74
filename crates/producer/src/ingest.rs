//! The door of agents: `weir.ingest.v1.Ingest`, one stream for each (`proto/weir/ingest/v1/ingest.proto`).
//!
//! A session takes batches as they come and answers each once it is durable. Batches of one source are stored one after
//! the other, each where the one before it ended, so that the journal's mark of a source always says how far it is
//! stored without a gap; batches of different sources are stored side by side. Where one can not be stored, those of its
//! source that are behind it are turned away as well, and the agent goes on from there.
//!
//! What an agent may have sent that is not answered is bounded by the window that it is told, and what it sends beyond
//! that waits in its own buffers: nothing more is read of it.

mod batch;
mod presence;
mod session;
mod sources;
mod visitor;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use weir_wire::proto::ingest::ingest_server::{Ingest, IngestServer};
use weir_wire::proto::ingest::{AgentMessage, ServerMessage};

use weir_auth::AgentName;
use weir_fleet::Fleet;
use weir_foundation::crowd::Crowd;
use weir_foundation::http::Peer;

use self::presence::Presence;
use self::session::Session;
use self::visitor::Caller;
use crate::admission::Admission;

/// What an agent may have sent that is not answered, in bytes of payloads.
const WINDOW_BYTES: u64 = 8 << 20;

/// The same in batches.
const WINDOW_BATCHES: usize = 64;

/// The largest payload, decompressed.
const BATCH_BYTES: u64 = 4 << 20;

/// What agents need at least, for a long line has to fit.
const LEAST_BATCH_BYTES: u64 = 64 << 10;

/// Streams of one agent that are open at once: one is served, and others are of connections that broke without this side
/// being told. Each may have a message half sent.
const STREAMS: usize = 8;

/// What surrounds a payload in a message.
const ENVELOPE: u64 = 64 << 10;

/// Whom streams are taken from.
#[derive(Debug, Clone)]
pub(crate) struct AgentsFrom {
    /// Agents of this instance, who show certificate and token.
    pub(crate) fleet: Option<Fleet>,
    /// Whether those are taken as well who show nothing: for a listener that only this machine reaches without TLS.
    pub(crate) local: bool,
}

/// Serves the streams.
struct IngestDoor {
    admission: Arc<Admission>,
    presence: Presence,
    /// Agents by the names in their tokens; of those without, each counts alone.
    crowd: Crowd<AgentName>,
    from: AgentsFrom,
}

/// Everything that the agents' listener serves.
pub(crate) fn router(admission: &Arc<Admission>, from: AgentsFrom) -> Router {
    let limit = usize::try_from(max_batch(admission) + ENVELOPE).unwrap_or(usize::MAX);
    let door = IngestDoor {
        admission: Arc::clone(admission),
        presence: Presence::default(),
        crowd: Crowd::new(STREAMS),
        from,
    };
    let service = IngestServer::new(door).max_decoding_message_size(limit);
    Routes::new(service).prepare().into_axum_router()
}

/// The largest payload that this process takes, decompressed: a batch is one record.
fn max_batch(admission: &Admission) -> u64 {
    let record = admission.records.limit().unwrap_or(u64::MAX);
    let message = admission.settings.max_message.bytes().max(LEAST_BATCH_BYTES);
    BATCH_BYTES.min(record).min(message)
}

#[tonic::async_trait]
impl Ingest for IngestDoor {
    type StreamStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (metadata, extensions, incoming) = request.into_parts();
        let peer = extensions.get::<Peer>().cloned().unwrap_or_default();
        // From before he is looked at: what changes then is not missed.
        let changes = self.from.fleet.as_ref().map(Fleet::changes);
        let caller = Caller::identify(&self.from, &peer, &metadata)?;
        let member = match caller.agent() {
            Some(agent) => Some(self.crowd.enter(agent.clone()).ok_or_else(|| {
                Status::resource_exhausted(format!("agent `{agent}` has {STREAMS} streams open already"))
            })?),
            None => None,
        };
        let answers = Session::start(&self.admission, &self.presence, caller, changes, member, incoming);
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl fmt::Debug for IngestDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngestDoor").finish_non_exhaustive()
    }
}
