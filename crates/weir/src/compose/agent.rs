//! The agent in a process of its own.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use weir_agent::Agent;
use weir_foundation::descriptors;
use weir_foundation::listen::bind;
use weir_foundation::metrics::Builder;
use weir_foundation::ops::{Ops, StatusBoard};
use weir_uplink::Link;

use super::{Process, announce, directory, identity, show};
use crate::settings::AgentSettings;

pub(crate) async fn agent(settings: &AgentSettings, process: &Process) -> Result<Ops> {
    let listening = bind(settings.ops, settings.exposure).context("open the address for operators")?;
    let ops = listening.local_addr().context("ask for a bound address")?;
    directory::prepare_without_space(&settings.data_dir)?;
    let mut metrics = Builder::new();
    let parts = weir_agent::Parts {
        clock: Arc::clone(&process.clock),
        spawner: process.spawner.clone(),
        health: &process.health,
        metrics: &mut metrics,
        folder: settings.data_dir.clone(),
        max_open_files: descriptors::most_files(),
    };
    let agent = Agent::start(settings.agent.clone(), parts).context("start the agent")?;
    let name = settings.agent.name.clone();
    let server = settings.agent.server.uri().to_string();
    tracing::info!(name, server, %ops, data_dir = %settings.data_dir.display(), "collecting");
    let durability = "a line is sent until the server has it synced";
    let status = StatusBoard::new(identity("agent", durability), Arc::clone(&process.clock));
    status.section("agent", move || {
        let link = match agent.link() {
            Link::New => "connecting".to_owned(),
            Link::Connected { .. } => "connected".to_owned(),
            Link::Disconnected(why) => format!("not connected: {why}"),
        };
        json!({ "name": name, "server": server, "link": link })
    });
    let ops = show(listening, status, process, metrics)?;
    announce(process);
    Ok(ops)
}
