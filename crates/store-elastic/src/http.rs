//! Carries calls to nodes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue,
};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::connect::{self, Connector, Versions};
use weir_foundation::failure::BoxError;
use weir_foundation::tls::TlsError;

use crate::client::{Answer, BodyKind, Call, Encoding, Method};
use crate::nodes::{Nodes, Target};
use crate::section::{Credentials, Node, Settings};

/// Connections to all nodes.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<Connector, Full<Bytes>>,
    timeout: Duration,
    nodes: Nodes,
    clock: Arc<dyn Clock>,
}

/// Why no connection can be made, whatever the nodes do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("use the certificates")]
    Tls(#[from] TlsError),
    #[error("use the credentials as a header")]
    Credentials(#[source] InvalidHeaderValue),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no node is known")]
    Nowhere,
    #[error("`{node}` did not answer")]
    Failed { node: Url, source: BoxError },
    #[error("the answer of `{node}` has more than {limit} bytes")]
    TooLarge { node: Url, limit: usize },
    #[error("`{0}` is no path of a node")]
    Path(String),
}

/// Idle connections to a node that are kept.
const IDLE_CONNECTIONS: usize = 16;
const IDLE_FOR: Duration = Duration::from_secs(50);

impl Http {
    pub(crate) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let tls = settings.tls.client()?;
        // How long a node may be silent is up to the time-out of a request.
        let limits = connect::Limits { connect: settings.connect_timeout, silence: None };
        let connector = connect::secure(tls, Versions::Http1, limits, Arc::clone(&clock));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        let nodes = Nodes::new(targets(&settings.nodes)?);
        Ok(Self { client, timeout: settings.request_timeout, nodes, clock })
    }

    /// From now on these nodes are asked; what others were asked before is still answered.
    pub(crate) fn replace_nodes(&self, nodes: &[Node]) -> Result<(), BuildError> {
        self.nodes.replace(targets(nodes)?);
        Ok(())
    }

    /// Asks the next node. An answer of more than `most` bytes is not read to its end.
    pub(crate) async fn ask(&self, call: &Call, most: usize) -> Result<Answer, HttpError> {
        let node = self.nodes.pick(self.clock.monotonic()).ok_or(HttpError::Nowhere)?;
        let url = node.url.join(&call.path).map_err(|_malformed| HttpError::Path(call.path.clone()))?;
        let request = request(&url, &node, call).ok_or_else(|| HttpError::Path(call.path.clone()))?;
        let failed = |source: BoxError| HttpError::Failed { node: node.url.clone(), source };
        let exchange = self.exchange(request, &node.url, most);
        let asked = match timeout(&*self.clock, self.timeout, exchange).await {
            Ok(asked) => asked,
            Err(elapsed) => Err(failed(elapsed.into())),
        };
        match &asked {
            Ok(Answer { status: 502..=504, .. }) | Err(HttpError::Failed { .. }) => {
                self.nodes.failed(&node, self.clock.monotonic());
            }
            Ok(_) | Err(HttpError::TooLarge { .. } | HttpError::Path(_) | HttpError::Nowhere) => {
                self.nodes.answered(&node);
            }
        }
        asked
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        node: &Url,
        most: usize,
    ) -> Result<Answer, HttpError> {
        let failed = |source: BoxError| HttpError::Failed { node: node.clone(), source };
        let response = self.client.request(request).await.map_err(|error| failed(error.into()))?;
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(part) = frame.map_err(|error| failed(error.into()))?.into_data() else { continue };
            if body.len() + part.len() > most {
                return Err(HttpError::TooLarge { node: node.clone(), limit: most });
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, body: body.freeze() })
    }
}

fn targets(nodes: &[Node]) -> Result<Vec<Target>, BuildError> {
    let target = |node: &Node| Ok(Target { url: node.url.clone(), headers: headers(&node.credentials)? });
    nodes.iter().map(target).collect()
}

/// Absent if the URL is none for HTTP.
fn request(url: &Url, node: &Target, call: &Call) -> Option<Request<Full<Bytes>>> {
    let method = match call.method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
    };
    let body = call.body.as_ref().map(|body| body.bytes.clone()).unwrap_or_default();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = url.as_str().parse::<Uri>().ok()?;
    *request.headers_mut() = node.headers.clone();
    if let Some(body) = &call.body {
        let kind = match body.kind {
            BodyKind::Json => "application/json",
            BodyKind::Lines => "application/x-ndjson",
        };
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if body.encoding == Encoding::Gzip {
            request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    Some(request)
}

fn headers(credentials: &Credentials) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let authorization = match credentials {
        Credentials::None => return Ok(headers),
        Credentials::Basic { username, password } => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", password.reveal())))
        }
        Credentials::ApiKey(key) => format!("ApiKey {}", key.reveal()),
    };
    let mut value = HeaderValue::try_from(authorization).map_err(BuildError::Credentials)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use weir_foundation::settings::Secret;

    use super::*;

    #[test]
    fn a_user_is_told_as_the_rfc_says() {
        let credentials =
            Credentials::Basic { username: "Aladdin".to_owned(), password: Secret::new("open sesame") };
        let headers = headers(&credentials).expect("make a header");
        assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
