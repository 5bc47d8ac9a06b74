//! Tells how many events were stored, to whom the settings say.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_consumer::metrics::ConsumerMetrics;
use weir_consumer::push;
use weir_foundation::supervise::{DrainPhase, Policy};

use super::Process;
use crate::console;
use crate::settings::Settings;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn tell(settings: &Settings, process: &Process, metrics: ConsumerMetrics) -> Result<()> {
    if settings.consumer.print_rate {
        print(process, metrics.clone());
    }
    let Some(push) = settings.consumer.push.clone() else { return Ok(()) };
    let Process { clock, spawner, .. } = process;
    let parts = push::Parts { metrics, clock: Arc::clone(clock), spawner };
    push::start(push, parts).context("prepare to push counts")
}

/// A line a second, as barito-flow does with `BARITO_PRINT_TPS`.
fn print(process: &Process, metrics: ConsumerMetrics) {
    let clock = Arc::clone(&process.clock);
    process.spawner.spawn("consumer.rate", Policy::expendable(DrainPhase::Commit), |drain| async move {
        let mut before = 0;
        loop {
            tokio::select! {
                biased;
                () = drain.draining() => return Ok::<(), std::io::Error>(()),
                () = clock.sleep(SECOND) => {}
            }
            let events = metrics.tally().events();
            writeln!(console::stdout(), "{} events/s", events - before)?;
            before = events;
        }
    });
}
