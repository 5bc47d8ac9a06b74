//! The settings of an agent, which shares none with the other roles: it lives on other machines.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use weir_agent::{AgentSection, FilesSettings, InputSection, Node};
use weir_foundation::listen::Exposure;
use weir_foundation::settings::env::{Alias, CONFIG, KEY};
use weir_foundation::settings::{
    Environment, FlagValue, Loaded, Problem, Problems, Sources, WrongAliases, load,
};
use weir_foundation::supervise::{DrainDeadlines, DrainSection};
use weir_foundation::telemetry::{LogSection, LogSettings};

use super::section::{check_reach, exposure, loopback};

/// The settings of `weir agent run`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAgentSettings {
    /// Where the agent keeps how far it is; made with mode 0700 if it is not there. Default: `weir-agent-data`.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) agent: AgentSection,
    /// What is read.
    pub(crate) inputs: Vec<InputSection>,
    pub(crate) listen: AgentListenSection,
    pub(crate) log: LogSection,
    pub(crate) drain: DrainSection,
}

/// Where an agent can be reached.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentListenSection {
    /// Address for operators: health, status and metrics. Default: `127.0.0.1:8009`.
    pub(crate) ops: Option<SocketAddr>,
    /// Whether it may be one that other machines can reach. Default: `false`.
    pub(crate) allow_public: Option<bool>,
}

/// Everything that an agent needs, validated.
#[derive(Debug, Clone)]
pub(crate) struct AgentSettings {
    pub(crate) data_dir: PathBuf,
    pub(crate) agent: weir_agent::Settings,
    pub(crate) ops: SocketAddr,
    pub(crate) exposure: Exposure,
    pub(crate) log: LogSettings,
    pub(crate) drain: DrainDeadlines,
}

const DATA_DIR: &str = "weir-agent-data";

impl AgentSettings {
    /// Reads all layers and validates every section, so that all problems are known at once.
    pub(crate) fn read(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[FlagValue],
        host: &str,
    ) -> Result<Self, Problems> {
        let named = environment.get(CONFIG).map(PathBuf::from);
        let file = file.or(named.as_deref());
        let wrong_aliases = WrongAliases::Refused;
        // As with an unset variable in the file of a unit.
        let given = |key: &str| Ok((!key.trim().is_empty()).then(|| key.to_owned()));
        let aliases = &[Alias { name: KEY, path: "agent.key", convert: given }];
        let sources =
            Sources { presets: &[], implied: &[], file, environment, aliases, wrong_aliases, flags };
        let mut loaded: Loaded<RawAgentSettings> = load(sources);
        let settings = validate(&mut loaded, host);
        loaded.finish().and_then(|_| settings.ok_or_else(super::unexplained))
    }
}

/// The inputs of a file that an agent may be started with, or be told by its server; and what the file calls the agent.
pub(crate) fn read_inputs(file: &Path) -> Result<(Vec<FilesSettings>, Option<String>), Problems> {
    let mut loaded: Loaded<RawAgentSettings> = load(Sources {
        presets: &[],
        implied: &[],
        file: Some(file),
        environment: &Environment::default(),
        aliases: &[],
        wrong_aliases: WrongAliases::Refused,
        flags: &[],
    });
    let inputs = loaded.section("inputs", |raw| weir_agent::of_any_agent(&raw.inputs));
    let raw = loaded.finish()?;
    Ok((inputs.ok_or_else(super::unexplained)?, raw.agent.name))
}

fn validate(loaded: &mut Loaded<RawAgentSettings>, host: &str) -> Option<AgentSettings> {
    let data_dir = loaded.raw.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR));
    let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
    let node = if weir_agent::is_enrolled(&data_dir) { Node::Enrolled } else { Node::Unknown };
    // The server says what is read where nothing is said here.
    let is_told = loaded.raw.inputs.is_empty() && (node == Node::Enrolled || loaded.raw.agent.key.is_some());
    let inputs = loaded.section("inputs", |raw| match (is_told, raw.inputs.is_empty()) {
        (true, _) => Ok(Vec::new()),
        (false, false) => FilesSettings::validate_all(&raw.inputs),
        (false, true) => Err(nothing_to_do().into()),
    });
    let known = inputs.clone().unwrap_or_default();
    let agent = loaded.section("agent", |raw| weir_agent::Settings::validate(&raw.agent, known, host, node));
    let listen = loaded.section("listen", |raw| raw.listen.validate());
    let log = loaded.section("log", |raw| LogSettings::validate(&raw.log));
    let drain = loaded.section("drain", |raw| DrainDeadlines::validate(&raw.drain));
    inputs?;
    let (ops, exposure) = listen?;
    Some(AgentSettings { data_dir, agent: agent?, ops, exposure, log: log?, drain: drain? })
}

/// What a node has that was told nothing.
fn nothing_to_do() -> Problem {
    let hint = format!(
        "set `{KEY}` or `--key-file` to the access key of this node, which `weir agent key create` prints, or name a \
         file with `inputs:` by `--config`"
    );
    Problem::at("", "must have at least one: this node has no access key either, and has joined no server")
        .hint(hint)
}

