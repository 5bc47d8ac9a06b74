use std::time::Duration;

use anyhow::Result;
use clap::Args;
use url::Url;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_server::api::{Audit, AuditParameters};

use super::audit;
use crate::client::{Client, ClientArgs, server_url};
use crate::console;
use crate::demo::{self, Bounds, Outcome, Plan};
use crate::output::{self, Format};

/// The app that the shop's events are of.
pub(super) const APP: &str = "shop";

/// Events per second, if nothing else is said.
pub(super) const RATE: u32 = 50;

/// Sends believable events of several services, with levels, latencies, request ids and now and then an incident,
/// through the gRPC door. With --seconds it ends by itself and shows the audit.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Events per second
    #[arg(long, value_name = "N", default_value_t = RATE, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// End after this many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// The same seed makes the same events [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The app that the events are of
    #[arg(long, value_name = "NAME", default_value = APP)]
    app: String,
    /// Address of the gRPC door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8082", value_parser = server_url)]
    grpc: Url,
    #[command(flatten)]
    server: ClientArgs,
}

/// How long the audit may wait for the last events to be delivered.
const DELIVERY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    super::block_on(async {
        let clock = SystemClock;
        let seed = arguments.seed.unwrap_or_else(rand::random);
        let plan = Plan {
            door: arguments.grpc.to_string(),
            app: arguments.app.clone(),
            rate: arguments.rate,
            seed,
            bounds: arguments
                .seconds
                .map_or(Bounds::Endless, |seconds| Bounds::After(Duration::from_secs(seconds))),
        };
        console::note(&format!(
            "sending {} events/s as `{}`, seed {seed}",
            output::count(plan.rate.into()),
            plan.app
        ));
        let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
        let Outcome { acknowledged, waits } = demo::run_by(&client, plan, &clock, interrupted).await?;
        console::note(&format!("{} events acknowledged", output::count(acknowledged)));
        if waits > 0 {
            console::note(&format!("the door asked to wait {waits} times"));
        }
        let audit = settled_audit(&client, &clock).await?;
        audit::print(&mut console::stdout(), Format::Text, &audit)?;
        Ok(audit::exit(&audit))
    })
}

/// The audit once nothing waits to be delivered, or as it is after a while.
async fn settled_audit(client: &Client, clock: &dyn Clock) -> Result<Audit> {
    let began = clock.monotonic();
    loop {
        let audit: Audit = client.get(&["audit"], &AuditParameters::default()).await?;
        let waiting = audit.streams.iter().any(|stream| stream.waiting.is_some_and(|waiting| waiting > 0));
        if !waiting || clock.monotonic() - began > DELIVERY {
            return Ok(audit);
        }
        clock.sleep(PAUSE).await;
    }
}
