//! The HTTP client of the commands that ask a running weir.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::Environment;
use weir_server::api::{ErrorBody, ErrorDetail};

use crate::console::Misused;

/// Which weir to ask.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// HTTP address of weir [default: $WEIR_SERVER, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", value_parser = server_url)]
    pub(crate) server: Option<Url>,
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
}

/// Why weir gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no connection to weir at {server}")]
    Unreachable {
        server: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error("the answer of weir at {server} broke off")]
    Broken {
        server: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error("{message}", message = .0.detail.message)]
    Refused(Box<Refusal>),
    #[error("the answer of weir at {server} can not be read; is it of the same version?")]
    Unreadable {
        server: Url,
        #[source]
        source: serde_json::Error,
    },
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) detail: ErrorDetail,
    pub(crate) retry_after: Option<Duration>,
    /// The whole answer, for doors that tell more than the error.
    pub(crate) body: Bytes,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait between attempts to reach a weir that does not answer: from a tenth of a second to five.
pub(crate) fn backoff(attempts: Attempts) -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), attempts)
        .expect("the first delay is above zero and below the longest")
}

impl Client {
    pub(crate) fn new(args: &ServerArgs) -> Result<Self> {
        let server = match &args.server {
            Some(server) => server.clone(),
            None => from_environment(&Environment::of_process())?,
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, server })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(self.http.get(self.url(path)).query(query)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(self.http.post(self.url(path)).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        self.answer(self.http.delete(self.url(path))).await.map(drop)
    }

    /// Posts bytes as they are.
    pub(crate) async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &[&str],
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<T, ClientError> {
        let request = self.http.post(self.url(path)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.read(request).await
    }

    /// The body of an answer, piece by piece as it comes.
    pub(crate) async fn stream(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<BoxStream<'static, Result<Bytes, ClientError>>, ClientError> {
        let response = self.answer(self.http.get(self.url(path)).query(query)).await?;
        let server = self.server.clone();
        let broken = move |source| ClientError::Broken { server: server.clone(), source };
        Ok(response.bytes_stream().map_err(broken).boxed())
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.answer(request).await?;
        let body = response.bytes().await.map_err(|source| self.broken(source))?;
        serde_json::from_slice(&body)
            .map_err(|source| ClientError::Unreadable { server: self.server.clone(), source })
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|source| self.lost(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(&response);
        let body = response.bytes().await.map_err(|source| self.broken(source))?;
        let detail = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => error,
            Err(_) => unknown_error(status, &body),
        };
        Err(ClientError::Refused(Box::new(Refusal { status, detail, retry_after, body })))
    }

    fn lost(&self, source: reqwest::Error) -> ClientError {
        match source.is_connect() {
            true => ClientError::Unreachable { server: self.server.clone(), source: source.without_url() },
            false => self.broken(source),
        }
    }

    fn broken(&self, source: reqwest::Error) -> ClientError {
        ClientError::Broken { server: self.server.clone(), source: source.without_url() }
    }

    /// Each part of the path is quoted as a whole, slashes too.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }
}

impl ClientError {
    /// How long to wait at least before the same request has a chance; nothing if it has none.
    pub(crate) fn retry_after(&self, reached_before: bool) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => match refusal.status.as_u16() {
                429 | 503 => Some(refusal.retry_after.unwrap_or_default()),
                408 | 500 | 502 | 504 => Some(Duration::ZERO),
                _ => None,
            },
            // Nobody is there: an address that never answered is more likely wrong than slow.
            Self::Unreachable { .. } => reached_before.then_some(Duration::ZERO),
            Self::Broken { source, .. } => (!source.is_builder()).then_some(Duration::ZERO),
            Self::Unreadable { .. } => None,
        }
    }

