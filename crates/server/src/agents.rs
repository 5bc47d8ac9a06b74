//! The doors of agents beside that for their events: `weir.control.v1` (`proto/weir/control/v1/control.proto`).
//!
//! ```text
//! node ──Enrol──▶ enrolment ─╮                   ╭──▶ API: what agents are
//!                            ├─▶ fleet (decides) ┤
//! agent ─Token, Renew───────▶│                   ╰──▶ configurations
//!       ─Attend─▶ session ◀──╯
//!                    ╰── hub, logs ◀── API: what agents have logged
//! ```
//!
//! Who somebody is, is decided by [`weir_fleet::Fleet`]; here is only how that is asked for by gRPC. A session lives for as
//! long as its agent attends: it offers what the agent should run whenever that changes, tells the fleet what the agent says
//! of itself, and ends as soon as the agent is sent away. It may be at another process than the API that is asked.

mod caller;
mod control;
mod enrolment;
mod hub;
pub(crate) mod logs;
mod session;

use std::sync::Arc;

use axum::Router;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tonic::service::Routes;
use weir_fleet::Fleet;
use weir_foundation::clock::Clock;
use weir_foundation::http::{Http2Limits, Limits};
use weir_foundation::supervise::Spawner;
use weir_wire::proto::control::control_server::ControlServer;
use weir_wire::proto::control::enrolment_server::EnrolmentServer;

use self::control::ControlDoor;
use self::enrolment::EnrolmentDoor;
pub(crate) use self::hub::RECENTLY;
pub use self::hub::{Hub, LogError};

/// What the doors of agents stand on.
#[derive(Debug, Clone)]
pub struct AgentParts {
    pub fleet: Fleet,
    pub hub: Hub,
    /// Where agents are taken, `host:port` each: they are told when they enrol, and whenever they renew.
    pub servers: Arc<[String]>,
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
}

/// As many agents as attend at this process.
#[derive(Debug)]
struct Attending(Hub);

impl Collector for Attending {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauge = ConstGauge::new(i64::try_from(self.0.attending()).unwrap_or(i64::MAX));
        let help = "Agents that are connected to this process";
        let metric = encoder.encode_descriptor("attending_agents", help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

/// What is counted of agents at this process. `registry` is the one whose names get the prefix `weir_`.
pub fn register_metrics(registry: &mut Registry, parts: &AgentParts) {
    registry.register_collector(Box::new(Attending(parts.hub.clone())));
}

/// What an agent may send in one message.
const MESSAGE_BYTES: usize = 1 << 20;

/// What somebody may send in one message of whom nothing is known.
const STRANGER_BYTES: usize = 16 << 10;

/// What those may hold who want to be agents. All of it together is 64 MiB.
#[must_use]
pub fn enrolment_limits() -> Limits {
    let window = STRANGER_BYTES as u32;
    let http2 = Http2Limits {
        streams: 4,
        stream_window: window,
        connection_window: 4 * window,
        frame: window,
        ..Http2Limits::default()
    };
    Limits { connections: 1_000, http2, ..Limits::default() }
}

/// What agents call beside the stream of their events, without a fallback; for a listener that checks certificates.
///
/// Where agents attend, the other processes of the instance ask for their logs: a task answers until the process drains.
pub fn control_router(parts: &AgentParts) -> Router {
    logs::answer_others(parts);
    let service =
        ControlServer::new(ControlDoor::new(parts.clone())).max_decoding_message_size(MESSAGE_BYTES);
    Routes::new(service).prepare().into_axum_router().reset_fallback()
}

/// What nodes call that are no agents yet, or whose certificate has ended; for a listener with TLS on which nobody has
/// to show a certificate.
pub fn enrolment_router(parts: &AgentParts) -> Router {
    let door = EnrolmentDoor::new(parts.clone());
    let service = EnrolmentServer::new(door).max_decoding_message_size(STRANGER_BYTES);
    Routes::new(service).prepare().into_axum_router()
}
