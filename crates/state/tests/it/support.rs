use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use weir_foundation::clock::SystemClock;
use weir_foundation::supervise::{DrainDeadlines, Spawner, Supervisor};
use weir_state::sqlite::{SqliteSettings, SqliteState};
use weir_state::{Expect, Kind, OpenError, State, Write};

pub(crate) const CUP: Kind = Kind::new("cup");

pub(crate) fn spawner() -> Spawner {
    Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default()).spawner()
}

pub(crate) fn try_open(settings: SqliteSettings) -> Result<Arc<SqliteState>, OpenError> {
    SqliteState::open(settings, Arc::new(SystemClock), &spawner())
}

pub(crate) fn open(directory: &Path) -> Arc<SqliteState> {
    try_open(SqliteSettings::new(directory)).expect("the state opens")
}

pub(crate) fn put(name: &str, value: impl Into<Vec<u8>>) -> Write {
    CUP.key(name).put(Expect::Any, value.into())
}

pub(crate) async fn value(state: &dyn State, name: &str) -> Option<Vec<u8>> {
    state.get(CUP, name).await.expect("it can be read").map(|entry| entry.value)
}
