//! What a configuration of the server may say, and what the node lets it say.

use std::path::{Component, Path};

use glob::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::settings::{Problem, Problems, load_text};

use crate::files::MATCH;
use crate::section::{FilesSettings, InputSection};

/// How problems call the text of a configuration.
const NAME: &str = "configuration";

/// A configuration as the server has it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteConfiguration {
    /// What is read; as in the settings of an agent.
    pub inputs: Vec<InputSection>,
}

/// What the server may change on this node. Only the node says so.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteSection {
    /// Where inputs of the server may read, as patterns such as `/var/log/**`. Default: everywhere.
    pub paths: Option<Vec<String>>,
}

/// What configurations are held against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// Apps that the agent may send events of; the first is that of inputs that name none. Empty: any, which all have to
    /// name.
    pub(crate) apps: Vec<String>,
    /// Absent: everywhere.
    pub(crate) paths: Option<Vec<Pattern>>,
}

impl RemoteSection {
    /// The patterns, if there are some.
    pub fn validate(&self) -> Result<Option<Vec<Pattern>>, Problems> {
        let mut problems = Problems::default();
        let mut patterns = Vec::new();
        for (index, path) in self.paths.iter().flatten().enumerate() {
            match Pattern::new(path) {
                Ok(pattern) if path.starts_with('/') => patterns.push(pattern),
                Ok(_) => problems.push(Problem::at(format!("paths[{index}]"), "must begin with `/`")),
                Err(error) => {
                    problems.push(Problem::at(format!("paths[{index}]"), format!("is no pattern: {error}")))
                }
            }
        }
        problems.or(self.paths.is_some().then_some(patterns))
    }
}

/// Whether a text is a configuration that agents could run. Which apps and paths an agent takes is for it to say. One
/// without any text is none: it would stop them all.
pub fn check(text: &str) -> Result<(), Problems> {
    if text.trim().is_empty() {
        let message = "must have at least one: the file is empty";
        let hint = "`weir config withdraw` takes a configuration back";
        return Err(Problem::at("inputs", message).hint(hint).into());
    }
    Terms::default().with_any_app().read(text).map(drop)
}

/// Inputs that may leave out the app, which each agent has of its own. Problems are at their place in the list.
pub fn of_any_agent(inputs: &[InputSection]) -> Result<Vec<FilesSettings>, Problems> {
    Terms::default().with_any_app().inputs(inputs)
}

impl Terms {
    /// An app may be left out: each agent has one of its own.
    fn with_any_app(self) -> Self {
        Self { apps: vec![String::new()], ..self }
    }

    /// The inputs of a configuration. All problems at once, with their lines.
    ///
    /// An empty text stands for no inputs.
    pub(crate) fn read(&self, text: &str) -> Result<Vec<FilesSettings>, Problems> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut loaded = load_text::<RemoteConfiguration>(NAME, text);
        let inputs = loaded.section("inputs", |raw| self.inputs(&raw.inputs));
        loaded.finish()?;
        Ok(inputs.unwrap_or_default())
    }

    fn inputs(&self, raw: &[InputSection]) -> Result<Vec<FilesSettings>, Problems> {
        let is_any = self.apps.first().is_some_and(String::is_empty);
        let default = if is_any { Some("any") } else { self.apps.first().map(String::as_str) };
        let named = |input: &InputSection| {
            let app = input.app.clone().or_else(|| default.map(str::to_owned));
            InputSection { app, ..input.clone() }
        };
        let raw: Vec<InputSection> = raw.iter().map(named).collect();
        let mut problems = Problems::default();
        let inputs = problems.take("", FilesSettings::validate_all(&raw));
        for (index, input) in raw.iter().enumerate() {
            self.check_app(index, input, is_any, &mut problems);
            self.check_paths(index, input, &mut problems);
        }
        problems.or(inputs.unwrap_or_default())
    }

    fn check_app(&self, index: usize, input: &InputSection, is_any: bool, problems: &mut Problems) {
        let app = input.app.as_deref().unwrap_or_default();
        if !is_any && !self.apps.is_empty() && !self.apps.iter().any(|known| known == app) {
            let apps = self.apps.join("`, `");
            let message = format!("this agent sends events of `{apps}` and not of `{app}`");
            problems.push(Problem::at(format!("[{index}].app"), message));
        }
    }

    /// A pattern is allowed by a pattern that stands for everything it can stand for.
    fn check_paths(&self, index: usize, input: &InputSection, problems: &mut Problems) {
        let Some(allowed) = &self.paths else { return };
        for (number, path) in input.paths.iter().enumerate() {
            if has_parent(path) || !allowed.iter().any(|pattern| covers(pattern.as_str(), path)) {
                let message = format!("this node does not let the server read `{path}`");
                problems.push(Problem::at(format!("[{index}].paths[{number}]"), message));
            }
        }
    }
}

