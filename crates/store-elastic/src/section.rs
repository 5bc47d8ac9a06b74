//! The settings of the store.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;
use weir_foundation::retry::{Attempts, Backoff, BackoffError};
use weir_foundation::settings::{DurationText, Problem, Problems, Secret, SizeText};
use weir_foundation::tls::{TlsSection, TlsSettings};
use weir_model::ByteSize;
use weir_store::segment::FilingWindow;

/// The index store over Elasticsearch or OpenSearch, as written in the settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ElasticSection {
    /// The nodes, as `http://host:9200` or `https://user:password@host`. With `consul_service` they are where
    /// weir begins if Consul does not answer at its start. Default: `http://localhost:9200`, with
    /// `consul_service` none.
    pub urls: Option<Vec<String>>,
    /// The service under which the nodes are registered in Consul (`consul.url`), with `http` or `https` as
    /// `http_schema` in their metadata. weir follows them as they move. Default: none.
    pub consul_service: Option<String>,
    /// User for basic authentication. Default: none.
    pub username: Option<String>,
    /// Its password. Default: none.
    pub password: Option<Secret>,
    /// API key in its encoded form, instead of a user. Default: none.
    pub api_key: Option<Secret>,
    /// Certificates, with `https`.
    pub tls: TlsSection,
    /// `daily`: an index per prefix and day, written by bulks. `single`: the same, one request per event.
    /// `data-stream`: a data stream per prefix. Default: `daily`.
    pub mode: Option<IndexMode>,
    /// What a document is: `weir`, or `barito`, which adds nothing but `@timestamp` and files by the day of
    /// receipt. Default: `weir`.
    pub documents: Option<Documents>,
    /// Stands before the name of every index. Default: empty.
    pub namespace: Option<String>,
    /// Component template of the templates that are made for data streams, where it exists.
    /// Default: `barito-default-replica`.
    pub component_template: Option<String>,
    /// Documents at which a bulk is sent. Default: `5000`.
    pub bulk_documents: Option<u32>,
    /// Bytes at which a bulk is sent, before compression. Default: `2MiB`.
    pub bulk_bytes: Option<SizeText>,
    /// How long a bulk waits for more documents. Default: `200ms`.
    pub linger: Option<DurationText>,
    /// Requests with documents at a time. One index has at most half of what the others leave. Default: `8`.
    pub requests: Option<u32>,
    /// Memory for documents that are not yet answered. Default: `16MiB`.
    pub buffer: Option<SizeText>,
    /// How hard bodies are compressed, 1 to 9; 0 is not at all. Default: `1`.
    pub gzip_level: Option<u32>,
    /// Longest wait for a connection. Default: `5s`.
    pub connect_timeout: Option<DurationText>,
    /// Longest wait for an answer; then the request is repeated. Default: `60s`.
    pub request_timeout: Option<DurationText>,
    /// The longest first pause after a failure. Default: `200ms`.
    pub retry_first: Option<DurationText>,
    /// Pauses double up to this and stay there; attempts never end. Default: `30s`.
    pub retry_longest: Option<DurationText>,
    /// How long before its receipt an event's time may lie and still name its index. Default: `365d`.
    pub oldest_time: Option<DurationText>,
    /// How long after its receipt an event's time may lie and still name its index. Default: `1d`.
    pub newest_time: Option<DurationText>,
    /// How old daily indices may become, by the day in their names; `weir server` removes older ones. Of indices that
    /// others name alike it removes none, as far as it can tell by the documents. Default: kept for ever.
    pub keep_for: Option<DurationText>,
    /// After a partition was assigned, its events are looked up before they go to a data stream, until this much
    /// of them in a row was not there. At least what a consumer takes at a time (`consumer.batch`).
    /// Default: `16MiB`.
    pub recheck: Option<SizeText>,
}

/// Where documents go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IndexMode {
    /// `<prefix>-YYYY.MM.DD`, by `_bulk`.
    #[default]
    Daily,
    /// The same, one request per document.
    Single,
    /// The data stream `<prefix>`, by `_bulk`.
    DataStream,
}

