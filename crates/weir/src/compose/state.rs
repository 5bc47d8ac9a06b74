//! The state of the instance, wherever it is kept.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_foundation::clock::Clock;
use weir_foundation::supervise::Spawner;
use weir_state::State;
use weir_state::sqlite::{SqliteSettings, SqliteState};

use crate::settings::StateSettings;

/// Opened.
pub(super) enum Kept {
    Directory(Arc<SqliteState>),
}

impl Kept {
    pub(super) async fn open(
        settings: &StateSettings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Self> {
        let opened = match settings {
            StateSettings::Directory(directory) => {
                let settings = SqliteSettings::new(directory);
                SqliteState::open(settings, clock, spawner).map(Self::Directory)
            }
        };
        opened.context("open the state")
    }

    pub(super) fn seam(&self) -> Arc<dyn State> {
        match self {
            Self::Directory(state) => Arc::<SqliteState>::clone(state),
        }
    }

    /// Waits for what it has in hand.
    pub(super) async fn close(&self) {
        match self {
            Self::Directory(state) => state.close().await,
        }
    }
}
