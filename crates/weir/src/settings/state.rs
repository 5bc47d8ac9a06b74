//! Where the instance is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::settings::{Problem, Problems};
use weir_state_postgres::{PostgresSection, PostgresSettings};

/// Where the instance is kept: operators, apps, access keys, agents, configurations, and the private keys of its
/// certificates. Roles in processes of their own belong to one instance if they share it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StateSection {
    /// A folder that roles on one machine share; made with mode 0700 if it is not there. No network file system: SQLite
    /// locks it. Default: `state` in `data_dir`; for `weir producer` none, so that it knows nobody.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) postgres: PostgresSection,
}

/// The validated [`StateSection`].
#[derive(Debug, Clone)]
pub(crate) enum StateSettings {
    /// A folder with a file of SQLite.
    Directory(PathBuf),
    Postgres(Box<PostgresSettings>),
}

/// Where the state is in the data directory, unless the settings say otherwise.
const STATE: &str = "state";

impl StateSection {
    /// Whether a state is named.
    pub(super) fn is_given(&self) -> bool {
        let address = self.postgres.address.as_deref();
        self.directory.is_some() || address.is_some_and(|address| !address.trim().is_empty())
    }
}

impl StateSettings {
    pub(super) fn validate(raw: &StateSection, data_dir: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let postgres = problems.take("postgres", PostgresSettings::validate(&raw.postgres)).flatten();
        if raw.directory.as_ref().is_some_and(|directory| directory.as_os_str().is_empty()) {
            problems.push(Problem::at("directory", "must not be empty"));
        }
        if raw.directory.is_some() && postgres.is_some() {
            problems.push(Problem::at(
                "directory",
                "is of no use beside `postgres.address`: leave one of them out",
            ));
        }
        let directory = || match &raw.directory {
            Some(directory) => std::path::absolute(directory).unwrap_or_else(|_| directory.clone()),
            None => data_dir.join(STATE),
        };
        problems.or(match postgres {
            Some(postgres) => Self::Postgres(Box::new(postgres)),
            None => Self::Directory(directory()),
        })
    }

    /// Whether it may be away for a while.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// That of a data directory, where nothing else is said.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self::Directory(data_dir.join(STATE))
    }
}

impl fmt::Display for StateSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "`{}`", directory.display()),
            Self::Postgres(postgres) => {
                let PostgresSettings { address, database, schema, .. } = &**postgres;
                write!(f, "schema `{schema}` of database `{database}` at `{address}`")
            }
        }
    }
}