/// What a document is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Documents {
    /// With an object `weir`; filed under the day of the event's time.
    #[default]
    Weir,
    /// As barito-flow writes it; filed under the day of receipt.
    Barito,
}

/// The validated [`ElasticSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the fields of the section")]
pub struct Settings {
    /// Without what they said of users, each ending in `/`. None where Consul is yet to be asked.
    pub nodes: Vec<Node>,
    /// Of nodes that say nothing else.
    pub credentials: Credentials,
    pub consul_service: Option<String>,
    pub tls: TlsSettings,
    pub mode: IndexMode,
    pub documents: Documents,
    pub namespace: String,
    pub component_template: String,
    pub bulk_documents: usize,
    pub bulk_bytes: usize,
    pub linger: Duration,
    pub requests: usize,
    pub buffer: usize,
    pub gzip_level: u32,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub retry: Backoff,
    pub filing: FilingWindow,
    /// Absent means for ever.
    pub keep_for: Option<Duration>,
    pub recheck: usize,
}

/// One node and who it is told that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Ends in `/`.
    pub url: Url,
    /// Said in every request.
    pub credentials: Credentials,
}

/// Who a node is told that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Credentials {
    None,
    Basic { username: String, password: Secret },
    ApiKey(Secret),
}

const LONGEST_NAMESPACE: usize = 40;
const SHORTEST_KEEP: Duration = Duration::from_secs(86_400);

impl Settings {
    /// Checks the section.
    pub fn validate(raw: &ElasticSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let credentials = problems.take("", credentials(raw)).unwrap_or(Credentials::None);
        let nodes = problems.take("", nodes(raw, &credentials)).unwrap_or_default();
        let tls = problems.take("tls", TlsSettings::validate(&raw.tls)).unwrap_or_default();
        let retry = problems.take("", retry(raw));
        let namespace = raw.namespace.clone().unwrap_or_default();
        if !legal_namespace(&namespace) {
            let message = format!(
                "must be at most {LONGEST_NAMESPACE} characters of `a-z 0-9 . _ -`, not starting with `. _ -`"
            );
            problems.push(Problem::at("namespace", message));
        }
        let bulk_documents = count(raw.bulk_documents, 5_000, "bulk_documents", &mut problems);
        let requests = count(raw.requests, 8, "requests", &mut problems);
        let bulk_bytes = bytes(raw.bulk_bytes, ByteSize::mib(2));
        let buffer = bytes(raw.buffer, ByteSize::mib(16));
        if bulk_bytes == 0 {
            problems.push(Problem::at("bulk_bytes", "must not be nothing"));
        }
        if buffer < bulk_bytes.saturating_mul(2) {
            problems.push(Problem::at("buffer", "must be at least twice `bulk_bytes`"));
        }
        let gzip_level = raw.gzip_level.unwrap_or(1);
        if gzip_level > 9 {
            problems.push(Problem::at("gzip_level", format!("must be 0 to 9, is {gzip_level}")));
        }
        check_keep_for(raw, &mut problems);
        let duration =
            |text: Option<DurationText>, default| text.map_or(default, |text: DurationText| text.duration());
        let filing = FilingWindow::default();
        let Some(retry) = retry else { return Err(problems) };
        problems.or(Self {
            nodes,
            credentials,
            consul_service: consul_service(raw),
            tls,
            mode: raw.mode.unwrap_or_default(),
            documents: raw.documents.unwrap_or_default(),
            namespace,
            component_template: raw
                .component_template
                .clone()
                .unwrap_or_else(|| "barito-default-replica".to_owned()),
            bulk_documents,
            bulk_bytes,
            linger: duration(raw.linger, Duration::from_millis(200)),
            requests,
            buffer,
            gzip_level,
            connect_timeout: duration(raw.connect_timeout, Duration::from_secs(5)),
            request_timeout: duration(raw.request_timeout, Duration::from_secs(60)),
            retry,
            filing: FilingWindow {
                before: duration(raw.oldest_time, filing.before),
                after: duration(raw.newest_time, filing.after),
            },
            keep_for: raw.keep_for.map(DurationText::duration),
            recheck: bytes(raw.recheck, ByteSize::mib(16)),
        })
    }