fn has_parent(path: &str) -> bool {
    Path::new(path).components().any(|component| component == Component::ParentDir)
}

/// Whether everything that `path` stands for is below what `allowed` stands for: it is the same, or `allowed` ends with
/// `**` or `*` and `path` goes on in its folder.
fn covers(allowed: &str, path: &str) -> bool {
    if allowed == path {
        return true;
    }
    if let Some(folder) = allowed.strip_suffix("**") {
        return folder.ends_with('/') && !is_pattern(folder) && path.starts_with(folder);
    }
    if let Some((folder, "*")) = allowed.rsplit_once('/') {
        let rest = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        return !is_pattern(folder) && rest.is_some_and(|rest| !rest.contains('/') && rest != "**");
    }
    // A name without any pattern may be one that the pattern stands for.
    !is_pattern(path) && Pattern::new(allowed).is_ok_and(|pattern| pattern.matches_with(path, MATCH))
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(apps: &[&str], paths: Option<&[&str]>) -> Terms {
        let patterns =
            |paths: &[&str]| paths.iter().map(|path| Pattern::new(path).expect("it is one")).collect();
        Terms { apps: apps.iter().map(ToString::to_string).collect(), paths: paths.map(patterns) }
    }

    #[track_caller]
    fn refused(terms: &Terms, text: &str) -> String {
        terms.read(text).expect_err("it is refused").to_string()
    }

    #[test]
    fn inputs_have_the_app_of_the_agent() {
        let terms = terms(&["shop", "web"], None);
        let inputs =
            terms.read("inputs:\n  - {paths: [/a]}\n  - {paths: [/b], app: web}\n").expect("it is good");
        let apps: Vec<&str> = inputs.iter().map(|input| input.app.as_str()).collect();
        assert_eq!(apps, ["shop", "web"]);
        assert_eq!(terms.read(" \n").expect("nothing is read"), []);
        insta::assert_snapshot!(refused(&terms, "inputs:\n  - {paths: [/a], app: bank}\n"), @"configuration:2: inputs[0].app: this agent sends events of `shop`, `web` and not of `bank`");
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        let text = "inputs:\n  - paths: [a, '/b[']\n    max_line: 1\n  - {pathes: [/c], app: 7}\nagent: {server: 'x'}\n";
        insta::assert_snapshot!(refused(&terms(&["shop"], None), text));
        assert!(check("inputs: [{paths: [/a]}]").is_ok());
        assert!(check("inputs: []").is_err());
        assert!(check("inputs: [{paths: [/a], app: 'No App'}]").is_err());
    }

    #[test]
    fn the_server_reads_only_where_the_node_lets_it() {
        let check = |allowed: &str, path: &str, expected: bool| {
            let text = format!("inputs:\n  - paths: ['{path}']\n");
            let outcome = terms(&["shop"], Some(&[allowed])).read(&text);
            assert_eq!(outcome.is_ok(), expected, "{allowed} {path}: {outcome:?}");
        };
        check("/var/log/**", "/var/log/app/*.log", true);
        check("/var/log/**", "/var/log/**/*.log", true);
        check("/var/log/**", "/var/log/../../etc/shadow", false);
        check("/var/log/**", "/var/*/shadow", false);
        check("/var/log/**", "/var/logs/a", false);
        check("/var/log/**", "/etc/shadow", false);
        check("/var/log/*", "/var/log/a.log", true);
        check("/var/log/*", "/var/log/*.log", true);
        check("/var/log/*", "/var/log/app/a.log", false);
        check("/var/log/*", "/var/log/**", false);
        check("/var/log/app-*.log", "/var/log/app-1.log", true);
        check("/var/log/app-*.log", "/var/log/app-*.log", true);
        check("/var/log/app-*.log", "/var/log/*.log", false);
        check("/var/*/app/**", "/var/log/app/x", false);
        // No pattern but `**` stands for a `/`.
        check("/home/*/app.log", "/home/alice/app.log", true);
        check("/home/*/app.log", "/home/alice/private/app.log", false);
        check("/srv/app-*.log", "/srv/app-x/secret/key.log", false);
        check("/*.log", "/root/secret.log", false);
        check("/data/app?log", "/data/app/log", false);
        check("/srv/[!a]*", "/srv/b/c", false);
        check("/srv/**/x.log", "/srv/a/b/x.log", true);
        check("/a", "/a", true);
        check("/**", "/etc/**", true);
        let nowhere = terms(&["shop"], Some(&[]));
        assert!(nowhere.read("inputs: [{paths: [/a]}]").is_err());
    }
}
