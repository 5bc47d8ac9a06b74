//! The state of the instance, wherever it is kept.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_foundation::clock::Clock;
use weir_foundation::supervise::Spawner;
use weir_state::State;
use weir_state::sqlite::{SqliteSettings, SqliteState};
use weir_state_postgres::{OpenError, PostgresSettings, PostgresState};

use crate::settings::StateSettings;

/// Opened.
pub(super) enum Kept {
    Directory(Arc<SqliteState>),
    Postgres(Arc<PostgresState>),
}

/// How long after an attempt the next one begins.
const AGAIN: Duration = Duration::from_secs(2);

fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<OpenError>().is_some_and(OpenError::is_passing)
}

impl Kept {
    pub(super) async fn open(
        settings: &StateSettings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Self> {
        let failed = || format!("open the state in {settings}");
        Ok(match settings {
            StateSettings::Directory(directory) => {
                let state = SqliteState::open(SqliteSettings::new(directory), clock, spawner);
                Self::Directory(state.with_context(failed)?)
            }
            StateSettings::Postgres(settings) => {
                let state = PostgresState::open(PostgresSettings::clone(settings), clock, spawner);
                // Large, and of no use where there is no Postgres.
                Self::Postgres(Box::pin(state).await.with_context(failed)?)
            }
        })
    }

    /// As [`Kept::open`], however long that takes: the server of the state may be about to start.
    pub(super) async fn await_open(
        settings: &StateSettings,
        clock: &Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Self> {
        let mut is_told = false;
        loop {
            let error = match Self::open(settings, Arc::clone(clock), spawner).await {
                Err(error) if is_passing(&error) => error,
                opened => return opened,
            };
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(error = %format!("{error:#}"), "the state is not there yet, trying again");
            }
            clock.sleep(AGAIN).await;
        }
    }

    pub(super) fn seam(&self) -> Arc<dyn State> {
        match self {
            Self::Directory(state) => Arc::<SqliteState>::clone(state),
            Self::Postgres(state) => Arc::<PostgresState>::clone(state),
        }
    }

    /// Waits for what it has in hand.
    pub(super) async fn close(&self) {
        match self {
            Self::Directory(state) => state.close().await,
            Self::Postgres(state) => state.close().await,
        }
    }
}
