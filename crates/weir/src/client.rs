//! The HTTP client of the commands that ask a running weir.

mod access;
mod error;
mod token;
mod trust;

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::transport::{Channel, Endpoint};
use url::Url;
use weir_foundation::connect::{Connector, Versions};
use weir_foundation::failure::BoxError;
use weir_foundation::retry::{Attempts, Backoff};
use weir_server::api::{ErrorBody, ErrorDetail};

use self::access::{Access, Surroundings};
use self::error::UNKNOWN;
#[cfg(test)]
use self::trust::Trust;

#[cfg(test)]
pub(crate) use self::access::ServerArgs;
pub(crate) use self::access::{ClientArgs, server_url};
pub(crate) use self::error::{ClientError, Refusal, how_to_show_a_token};

/// Asks one weir. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: HttpClient<Connector, Full<Bytes>>,
    access: Access,
}

const IDLE_FOR: Duration = Duration::from_secs(90);

/// How long to wait between attempts to reach a weir that does not answer: from a tenth of a second to five.
pub(crate) fn backoff(attempts: Attempts) -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), attempts)
        .expect("the first delay is above zero and below the longest")
}

impl Client {
    /// As the arguments say, else the environment, else the current directory.
    pub(crate) fn of(args: &ClientArgs) -> Result<Self> {
        Self::with(Access::of(args, &Surroundings::of_process())?)
    }

    /// Of a weir that asks for nothing.
    #[cfg(test)]
    pub(crate) fn new(args: &ServerArgs) -> Result<Self> {
        let server = args.server.clone().expect("the test names one");
        Self::with(Access { server, trust: Trust::System, token: None })
    }

    fn with(access: Access) -> Result<Self> {
        let connector = access.trust.connector(&access.server, Versions::Http1Or2)?;
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .build(connector);
        Ok(Self { http, access })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(self.request(Method::GET, path, query, Bytes::new())?).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(unasked)?;
        self.post_bytes(path, &[("content-type", "application/json")], body.into()).await
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        self.answer(self.request(Method::DELETE, path, &(), Bytes::new())?).await.map(drop)
    }

    /// Posts bytes as they are.
    pub(crate) async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &[&str],
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<T, ClientError> {
        let mut request = self.request(Method::POST, path, &(), body)?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::try_from(*value).map_err(unasked)?);
        }
        self.read(request).await
    }

    /// The body of an answer, piece by piece as it comes.
    pub(crate) async fn stream(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<BoxStream<'static, Result<Bytes, ClientError>>, ClientError> {
        let request = self.request(Method::GET, path, query, Bytes::new())?;
        let body = self.answer(request).await?.into_body();
        let server = self.access.server.clone();
        let broken =
            move |source: hyper::Error| ClientError::Broken { server: server.clone(), source: source.into() };
        Ok(body.into_data_stream().map_err(broken).boxed())
    }

    /// A channel to a gRPC door of the same weir, and what to show there.
    pub(crate) async fn channel(&self, door: &Url) -> Result<(Channel, Option<HeaderValue>)> {
        self.access.check(door)?;
        let connector = self.access.trust.connector(door, Versions::Http2)?;
        let endpoint = Endpoint::from_shared(door.to_string()).context("read the address of the door")?;
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| {
            let untrusted = ClientError::untrusted(door, &self.access.trust, &error);
            untrusted.map_or_else(|| error.into(), anyhow::Error::from)
        })?;
        Ok((channel, self.access.shown_to(door)?.cloned()))
    }

    async fn read<T: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Result<T, ClientError> {
        let body = self.whole(self.answer(request).await?).await?;
        serde_json::from_slice(&body)
            .map_err(|source| ClientError::Unreadable { server: self.access.server.clone(), source })
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let response = self.http.request(request).await.map_err(|source| self.lost(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (retry_after, elsewhere) = (retry_after(response.headers()), elsewhere(response.headers()));
        let body = self.whole(response).await?;
        let detail = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => error,
            Err(_) => unknown_error(status, elsewhere.as_deref(), &body),
        };
        let token = self.access.token.as_ref().map(|token| token.origin().clone());
        Err(ClientError::Refused(Box::new(Refusal { status, detail, retry_after, body, token })))
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = response.into_body().collect().await.map_err(|source| self.broken(source))?;
        Ok(body.to_bytes())
    }

    fn lost(&self, source: hyper_util::client::legacy::Error) -> ClientError {
        if !source.is_connect() {
            return self.broken(source);
        }
        let Access { server, trust, .. } = &self.access;
        let unreachable = |source: BoxError| ClientError::Unreachable { server: server.clone(), source };
        ClientError::untrusted(server, trust, &source).unwrap_or_else(|| unreachable(source.into()))
    }

    fn broken(&self, source: impl Into<BoxError>) -> ClientError {
        ClientError::Broken { server: self.access.server.clone(), source: source.into() }
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &impl Serialize,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut url = self.url(path);
        let query = serde_urlencoded::to_string(query).map_err(unasked)?;
        if !query.is_empty() {
            url.set_query(Some(&query));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse::<Uri>().map_err(unasked)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(token) = self.access.shown_to(&url).map_err(unasked)? {
            headers.insert(AUTHORIZATION, token.clone());
        }
        Ok(request)
    }

    /// Each part of the path is quoted as a whole, slashes too.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.access.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }
}

fn unasked(source: impl Into<BoxError>) -> ClientError {
    ClientError::Unasked(source.into())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Where an answer sends its reader. A client does not go there by itself: it would have to show its token there.
fn elsewhere(headers: &HeaderMap) -> Option<String> {
    headers.get(LOCATION)?.to_str().ok().map(str::to_owned)
}

/// An answer without weir's error body: another program, or a proxy in between.
fn unknown_error(status: StatusCode, elsewhere: Option<&str>, body: &[u8]) -> ErrorDetail {
    let text: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
    let message = match elsewhere {
        Some(elsewhere) => format!("{status}: it is at {elsewhere}"),
        None if text.is_empty() => status.to_string(),
        None => format!("{status}: {text}"),
    };
    ErrorDetail { code: UNKNOWN.to_owned(), message, column: None, expected: None }
}

#[cfg(test)]
mod tests;