    /// The nodes at these addresses. What is no URL is passed over and told.
    #[must_use]
    pub fn nodes_at(&self, urls: &[String]) -> Vec<Node> {
        let node = |url: &String| match node(url, &self.credentials) {
            Ok(node) => Some(node),
            Err(why) => {
                tracing::warn!(why, "a node can not be reached under the address that is told for it");
                None
            }
        };
        urls.iter().filter_map(node).collect()
    }
}

fn consul_service(raw: &ElasticSection) -> Option<String> {
    raw.consul_service.clone().filter(|name| !name.is_empty())
}

/// What would be removed at once, or could never be.
fn check_keep_for(raw: &ElasticSection, problems: &mut Problems) {
    let Some(keep_for) = raw.keep_for else { return };
    if keep_for.duration() < SHORTEST_KEEP {
        problems.push(Problem::at("keep_for", "must be at least `1d`: indices are removed by whole days"));
    }
    if raw.mode == Some(IndexMode::DataStream) {
        let message = "is of daily indices: the store itself removes what is old of a data stream";
        problems.push(Problem::at("keep_for", message));
    }
}

fn bytes(text: Option<SizeText>, default: ByteSize) -> usize {
    text.map_or(default, |text| ByteSize(text.bytes())).as_usize()
}

fn count(given: Option<u32>, default: u32, field: &str, problems: &mut Problems) -> usize {
    let count = given.unwrap_or(default);
    if count == 0 {
        problems.push(Problem::at(field, "must be at least 1"));
    }
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn legal_namespace(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    name.len() <= LONGEST_NAMESPACE && name.chars().all(legal) && !name.starts_with(['.', '_', '-'])
}

fn credentials(raw: &ElasticSection) -> Result<Credentials, Problems> {
    let secret = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.reveal().is_empty());
    let username = raw.username.clone().filter(|name| !name.is_empty());
    match (username, secret(&raw.password), secret(&raw.api_key)) {
        (None, None, None) => Ok(Credentials::None),
        (None, None, Some(key)) => Ok(Credentials::ApiKey(key)),
        (username, password, None) => Ok(Credentials::Basic {
            username: username.unwrap_or_default(),
            password: password.unwrap_or_else(|| Secret::new("")),
        }),
        (_, _, Some(_)) => Err(Problem::at("api_key", "stands instead of `username` and `password`").into()),
    }
}

fn nodes(raw: &ElasticSection, common: &Credentials) -> Result<Vec<Node>, Problems> {
    let default = || match consul_service(raw) {
        Some(_) => Vec::new(),
        None => vec!["http://localhost:9200".to_owned()],
    };
    let mut problems = Problems::default();
    let mut nodes = Vec::new();
    for text in raw.urls.clone().unwrap_or_else(default) {
        match node(&text, common) {
            Ok(node) => nodes.push(node),
            // Without the text, which may have a password in it.
            Err(why) => problems.push(Problem::at("urls", format!("node {}: {why}", nodes.len() + 1))),
        }
    }
    if nodes.is_empty() && problems.is_empty() && consul_service(raw).is_none() {
        problems.push(Problem::at("urls", "must name at least one node"));
    }
    problems.or(nodes)
}

fn node(text: &str, common: &Credentials) -> Result<Node, &'static str> {
    let mut url = Url::parse(text).map_err(|_malformed| "is no URL such as `http://host:9200`")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must begin with `http://` or `https://` and a host");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither `?` nor `#`");
    }
    let own = match (url.username(), url.password()) {
        ("", None) => None,
        (username, password) => Some(Credentials::Basic {
            username: unescape(username),
            password: Secret::new(unescape(password.unwrap_or_default())),
        }),
    };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| "can have no user")?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(Node { url, credentials: own.unwrap_or_else(|| common.clone()) })
}

