//! Asking foreign servers by HTTP/1.1: one question, one small answer, whole.
//!
//! Not by a larger client, whose TLS would be every client's of the process: one without TLS would then look for a
//! provider of cryptography too, and end with a panic where none was chosen.

use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tower::util::BoxCloneSyncService;

use crate::connect::{Connector, Versions, https};
use crate::failure::BoxError;

/// Holds connections open for further questions. Clones share them.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client<Connector, Full<Bytes>>,
}

/// What came back, whatever its status. Redirections are answers like others and not followed.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Nothing came back that could be used. The URL is not told, since it may hold a key.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the question can not be asked")]
    Question(#[source] http::Error),
    #[error("the server could not be reached")]
    Request(#[source] hyper_util::client::legacy::Error),
    #[error("the answer broke off or has more than {limit} bytes")]
    Body { limit: usize, source: BoxError },
}

impl Fetcher {
    /// `tls` is for URLs of `https`.
    #[must_use]
    pub fn new(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        Self::over(BoxCloneSyncService::new(https(tls, Versions::Http1, tcp)))
    }

    /// Over connections that are made in another way.
    #[must_use]
    pub fn over(connector: Connector) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Asks by GET. Takes as long as the server does: whoever can not wait bounds it by [`crate::clock::timeout`].
    pub async fn get(&self, url: &Uri, headers: HeaderMap, limit: usize) -> Result<Answer, FetchError> {
        self.ask(Method::GET, url, headers, Bytes::new(), limit).await
    }

    /// Sends `body` by POST; else as [`Fetcher::get`].
    pub async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        self.ask(Method::POST, url, headers, body, limit).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        let question = Request::builder().method(method).uri(url.clone()).body(Full::new(body));
        let mut question = question.map_err(FetchError::Question)?;
        *question.headers_mut() = headers;
        let (head, body) = self.client.request(question).await.map_err(FetchError::Request)?.into_parts();
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|source| FetchError::Body { limit, source })?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
