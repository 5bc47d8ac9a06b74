//! The instance of a data directory without a process that serves it, or beside one.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;
use weir_fleet::{Fleet, FleetSettings, Opened};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_state::sqlite::{SqliteSettings, SqliteState};

/// Where the state is in the data directory.
pub(crate) const STATE: &str = "state";

/// Works on the instance of the directory, which is made if there is none. A process that serves it sees what is done
/// within a second.
pub(crate) async fn with_instance<T>(
    data_dir: &Path,
    settings: FleetSettings,
    work: impl AsyncFnOnce(Opened) -> Result<T>,
) -> Result<T> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
    let kept = SqliteSettings { directory: data_dir.join(STATE), size_limit: None };
    let state =
        SqliteState::open(kept, Arc::clone(&clock), &supervisor.spawner()).context("open the state")?;
    let opened = Fleet::open(Arc::clone(&state) as Arc<_>, clock, settings).await;
    let done = match opened.context("open the instance") {
        Ok(opened) => work(opened).await,
        Err(error) => Err(error),
    };
    state.close().await;
    supervisor.run_until(async {}).await;
    done
}