/// `%41` is `A`; what is no such escape stays.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped =
            behind.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn retry(raw: &ElasticSection) -> Result<Backoff, Problems> {
    let first = raw.retry_first.unwrap_or(DurationText::from_millis(200)).duration();
    let longest = raw.retry_longest.unwrap_or(DurationText::from_secs(30)).duration();
    Backoff::new(first, longest, Attempts::Unlimited).map_err(|error| {
        let field = match error {
            BackoffError::ZeroFirst => "retry_first",
            BackoffError::LongestBelowFirst { .. } => "retry_longest",
        };
        Problem::at(field, error.to_string()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: ElasticSection = weir_foundation::settings::documented_defaults();
        assert_eq!(Settings::validate(&documented), Settings::validate(&ElasticSection::default()));
    }

    #[test]
    fn nodes_that_consul_tells_have_the_credentials_of_all() {
        let raw = ElasticSection {
            consul_service: Some("es".to_owned()),
            api_key: Some(Secret::new("key")),
            ..ElasticSection::default()
        };
        let settings = Settings::validate(&raw).expect("is valid");
        assert_eq!(settings.nodes, []);
        let found = settings.nodes_at(&["http://10.0.0.1:9200".to_owned(), "http://a b:9200".to_owned()]);
        let found: Vec<_> = found.iter().map(|node| (node.url.as_str(), node.credentials.clone())).collect();
        assert_eq!(found, [("http://10.0.0.1:9200/", Credentials::ApiKey(Secret::new("key")))]);
    }

    #[test]
    fn names_every_problem() {
        let raw = ElasticSection {
            urls: Some(vec![
                "localhost".to_owned(),
                "http://a".to_owned(),
                "ftp://b".to_owned(),
                "http://c/?x".to_owned(),
            ]),
            username: Some("jo".to_owned()),
            api_key: Some(Secret::new("key")),
            tls: TlsSection { key_file: Some("key.pem".into()), ..TlsSection::default() },
            namespace: Some("-x".to_owned()),
            bulk_documents: Some(0),
            requests: Some(0),
            buffer: Some(SizeText::from_bytes(1)),
            gzip_level: Some(10),
            mode: Some(IndexMode::DataStream),
            keep_for: Some(DurationText::from_secs(60)),
            retry_first: Some(DurationText::from_secs(0)),
            ..ElasticSection::default()
        };
        let problems = Settings::validate(&raw).expect_err("is refused").to_string();
        let fields: Vec<_> =
            problems.lines().filter_map(|line| line.split_once(": ")).map(|(field, _)| field).collect();
        let expected = [
            "api_key",
            "urls",
            "urls",
            "urls",
            "tls.cert_file",
            "retry_first",
            "namespace",
            "bulk_documents",
            "requests",
            "buffer",
            "gzip_level",
            "keep_for",
            "keep_for",
        ];
        assert_eq!(fields, expected, "{problems}");
    }

    #[test]
    fn a_user_in_a_url_is_taken_out_of_it() {
        let raw = ElasticSection {
            urls: Some(vec![
                "https://jo:s%40crat@es.example:9243/behind".to_owned(),
                "http://other".to_owned(),
            ]),
            username: Some("ann".to_owned()),
            ..ElasticSection::default()
        };
        let settings = Settings::validate(&raw).expect("is valid");
        let basic = |username: &str, password: &str| Credentials::Basic {
            username: username.to_owned(),
            password: Secret::new(password),
        };
        let found: Vec<_> =
            settings.nodes.iter().map(|node| (node.url.as_str(), node.credentials.clone())).collect();
        assert_eq!(
            found,
            [("https://es.example:9243/behind/", basic("jo", "s@crat")), ("http://other/", basic("ann", "")),]
        );
    }
}
