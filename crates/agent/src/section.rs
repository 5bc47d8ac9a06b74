//! Settings of the agent: as written by people, and validated.

use std::path::Path;
use std::time::Duration;

use glob::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::transport::Endpoint;
use weir_auth::access_key::AccessKey;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::{DurationText, Problem, Problems, Secret, SizeText};
use weir_model::{ByteSize, IndexPrefix};

use crate::remote::RemoteSection;

/// Where an agent sends what it reads, and what it is called.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSection {
    /// The access key of this node, as `weir agent key create` prints it: with it the agent becomes one of an instance of
    /// weir, which says where its servers are and, without inputs in this file, what is read. It is needed once. Default:
    /// none.
    pub key: Option<Secret>,
    /// Where a server on this machine takes agents that have no key. Default: `http://127.0.0.1:8083`.
    pub server: Option<String>,
    /// What this agent is called; no two may be called the same. With a key it is a wish. Default: the name of the host.
    pub name: Option<String>,
    /// What the server may change.
    pub remote: RemoteSection,
    /// How long inputs of the server have to run before they count as good. Default: `10s`.
    pub probation: Option<DurationText>,
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

impl InputKind {
    /// As settings have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
        }
    }
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
    pub access: Access,
    /// What the agent would like to be called.
    pub name: String,
    /// Where inputs of the server may read; absent: everywhere.
    pub remote_paths: Option<Vec<Pattern>>,
    pub probation: Duration,
    pub answer_timeout: Duration,
    pub retry: Backoff,
    pub inputs: Vec<FilesSettings>,
}

/// As whom the agent asks the server.
#[derive(Debug, Clone)]
pub enum Access {
    /// As anybody on the machine of the server.
    Open { endpoint: Box<Endpoint>, name: String },
    /// As an agent of an instance.
    Enrolled {
        /// Absent for a node that is an agent already.
        key: Option<Box<AccessKey>>,
    },
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
    pub fn validate(
        raw: &AgentSection,
        inputs: Vec<FilesSettings>,
        host: &str,
        node: Node,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
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
        let remote_paths = problems.take("remote", raw.remote.validate()).flatten();
        let probation = raw.probation.map_or(Duration::from_secs(10), DurationText::duration);
        match (access(raw, &name, node, &mut problems), retry) {
            (Some(access), Ok(retry)) => {
                problems.or(Self { access, name, remote_paths, probation, answer_timeout, retry, inputs })
            }
            _ => Err(problems),
        }
    }
}

/// Who the node is before the agent starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    Unknown,
    /// It was enrolled before.
    Enrolled,
}

fn access(raw: &AgentSection, name: &str, node: Node, problems: &mut Problems) -> Option<Access> {
    let Some(key) = &raw.key else {
        if node == Node::Enrolled {
            return Some(Access::Enrolled { key: None });
        }
        let endpoint = Box::new(endpoint(raw, problems)?);
        return Some(Access::Open { endpoint, name: name.to_owned() });
    };
    if raw.server.is_some() {
        problems
            .push(Problem::at("server", "is for agents without a key: the key says where the servers are"));
    }
    match key.reveal().parse() {
        Ok(key) => Some(Access::Enrolled { key: Some(Box::new(key)) }),
        Err(error) => {
            problems.push(Problem::at("key", error.to_string()));
            None
        }
    }
}

fn endpoint(raw: &AgentSection, problems: &mut Problems) -> Option<Endpoint> {
    let server = raw.server.as_deref().unwrap_or(SERVER);
    match Endpoint::from_shared(server.to_owned()) {
        Ok(endpoint) if server.starts_with("http://") => Some(endpoint),
        _ => {
            problems.push(Problem::at("server", format!("`{server}` is no address such as `{SERVER}`")));
            None
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