    /// Whether what was sent may be stored all the same.
    pub(crate) fn leaves_open(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.status.is_server_error(),
            Self::Unreachable { .. } => false,
            Self::Broken { source, .. } => !source.is_builder(),
            Self::Unreadable { .. } => true,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => {
                Some("start it with `weir up`, or name another address with `--server URL`".to_owned())
            }
            Self::Refused(refusal) => match refusal.detail.code.as_str() {
                "bad-query" => Some("docs/query.md has the whole query language".to_owned()),
                "query-timed-out" | "query-too-large" => {
                    Some("narrow the time with `--since` and `--until`".to_owned())
                }
                UNKNOWN => Some(
                    "is that the address of weir's API? `--server` takes the one that `weir up` was given with \
                     `--http`"
                        .to_owned(),
                ),
                _ => None,
            },
            Self::Broken { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// Names the HTTP address of weir for the commands that ask it.
const VARIABLE: &str = "WEIR_SERVER";

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

fn from_environment(environment: &Environment) -> Result<Url> {
    let server = environment.get(VARIABLE).filter(|server| !server.is_empty());
    let server = server.unwrap_or(DEFAULT_SERVER);
    server_url(server).map_err(|error| Misused(format!("`{VARIABLE}` is `{server}`: {error}")).into())
}

/// An address without a scheme is one for HTTP.
fn server_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = whole.parse().map_err(|error| format!("{error}; write it like {DEFAULT_SERVER}"))?;
    match url.scheme() {
        "http" => Ok(url),
        other => Err(format!("weir is not reached by `{other}`; write it like {DEFAULT_SERVER}")),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// The code of an answer that has none.
const UNKNOWN: &str = "unknown";

/// An answer without weir's error body: another program, or a proxy in between.
fn unknown_error(status: StatusCode, body: &[u8]) -> ErrorDetail {
    let text: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
    let message = if text.is_empty() { status.to_string() } else { format!("{status}: {text}") };
    ErrorDetail { code: UNKNOWN.to_owned(), message, column: None, expected: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_succeed_is_asked_again() {
        let check = |status: u16, retry_after: Option<u64>, expected: Option<u64>| {
            let status = StatusCode::from_u16(status).expect("is a status");
            let detail = unknown_error(status, b"");
            let retry_after = retry_after.map(Duration::from_secs);
            let refusal = Refusal { status, detail, retry_after, body: Bytes::new() };
            let waited = ClientError::Refused(Box::new(refusal)).retry_after(true);
            assert_eq!(waited, expected.map(Duration::from_secs), "{status}");
        };
        check(429, Some(7), Some(7));
        check(429, None, Some(0));
        check(503, Some(2), Some(2));
        check(500, None, Some(0));
        check(400, None, None);
        check(413, None, None);
        check(409, None, None);
    }

    #[test]
    fn parts_of_a_path_are_quoted() {
        let check = |server: &str, path: &[&str], url: &str| {
            let args = ServerArgs { server: Some(server.parse().expect("is a URL")) };
            assert_eq!(Client::new(&args).expect("has no TLS to fail").url(path).as_str(), url);
        };
        check("http://127.0.0.1:8080", &["streams"], "http://127.0.0.1:8080/api/v1/streams");
        check("http://weir/base/", &["dead", "a/b?c"], "http://weir/base/api/v1/dead/a%2Fb%3Fc");
    }

    #[test]
    fn the_environment_names_the_server_where_no_flag_does() {
        let check = |environment: Environment, expected: &str| {
            let server = from_environment(&environment).map_err(|error| error.to_string());
            assert_eq!(server.map_or_else(|error| error, String::from), expected);
        };
        check(Environment::default(), "http://127.0.0.1:8080/");
        check(Environment::from([(VARIABLE, "")]), "http://127.0.0.1:8080/");
        check(Environment::from([(VARIABLE, "http://weir:81")]), "http://weir:81/");
        check(
            Environment::from([(VARIABLE, "ftp://weir")]),
            "`WEIR_SERVER` is `ftp://weir`: weir is not reached by `ftp`; write it like http://127.0.0.1:8080",
        );
    }

    #[test]
    fn an_address_needs_no_scheme_and_has_no_other() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = server_url(text).map(String::from);
            let expected = expected.map(str::to_owned);
            assert_eq!(
                found,
                expected.map_err(|what| format!("{what}; write it like {DEFAULT_SERVER}")),
                "{text}"
            );
        };
        check("localhost:8080", Ok("http://localhost:8080/"));
        check("127.0.0.1:8080", Ok("http://127.0.0.1:8080/"));
        check("[::1]:8080", Ok("http://[::1]:8080/"));
        check("http://weir/base", Ok("http://weir/base"));
        check("https://weir", Err("weir is not reached by `https`"));
        check("localhost:http", Err("invalid port number"));
    }
}
