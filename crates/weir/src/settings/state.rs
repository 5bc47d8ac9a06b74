//! Where the instance is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::settings::{Problem, Problems};

use super::Role;

/// Where the instance is kept: operators, apps, access keys, agents, configurations, and the private keys of its
/// certificates. Roles in processes of their own belong to one instance if they share it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StateSection {
    /// A folder that roles on one machine share; made with mode 0700 if it is not there. No network file system: SQLite
    /// locks it. Default: `state` in `data_dir`; for `weir producer` none, so that it knows nobody.
    pub(crate) directory: Option<PathBuf>,
}

/// The validated [`StateSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateSettings {
    /// A folder with a file of SQLite.
    Directory(PathBuf),
}

/// Where the state is in the data directory, unless the settings say otherwise.
const STATE: &str = "state";

impl fmt::Display for StateSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "`{}`", directory.display()),
        }
    }
}

impl StateSection {
    /// Whether a state is named.
    pub(super) fn is_given(&self) -> bool {
        *self != Self::default()
    }
}

impl StateSettings {
    /// Nothing for a role that belongs to no instance.
    pub(super) fn validate(
        raw: &StateSection,
        data_dir: &Path,
        role: Role,
    ) -> Result<Option<Self>, Problems> {
        let directory = match &raw.directory {
            Some(directory) if directory.as_os_str().is_empty() => {
                return Err(Problem::at("directory", "must not be empty").into());
            }
            Some(directory) => std::path::absolute(directory).unwrap_or_else(|_| directory.clone()),
            None => data_dir.join(STATE),
        };
        Ok(match role {
            Role::Up | Role::Server => Some(Self::Directory(directory)),
            Role::Producer if raw.is_given() => Some(Self::Directory(directory)),
            Role::Producer | Role::Consumer | Role::Setup => None,
        })
    }

    /// That of a data directory, where nothing else is said.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self::Directory(data_dir.join(STATE))
    }
}
