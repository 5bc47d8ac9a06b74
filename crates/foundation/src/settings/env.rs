//! The one place that reads the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables that the process reads by name, for the reference page. Every setting has one more, see
/// [`setting_variable`].
pub const VARIABLES: [Variable; 13] = [
    Variable { name: CONFIG, doc: "The YAML file with the settings, if `--config` is not given." },
    Variable { name: "WEIR_SERVER", doc: "Where commands find a running weir, if `--server` is not given." },
    Variable {
        name: TOKEN,
        doc: "The operator's token, which commands show to a running weir. Goes by TLS or stays on this machine.",
    },
    Variable { name: TOKEN_FILE, doc: "The file with it, if `--token-file` is not given." },
    Variable {
        name: CA_FILE,
        doc: "Certificates (PEM) of those who may vouch for the weir that commands ask by `https`, if neither \
              `--ca-file` nor `--ca-pin` is given.",
    },
    Variable {
        name: CA_PIN,
        doc: "The pin of the root of that weir's own certificates, if neither `--ca-file` nor `--ca-pin` is given.",
    },
    Variable { name: KEY, doc: "The access key of an agent, `agent.key`." },
    Variable { name: "NO_COLOR", doc: "Not empty: no colours on a terminal." },
    Variable { name: "COLUMNS", doc: "Width of the terminal, where the terminal does not tell." },
    Variable { name: "TZ", doc: "The time zone in which times are shown and read." },
    Variable {
        name: "NOTIFY_SOCKET",
        doc: "Set by systemd for `Type=notify`: where it hears that weir is ready.",
    },
    Variable {
        name: "WATCHDOG_USEC",
        doc: "Set by systemd for `WatchdogSec=`: how often it wants to hear of weir.",
    },
    Variable { name: "WATCHDOG_PID", doc: "Set by systemd: for which process the watchdog is meant." },
];

/// Names the file with the settings.
pub const CONFIG: &str = "WEIR_CONFIG";

/// Holds the token that commands show to a weir.
pub const TOKEN: &str = "WEIR_TOKEN";

/// Names the file with the token that commands show to a weir.
pub const TOKEN_FILE: &str = "WEIR_TOKEN_FILE";

/// Names the file with the certificates of those who may vouch for the weir that commands ask.
pub const CA_FILE: &str = "WEIR_CA_FILE";

/// Holds the pin of the root of the weir that commands ask.
pub const CA_PIN: &str = "WEIR_CA_PIN";

/// Holds the access key of an agent.
pub const KEY: &str = "WEIR_KEY";

/// Variables with this prefix are settings; see [`setting_variable`].
pub const PREFIX: &str = "WEIR_";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub doc: &'static str,
}

/// A variable of an older system that sets one of ours, in its own form.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    pub name: &'static str,
    /// The setting, such as `producer.grpc.bind`.
    pub path: &'static str,
    /// From the variable's own form to ours; `None` if this value means the default there. The error says what
    /// is wrong with the value.
    pub convert: fn(&str) -> Result<Option<String>, String>,
}

/// The variable that sets the value at a path: `journal.roll_at` is `WEIR_JOURNAL__ROLL_AT`.
#[must_use]
pub fn setting_variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// The environment as it was when the process began, or what a test says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Variables whose name is not UTF-8 are left out: nothing asks for them.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        Self(variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect())
    }

    /// The value, if the variable is set and its value is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str()
    }

    /// The names of all variables, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sets the variable if it is not set, or to nothing.
    pub fn default_to(&mut self, name: &str, value: &str) {
        if self.get(name).is_none_or(str::is_empty) {
            self.set(name, value);
        }
    }

    /// Sets the variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Unsets the variable.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Whether colours were declined: `NO_COLOR` is set and not empty, see <https://no-color.org>.
    #[must_use]
    pub fn declines_color(&self) -> bool {
        self.get("NO_COLOR").is_some_and(|value| !value.is_empty())
    }

    /// The variables that are meant to be settings, with None for a value that is not UTF-8.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(PREFIX));
        let ours = ours.filter(|(name, _)| VARIABLES.iter().all(|variable| variable.name != name.as_str()));
        ours.map(|(name, value)| (name.as_str(), value.to_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_variable() {
        assert_eq!(setting_variable("journal.roll_at"), "WEIR_JOURNAL__ROLL_AT");
        assert_eq!(setting_variable("data_dir"), "WEIR_DATA_DIR");
    }

    #[test]
    fn color_is_declined_by_any_text() {
        let check = |environment: Environment, expected| assert_eq!(environment.declines_color(), expected);
        check(Environment::default(), false);
        check(Environment::from([("NO_COLOR", "")]), false);
        check(Environment::from([("NO_COLOR", "0")]), true);
    }

    #[test]
    fn the_process_has_an_environment() {
        assert!(Environment::of_process().get("PATH").is_some());
    }
}
