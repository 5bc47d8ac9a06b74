//! Settings of the agent: as written by people, and validated.

use std::path::Path;
use std::time::Duration;

use glob::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::transport::Endpoint;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_model::{ByteSize, IndexPrefix};

/// Where an agent sends what it reads, and what it is called.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSection {
    /// Where the server takes agents. Default: `http://127.0.0.1:8083`.
    pub server: Option<String>,
    /// What this agent is called; no two may be called the same. Default: the name of the host.
    pub name: Option<String>,
    /// How long an answer of the server is waited for before the connection is made anew. Default: `60s`.
    pub answer_timeout: Option<DurationText>,
    /// The longest pause between attempts to connect. Default: `30s`.
    pub retry_longest: Option<DurationText>,
}

/// Something that is read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// What it is. Default: `files`.
    pub kind: Option<InputKind>,
    /// Whose events it brings.
    pub app: Option<String>,
    /// Files, by patterns such as `/var/log/app/*.log`; `**` stands for any number of folders.
    pub paths: Vec<String>,
    /// Patterns of files that are not read all the same. Default: none.
    pub exclude: Option<Vec<String>>,
    /// Where a file begins that is there when its pattern is looked for for the first time; files that come later begin at
    /// their beginning. Default: `beginning`.
    pub start_at: Option<StartAt>,
    /// The longest event, at most `512KiB`; a line that is longer becomes several. Default: `256KiB`.
    pub max_line: Option<SizeText>,
    /// How often new files and new lines are looked for. Default: `1s`.
    pub scan_interval: Option<DurationText>,
    /// How long a file is read on that has another name now or none, after its last line. Default: `10s`.
    pub close_after: Option<DurationText>,
}

/// What an input is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// Lines of files.
    #[default]
    Files,
}

/// Where a file begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartAt {
    /// All of it is read.
    #[default]
    Beginning,
    /// What is written from now on is read.
    End,
}

/// The validated [`AgentSection`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Endpoint,
    pub name: String,
    pub answer_timeout: Duration,
    pub retry: Backoff,
    pub inputs: Vec<FilesSettings>,
}

/// An input that reads files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesSettings {
    pub app: String,
    pub paths: Vec<String>,
    pub exclude: Vec<Pattern>,
    pub start_at: StartAt,
    pub max_line: ByteSize,
    pub scan_interval: Duration,
    pub close_after: Duration,
}

const SERVER: &str = "http://127.0.0.1:8083";
const FIRST_RETRY: Duration = Duration::from_millis(200);

impl Settings {
    /// `host` is what the agent is called if nothing is said. Problems of the inputs are not among those that are
    /// given: see [`FilesSettings::validate_all`].
    pub fn validate(raw: &AgentSection, inputs: Vec<FilesSettings>, host: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let server = raw.server.as_deref().unwrap_or(SERVER);
        let endpoint = match Endpoint::from_shared(server.to_owned()) {
            Ok(endpoint) if server.starts_with("http://") => Some(endpoint),
            _ => {
                let message = format!("`{server}` is no address such as `{SERVER}`");
                problems.push(Problem::at("server", message));
                None
            }
        };
        let name = raw.name.clone().unwrap_or_else(|| host.to_owned());
        if name.is_empty() || name.len() > 200 {
            problems.push(Problem::at("name", "must have 1 to 200 bytes"));
        }
        let longest = raw.retry_longest.map_or(Duration::from_secs(30), DurationText::duration);
        let retry = Backoff::new(FIRST_RETRY, longest, Attempts::Unlimited);
        if let Err(error) = &retry {
            problems.push(Problem::at("retry_longest", error.to_string()));
        }
        let answer_timeout = raw.answer_timeout.map_or(Duration::from_secs(60), DurationText::duration);
        match (endpoint, retry) {
            (Some(server), Ok(retry)) => problems.or(Self { server, name, answer_timeout, retry, inputs }),
            _ => Err(problems),
        }
    }
}

impl FilesSettings {
    /// All inputs, of which there must be one.
    pub fn validate_all(raw: &[InputSection]) -> Result<Vec<Self>, Problems> {
        let mut problems = Problems::default();
        if raw.is_empty() {
            problems.push(Problem::at("", "must have at least one: there is nothing to read"));
        }
        let mut inputs = Vec::with_capacity(raw.len());
        for (index, input) in raw.iter().enumerate() {
            inputs.extend(problems.take(&format!("[{index}]"), Self::validate(input)));
        }
        problems.or(inputs)
    }

    fn validate(raw: &InputSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        // More kinds come with their issues.
        let InputKind::Files = raw.kind.unwrap_or_default();
        let app = raw.app.clone().unwrap_or_default();
        if let Err(illegal) = IndexPrefix::new(&app) {
            problems.push(Problem::at("app", format!("`{app}` is no name of an app: it {illegal}")));
        }
        if raw.paths.is_empty() {
            problems.push(Problem::at("paths", "must have at least one pattern"));
        }
        for (index, path) in raw.paths.iter().enumerate() {
            let at = format!("paths[{index}]");
            if pattern(&at, path, &mut problems).is_some() && !Path::new(path).is_absolute() {
                problems.push(Problem::at(at, format!("`{path}` must begin with `/`")));
            }
        }
        let mut exclude = Vec::new();
        for (index, path) in raw.exclude.iter().flatten().enumerate() {
            exclude.extend(pattern(&format!("exclude[{index}]"), path, &mut problems));
        }
        let max_line = raw.max_line.map_or(256 << 10, SizeText::bytes);
        if !(1_024..=512 << 10).contains(&max_line) {
            problems.push(Problem::at("max_line", "must be at least `1KiB` and at most `512KiB`"));
        }
        let scan_interval = raw.scan_interval.map_or(Duration::from_secs(1), DurationText::duration);
        if scan_interval.is_zero() {
            problems.push(Problem::at("scan_interval", "must be longer than zero"));
        }
        problems.or(Self {
            app,
            paths: raw.paths.clone(),
            exclude,
            start_at: raw.start_at.unwrap_or_default(),
            max_line: ByteSize(max_line),
            scan_interval,
            close_after: raw.close_after.map_or(Duration::from_secs(10), DurationText::duration),
        })
    }
}

fn pattern(at: &str, text: &str, problems: &mut Problems) -> Option<Pattern> {
    Pattern::new(text)
        .map_err(|error| problems.push(Problem::at(at, format!("`{text}` is no pattern: {error}"))))
        .ok()
}
