//! Settings of the agent: as written by people, and validated.

mod inputs;
mod process;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tonic::transport::Endpoint;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::{DurationText, Problem, Problems};

pub use self::inputs::{FilesSettings, InputKind, InputSection, StartAt};
pub use self::process::{
    ConditionSection, FieldsSection, FormatName, LanguageName, MultilineSection, ParserName, ParserSection,
    SampleSection, TimeSection,
};

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

/// The validated [`AgentSection`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Endpoint,
    pub name: String,
    pub answer_timeout: Duration,
    pub retry: Backoff,
    pub inputs: Vec<FilesSettings>,
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
