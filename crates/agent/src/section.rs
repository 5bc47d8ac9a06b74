//! Settings of the agent: as written by people, and validated.

mod inputs;
mod process;

use std::time::Duration;

use glob::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::transport::Endpoint;
use weir_auth::access_key::AccessKey;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::{DurationText, Problem, Problems, Secret};

pub use self::inputs::{FilesSettings, InputKind, InputSection, StartAt};
pub use self::process::{
    ConditionSection, FieldsSection, FormatName, LanguageName, MultilineSection, ParserName, ParserSection,
    SampleSection, TimeSection,
};

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
            if raw.server.is_some() {
                let message =
                    "is for agents without a key: this one has joined, and was told where its servers are";
                problems.push(Problem::at("server", message));
            }
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
