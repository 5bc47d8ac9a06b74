use std::io::{IsTerminal, Write};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use weir_foundation::clock::Clock;
use weir_foundation::exit::ExitCode;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};

use super::{SettingsArgs, life};
use crate::compose::{self, Addresses, Process};
use crate::demo::{self, Bounds, Plan};
use crate::settings::{Listen, Role, Settings};

/// Accepts events by gRPC and HTTP, keeps them in a journal, delivers them to an index, and answers searches:
/// all in one process, in one directory, on this machine alone.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Send the events of a small shop, to have something to look at
    #[arg(long)]
    demo: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    life::run(Role::Up, &arguments.settings, async |settings: &Settings, process: &Process| {
        let running = compose::up(settings, process).await?;
        let Addresses { http, grpc, ingest, enrolment, ops } = running.addresses;
        tracing::info!(%http, %grpc, %ingest, %enrolment, %ops, data_dir = %settings.data_dir.display(), "listening");
        if std::io::stderr().is_terminal() {
            // Nobody to tell if the terminal is gone.
            write_banner(&mut anstream::stderr().lock(), running.addresses, settings).ok();
        }
        if arguments.demo {
            start_demo(&process.spawner, &process.clock, grpc);
        }
        Ok(running.ops)
    })
}

fn start_demo(spawner: &Spawner, clock: &Arc<dyn Clock>, grpc: std::net::SocketAddr) {
    let plan = Plan {
        door: format!("http://{}", Addresses::local(grpc)),
        app: super::demo::APP.to_owned(),
        rate: super::demo::RATE,
        seed: rand::random(),
        bounds: Bounds::Endless,
    };
    let clock = Arc::clone(clock);
    spawner.spawn("demo", Policy::expendable(DrainPhase::StopIntake), |drain| async move {
        let outcome = demo::run(plan, &*clock, drain.draining()).await?;
        tracing::info!(events = outcome.acknowledged, "the demonstration ended");
        Ok::<(), anyhow::Error>(())
    });
}

fn write_banner(out: &mut dyn Write, addresses: Addresses, settings: &Settings) -> std::io::Result<()> {
    let Addresses { http, grpc, ops, .. } = addresses;
    // The other commands look for weir where it is by default.
    let server = match Addresses::local(http) {
        local if local == Listen::DEFAULT_HTTP => String::new(),
        local => format!(" --server {local}"),
    };
    let (prefix, suffix) = (&settings.producer.stream_prefix, &settings.producer.stream_suffix);
    writeln!(
        out,
        "
  weir {version} is up

  send   weir send --app shop app.log{server}
         curl --data-binary @app.log http://{http}/api/v1/apps/shop/events
         gRPC `producer.Producer` on {grpc}
  look   weir tail shop{server}
         weir query shop 'level:warn -healthz' --since 1h{server}
         weir streams{server} · weir audit{server} · http://{ops}/status
  kept   {data_dir}, streams `{prefix}<app>{suffix}`
  stop   Ctrl-C; a second one ends at once
",
        version = env!("CARGO_PKG_VERSION"),
        data_dir = settings.data_dir.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Given;

    fn banner(http: &str) -> String {
        let address = |text: &str| text.parse().expect("is an address");
        let addresses = Addresses {
            http: address(http),
            grpc: address("127.0.0.1:8082"),
            ingest: address("127.0.0.1:8083"),
            enrolment: address("127.0.0.1:8084"),
            ops: address("127.0.0.1:8008"),
        };
        let settings = Given::default().read().settings.expect("the defaults are good");
        let settings = Settings { data_dir: "/var/lib/weir".into(), ..settings };
        let mut out = Vec::new();
        write_banner(&mut out, addresses, &settings).expect("memory takes it");
        String::from_utf8(out).expect("is text").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    #[test]
    fn the_banner_names_commands_that_reach_this_process() {
        assert!(!banner("127.0.0.1:8080").contains("--server"));
        insta::assert_snapshot!(banner("0.0.0.0:9080"));
    }
}
