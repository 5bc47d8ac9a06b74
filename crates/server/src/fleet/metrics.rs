//! The fleet in numbers, for whoever collects metrics: what `weir agent list` shows, but for texts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use weir_fleet::{ConfigurationHash, Fleet};
use weir_foundation::clock::Clock;

use super::standing::Picture;
use crate::api::AgentState;

/// Looked at when somebody asks.
struct FleetNumbers {
    fleet: Fleet,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAgent {
    agent: String,
}

/// What has no number. Hashes are empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Facts {
    agent: String,
    state: &'static str,
    version: String,
    offered: String,
    running: String,
    failed: String,
}

const STATES: [AgentState; 6] = [
    AgentState::Ok,
    AgentState::Late,
    AgentState::FailedConfiguration,
    AgentState::Refused,
    AgentState::Away,
    AgentState::Revoked,
];

/// `registry` is the one whose names get the prefix `weir_`.
pub(crate) fn register(registry: &mut Registry, fleet: Fleet, clock: Arc<dyn Clock>) {
    let registry = registry.sub_registry_with_prefix("fleet");
    registry.register_collector(Box::new(FleetNumbers { fleet, clock }));
}

fn word(state: AgentState) -> &'static str {
    match state {
        AgentState::Ok => "ok",
        AgentState::Late => "late",
        AgentState::FailedConfiguration => "failed-configuration",
        AgentState::Refused => "refused",
        AgentState::Away => "away",
        AgentState::Revoked => "revoked",
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// An agent that may come, with its state.
type Seen = (Picture, AgentState);

/// What there is a number of for each agent that was not sent away.
type OfEach = (&'static str, &'static str, fn(&Picture) -> Option<f64>);

const OF_EACH: [OfEach; 5] = [
    ("agent_connected", "Whether the agent is connected", |picture| {
        Some(f64::from(u8::from(picture.attendance().is_some())))
    }),
    ("agent_seen_timestamp_seconds", "When the agent was heard of last", |picture| {
        picture.view.report.as_ref().map(|report| seconds(report.seen))
    }),
    ("agent_lag_bytes", "Bytes that the agent has to send, by its last word", |picture| {
        Some(picture.said()?.lag_bytes()? as f64)
    }),
    ("agent_lag_seconds", "How long the oldest of them waits", |picture| {
        picture.lag().as_ref().map(Duration::as_secs_f64)
    }),
    ("agent_certificate_end_timestamp_seconds", "When the agent's certificate ends", |picture| {
        picture.view.certificate.as_ref().map(|certificate| seconds(certificate.not_after))
    }),
];

impl Collector for FleetNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.clock.now();
        let seen = |view| {
            let picture = Picture::of(&self.fleet, view);
            let state = picture.standing(now).0;
            (picture, state)
        };
        let agents: Vec<Seen> = self.fleet.agents().into_iter().map(seen).collect();
        let count = |wanted: AgentState| agents.iter().filter(|(_, state)| *state == wanted).count();
        let counts = STATES.map(|state| (OfState { state: word(state) }, count(state) as f64));
        family(&mut encoder, "agents", "Agents by their state", counts)?;
        let present = || agents.iter().filter(|(_, state)| *state != AgentState::Revoked);
        for (name, help, number) in OF_EACH {
            let numbers = present().filter_map(|(picture, _)| {
                Some((OfAgent { agent: picture.name().to_string() }, number(picture)?))
            });
            family(&mut encoder, name, help, numbers)?;
        }
        let facts = present().map(|(picture, state)| (facts(picture, *state), 1.0));
        family(&mut encoder, "agent_info", "What the agent is, and runs", facts)
    }
}

fn facts(picture: &Picture, state: AgentState) -> Facts {
    let said = picture.said();
    let hash = |hash: Option<&ConfigurationHash>| hash.map(ToString::to_string).unwrap_or_default();
    Facts {
        agent: picture.name().to_string(),
        state: word(state),
        version: said.map(|said| said.version.clone()).unwrap_or_default(),
        offered: hash(said.and_then(|said| said.offered.as_ref())),
        running: hash(said.and_then(|said| said.running.as_ref())),
        failed: hash(said.and_then(|said| said.failed.as_ref()).map(|failed| &failed.hash)),
    }
}

fn family<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    numbers: impl IntoIterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut metrics = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, number) in numbers {
        ConstGauge::new(number).encode(metrics.encode_family(&labels)?)?;
    }
    Ok(())
}

impl fmt::Debug for FleetNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetNumbers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_words_of_the_api() {
        for state in STATES {
            assert_eq!(serde_json::to_value(state).expect("is JSON"), word(state));
        }
    }
}
