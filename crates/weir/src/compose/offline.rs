//! The state of an instance without a process that serves it, or beside one.

use std::sync::Arc;

use anyhow::Result;
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_state::State;

use super::state::Kept;
use crate::settings::StateSettings;

/// Works on the state, which is closed afterwards. A process that has it open sees what is done within a second.
pub(crate) async fn with_state<T>(
    settings: &StateSettings,
    work: impl AsyncFnOnce(Arc<dyn State>, Arc<dyn Clock>) -> Result<T>,
) -> Result<T> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
    let state = Kept::open(settings, Arc::clone(&clock), &supervisor.spawner()).await?;
    let done = work(state.seam(), clock).await;
    state.close().await;
    supervisor.run_until(async {}).await;
    done
}
