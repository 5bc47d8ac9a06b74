//! The state of the instance, wherever it is kept.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_foundation::clock::Clock;
use weir_foundation::supervise::Spawner;
use weir_state::State;
use weir_state::sqlite::{SqliteSettings, SqliteState};
use weir_state_postgres::{PostgresSettings, PostgresState};

use crate::settings::StateSettings;

/// Opened.
pub(super) enum Kept {
    Directory(Arc<SqliteState>),
    Postgres(Arc<PostgresState>),
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
