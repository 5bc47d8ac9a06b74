//! The form of `xtask/layers.toml`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    pub(crate) crates: BTreeMap<String, Crate>,
    #[serde(default, rename = "fence")]
    pub(crate) fences: Vec<Fence>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crate {
    pub(crate) layer: u8,
    #[serde(default)]
    pub(crate) role: Role,
    #[serde(default)]
    pub(crate) never: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    #[default]
    Product,
    /// Reached by dev-dependencies only.
    Tests,
}

/// Packages that only some crates may depend on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fence {
    pub(crate) packages: BTreeSet<String>,
    pub(crate) only: BTreeSet<String>,
    /// Crates that may use them in tests.
    #[serde(default)]
    pub(crate) dev: BTreeSet<String>,
    pub(crate) reason: String,
}

impl Layers {
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
