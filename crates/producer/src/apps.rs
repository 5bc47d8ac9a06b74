//! In whose name may be sent, and how much.

use std::num::NonZeroU32;

use weir_fleet::{AppTerms, Fleet, SecretRefused};
use weir_foundation::settings::Secret;
use weir_model::{AppName, IndexPrefix};

use crate::section::UnknownApps;

/// The apps of the instance, where there is one, and what becomes of others.
#[derive(Debug, Clone)]
pub(crate) struct Apps {
    pub(crate) fleet: Option<Fleet>,
    pub(crate) unknown: UnknownApps,
}

/// What the instance says about an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Events per second; absent where the settings decide.
    pub(crate) max_tps: Option<NonZeroU32>,
    /// Where its events are filed that do not say it themselves; absent where its name says so.
    pub(crate) index_prefix: Option<IndexPrefix>,
    /// Whether a process of the instance sends. What it shows is not the secret of an app.
    pub(crate) by_pass: bool,
}

/// Nobody, or not this client, may send in the name of the app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppRefused {
    #[error("there is no app `{0}`")]
    Unknown(String),
    #[error("this is not the secret of app `{0}`")]
    WrongSecret(String),
    #[error("app `{0}` has a secret, which has to be shown")]
    NoSecret(String),
    #[error("app `{0}` is disabled")]
    Disabled(String),
    #[error("agent `{agent}` does not send in the name of app `{app}`")]
    Foreign { agent: String, app: String },
}

impl From<AppTerms> for Known {
    fn from(AppTerms { max_tps, index_prefix, .. }: AppTerms) -> Self {
        Self { max_tps, index_prefix, by_pass: false }
    }
}

impl Apps {
    pub(crate) fn new(fleet: Option<Fleet>, unknown: UnknownApps) -> Self {
        Self { fleet, unknown }
    }

    /// For a client that shows a secret, or none. An app that has secrets wants one of them, or the pass of a process of
    /// the instance: what was taken before is not judged again.
    pub(crate) fn of_client(&self, app: &str, secret: Option<&str>) -> Result<Known, AppRefused> {
        let is_pass = |fleet: &Fleet| secret.is_some_and(|secret| fleet.is_pass(secret));
        if self.fleet.as_ref().is_some_and(is_pass) {
            return Ok(Known { by_pass: true, ..Known::default() });
        }
        let Some((fleet, name, terms)) = self.find(app) else { return self.unknown(app) };
        if !terms.enabled {
            return Err(AppRefused::Disabled(app.to_owned()));
        }
        if terms.has_secret {
            let shown = Secret::new(secret.unwrap_or_default());
            fleet.check_secret(&name, &shown).map_err(|refused| match refused {
                SecretRefused::Wrong if secret.is_none_or(str::is_empty) => {
                    AppRefused::NoSecret(app.to_owned())
                }
                SecretRefused::Wrong => AppRefused::WrongSecret(app.to_owned()),
                SecretRefused::Disabled => AppRefused::Disabled(app.to_owned()),
            })?;
        }
        Ok(Known::from(terms))
    }

    /// For an agent whose token names the app.
    pub(crate) fn of_agent(&self, app: &str) -> Result<Known, AppRefused> {
        match self.find(app) {
            None => Err(AppRefused::Unknown(app.to_owned())),
            Some((_, _, terms)) if !terms.enabled => Err(AppRefused::Disabled(app.to_owned())),
            Some((_, _, terms)) => Ok(Known::from(terms)),
        }
    }

    fn find(&self, app: &str) -> Option<(&Fleet, AppName, AppTerms)> {
        let fleet = self.fleet.as_ref()?;
        let name = AppName::new(app).ok()?;
        let terms = fleet.app(&name)?;
        Some((fleet, name, terms))
    }

    fn unknown(&self, app: &str) -> Result<Known, AppRefused> {
        match self.unknown {
            UnknownApps::Take => Ok(Known::default()),
            UnknownApps::Refuse => Err(AppRefused::Unknown(app.to_owned())),
        }
    }
}
