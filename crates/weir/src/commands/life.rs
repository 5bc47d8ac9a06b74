//! The life of a process that serves: from its settings to its exit code.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::ops::Ops;
use weir_foundation::settings::Environment;
use weir_foundation::supervise::{DrainDeadlines, Signals, Supervisor};
use weir_foundation::telemetry::{LastLines, LogSettings};
use weir_foundation::{descriptors, telemetry, umask};

use super::SettingsArgs;
use crate::compose::Process;
use crate::settings::{Role, Settings};

/// Reads the settings, starts what `start` starts, serves until a signal or a failure, and drains.
///
/// A signal during `start` ends the process: nothing was acknowledged yet that would have to be drained.
pub(super) fn run(
    role: Role,
    arguments: &SettingsArgs,
    start: impl AsyncFnOnce(&Settings, &Process) -> Result<Ops>,
) -> Result<ExitCode> {
    let environment = Environment::of_process();
    let outcome = arguments.given(role, &environment).read();
    let settings = match outcome.settings {
        Ok(settings) => settings,
        Err(problems) => return Ok(super::refuse(&problems, role)),
    };
    live(&settings.log, settings.drain, &outcome.notices, async |process| start(&settings, process).await)
}

/// Serves what `start` starts until a signal or a failure, and drains.
pub(super) fn live(
    log: &LogSettings,
    drain: DrainDeadlines,
    notices: &[String],
    start: impl AsyncFnOnce(&Process) -> Result<Ops>,
) -> Result<ExitCode> {
    let last_lines = telemetry::init(log, &Environment::of_process()).context("start logging")?;
    for notice in notices {
        tracing::warn!("{notice}");
    }
    umask::keep_files_private();
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let ended = serve(&runtime, drain, last_lines, start);
    runtime.shutdown_background();
    ended
}

/// From signals to the last phase of the drain.
fn serve(
    runtime: &Runtime,
    drain: DrainDeadlines,
    last_lines: LastLines,
    start: impl AsyncFnOnce(&Process) -> Result<Ops>,
) -> Result<ExitCode> {
    let signals = Signals::listen().context("listen to signals")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(runtime.handle().clone(), Arc::clone(&clock), drain);
    let process = Process::new(clock, supervisor.spawner(), last_lines);
    runtime.block_on(async {
        let ops = tokio::select! {
            started = Box::pin(start(&process)) => started?,
            signal = signals.first() => {
                tracing::info!(%signal, "ended before it was ready");
                return Ok(ExitCode::Good);
            }
        };
        let exit = supervisor.run(&signals).await;
        ops.stop();
        Ok(exit)
    })
}
