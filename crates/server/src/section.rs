//! Settings of the server: as people write them, and validated.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_foundation::tls::{TlsSection, TlsSettings};

/// Limits of searches and tails, so that they can not starve what comes in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// How long a search may take, its wait in the queue included. Default: `30s`.
    pub search_timeout: Option<DurationText>,
    /// Working memory of one search. Default: `128MiB`.
    pub search_memory: Option<SizeText>,
    /// How many searches run at once; one whose answer is not read yet counts. Default: `2`.
    pub searches_running: Option<usize>,
    /// How many more searches wait for their turn; the next one is told to try again. Default: `32`.
    pub searches_waiting: Option<usize>,
    /// How many tails may be open. Default: `64`.
    pub tails: Option<usize>,
    /// How many events the reader of a tail may be behind before it is taken to the end. Default: `100000`.
    pub tail_lag: Option<u64>,
    /// The gRPC address of a producer, as `http://host:8082` or `https://host:8082`: `weir server` replays through it what came by gRPC or
    /// barito-flow's REST, and nothing of that without it. `weir up` has doors of its own. Default: none.
    pub producer_grpc_url: Option<String>,
    /// The HTTP address of a producer, as `http://host:8080` or `https://host:8080`: the same for what came by weir's own
    /// HTTP door, such as from `weir send`. Default: none.
    pub producer_http_url: Option<String>,
    /// PEM file with the CAs by which the certificate of that producer is known, where it is not one of this instance.
    /// Default: none.
    pub producer_ca_file: Option<PathBuf>,
}

/// The validated [`ServerSection`].
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub search_timeout: Duration,
    /// Bytes.
    pub search_memory: usize,
    pub searches_running: usize,
    pub searches_waiting: usize,
    pub tails: usize,
    /// Events.
    pub tail_lag: u64,
    /// Has a scheme and a host.
    pub producer_grpc_url: Option<Uri>,
    /// Likewise.
    pub producer_http_url: Option<Uri>,
    /// Absent where its certificate is one of this instance.
    pub producer_tls: Option<TlsSettings>,
}

/// Below this not even one row group can be looked at.
const LEAST_MEMORY: usize = 1 << 20;

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            search_timeout: Duration::from_secs(30),
            search_memory: 128 << 20,
            searches_running: 2,
            searches_waiting: 32,
            tails: 64,
            tail_lag: 100_000,
            producer_grpc_url: None,
            producer_http_url: None,
            producer_tls: None,
        }
    }
}

impl ServerSettings {
    /// Finds every problem; paths are relative to the section.
    pub fn validate(raw: &ServerSection) -> Result<Self, Problems> {
        let default = Self::default();
        let memory = raw.search_memory.map(|size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
        let mut problems = Problems::default();
        let producer_grpc_url = url("producer_grpc_url", raw.producer_grpc_url.as_deref(), &mut problems);
        let producer_http_url = url("producer_http_url", raw.producer_http_url.as_deref(), &mut problems);
        let ca = raw.producer_ca_file.clone().map(|ca_file| {
            let section = TlsSection { ca_file: Some(ca_file), ..TlsSection::default() };
            TlsSettings::validate(&section)
        });
        let ca = problems.take("producer_ca_file", ca.transpose());
        let settings = Self {
            search_timeout: raw.search_timeout.map_or(default.search_timeout, DurationText::duration),
            search_memory: memory.unwrap_or(default.search_memory),
            searches_running: raw.searches_running.unwrap_or(default.searches_running),
            searches_waiting: raw.searches_waiting.unwrap_or(default.searches_waiting),
            tails: raw.tails.unwrap_or(default.tails),
            tail_lag: raw.tail_lag.unwrap_or(default.tail_lag),
            producer_grpc_url,
            producer_http_url,
            producer_tls: ca.flatten(),
        };
        if settings.search_timeout.is_zero() {
            problems.push(Problem::at("search_timeout", "must be longer than zero"));
        }
        if settings.search_memory < LEAST_MEMORY {
            problems.push(Problem::at("search_memory", "must be at least `1MiB`"));
        }
        if settings.searches_running == 0 {
            problems.push(Problem::at("searches_running", "must be at least 1, or nothing is ever found"));
        }
        problems.or(settings)
    }
}

fn url(field: &str, text: Option<&str>, problems: &mut Problems) -> Option<Uri> {
    let text = text?;
    let is_good = |url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() && url.path() == "/"
    };
    let url = text.parse().ok().filter(is_good);
    if url.is_none() {
        let message = format!("`{text}` is not an address such as `http://host:8082`");
        problems.push(Problem::at(field, message));
    }
    url
}

#[cfg(test)]
mod tests {
    use weir_foundation::settings::documented_defaults;

    use super::*;

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: ServerSection = documented_defaults();
        let validated = ServerSettings::validate(&documented).expect("are valid");
        assert_eq!(format!("{validated:?}"), format!("{:?}", ServerSettings::default()));
    }

    #[test]
    fn every_problem_is_named() {
        let raw = ServerSection {
            search_timeout: Some(DurationText::from_secs(0)),
            search_memory: Some(SizeText::from_bytes(1)),
            searches_running: Some(0),
            producer_grpc_url: Some("host:8082".to_owned()),
            producer_http_url: Some("ftp://host/".to_owned()),
            ..ServerSection::default()
        };
        let problems = ServerSettings::validate(&raw).expect_err("five of them are wrong");
        insta::assert_snapshot!(problems, @r"
        producer_grpc_url: `host:8082` is not an address such as `http://host:8082`
        producer_http_url: `ftp://host/` is not an address such as `http://host:8082`
        search_timeout: must be longer than zero
        search_memory: must be at least `1MiB`
        searches_running: must be at least 1, or nothing is ever found
        ");
    }
}