impl AgentListenSection {
    fn validate(&self) -> Result<(SocketAddr, Exposure), Problems> {
        let ops = self.ops.unwrap_or(loopback(8009));
        let exposure = exposure(self.allow_public);
        let mut problems = Problems::default();
        check_reach(&mut problems, "ops", ops, exposure);
        problems.or((ops, exposure))
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::settings::{documented_defaults, json_schema, reference_page};

    use super::*;
    use crate::settings::tests::is_committed;

    #[test]
    fn the_documented_defaults_are_the_real_ones() {
        let documented: AgentSection = documented_defaults();
        let read = |raw: &AgentSection| {
            format!("{:?}", weir_agent::Settings::validate(raw, Vec::new(), "web-3", Node::Unknown))
        };
        assert_eq!(read(&documented), read(&AgentSection::default()));
        let input = |raw: InputSection| {
            let named = InputSection { app: Some("shop".into()), paths: vec!["/a".into()], ..raw };
            FilesSettings::validate_all(&[named])
        };
        assert_eq!(input(documented_defaults()), input(InputSection::default()));
        let documented: AgentListenSection = documented_defaults();
        assert_eq!(documented.validate(), AgentListenSection::default().validate());
    }

    #[test]
    fn the_reference_is_committed() {
        is_committed("docs/reference/agent.md", &reference_page::<RawAgentSettings>(&[]));
        let schema = serde_json::to_string_pretty(&json_schema::<RawAgentSettings>()).expect("is JSON");
        is_committed("docs/reference/agent.schema.json", &format!("{schema}\n"));
    }

    fn read(text: &str) -> Result<AgentSettings, String> {
        let directory = tempfile::tempdir().expect("there is space");
        let file = directory.path().join("agent.yaml");
        std::fs::write(&file, text).expect("there is space");
        let outcome = AgentSettings::read(Some(&file), &Environment::default(), &[], "web-3");
        let folder = format!("{}/", directory.path().display());
        outcome.map_err(|problems| problems.to_string().replace(&folder, ""))
    }

    #[test]
    fn a_file_is_enough() {
        let text = "inputs:\n  - {kind: files, app: shop, paths: [/var/log/app/*.log], max_line: 64KiB}\n";
        let settings = read(text).expect("it is good");
        assert_eq!((settings.agent.name.as_str(), settings.ops.port()), ("web-3", 8009));
        let [input] = settings.agent.inputs.as_slice() else { unreachable!("{:?}", settings.agent.inputs) };
        assert_eq!((input.app.as_str(), input.max_line.bytes()), ("shop", 64 << 10));
        assert!(settings.data_dir.is_absolute());
    }

    #[test]
    fn every_problem_is_named() {
        insta::assert_snapshot!(read("").expect_err("nothing is read"));
        insta::assert_snapshot!(
            read(
                "agent: {server: web, name: '', retry_longest: 1ms}\nlisten: {ops: 0.0.0.0:8009}\ninputs:\n  \
                 - {app: 'No App', paths: [], exclude: ['[']}\n  - {app: shop, paths: [app.log, '/a**'], max_line: 1MiB, \
                 scan_interval: 0s}\n"
            )
            .expect_err("all of it is wrong")
        );
        insta::assert_snapshot!(
            read("inputs: [{app: shop, path: [/var/log/a.log]}]").expect_err("it is misspelt")
        );
    }

    #[test]
    fn what_becomes_of_lines_can_be_said() {
        let text = r#"
inputs:
  - app: shop
    paths: [/var/log/pods/*/*/*.log]
    format: cri
    multiline: {presets: [java, go, python], timeout: 2s}
    parser: {kind: json, time: {field: ts, format: unix_ms}}
    drop: [{field: level, equals: debug}, {field: status, above: 199, below: 300}]
    sample: {one_in: 10, unless: [{field: level, matches: '^(warn|error)'}]}
    fields: {add: {env: prod, shard: 7, canary: true}, remove: [pid], rename: {msg: message}}
    max_lines_per_second: 1000
  - app: web
    paths: [/var/log/nginx/*.log]
    encoding: latin1
    host: false
    multiline: {start: '^\S'}
    parser:
      kind: regex
      pattern: '^(?P<ip>\S+) \[(?P<at>[^\]]+)\] (?P<rest>.*)$'
      keep_original: true
      time: {field: at, format: '%d/%b/%Y:%H:%M:%S %z'}
"#;
        read(text).expect("it is good");
    }

    #[test]
    fn what_is_wrong_with_what_becomes_of_lines_is_named() {
        let text = r#"
inputs:
  - app: shop
    paths: [/a]
    format: crii
    encoding: klingon
    multiline: {start: '(', continue: '', timeout: 0s, presets: [cobol]}
    parser: {kind: regex, pattern: '((a{1,200}){1,200}){1,200}', time: {format: '%H:%M', zone: Mars/Olympus}}
    drop: [{field: '', equals: [1]}, {field: a}, {field: a, matches: '[', color: red}]
    sample: {one_in: 0, unless: [{exists: true}]}
    fields: {add: {a: {b: 1}, '': 1}, remove: [''], rename: {a: ''}}
    max_lines_per_second: 0
  - app: shop
    paths: [/b]
    multiline: {start: a, continue: b}
    parser: {kind: regex}
    sample: {unless: [{field: a, exists: true}]}
  - app: shop
    paths: [/c]
    parser: {pattern: a, time: {field: b, format: someday}}
    max_lines_per_second: many
  - app: shop
    paths: [/d]
    parser: {kind: regex, pattern: 'no (names)', time: {format: rfc3339}}
"#;
        insta::assert_snapshot!(read(text).expect_err("much of it is wrong"));
    }
}
