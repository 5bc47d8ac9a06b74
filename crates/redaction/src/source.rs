//! Where rules come from.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use tokio::io::AsyncReadExt as _;
use url::Url;
use weir_foundation::clock::{Clock, Elapsed, timeout};
use weir_foundation::fetch::{FetchError, Fetcher};
use weir_foundation::settings::Secret;
use weir_foundation::tls::{TlsError, TlsSettings};

/// Where the rules are.
#[derive(Debug, Clone)]
pub enum Source {
    /// Nowhere: nothing is redacted.
    Off,
    Text(String),
    File(PathBuf),
    Endpoint(Endpoint),
}

/// A service that knows the rules.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: Url,
    pub cluster_name: String,
    pub client_key: Secret,
    pub tls: TlsSettings,
    /// For the whole answer.
    pub timeout: Duration,
}

/// The rules could not be read; those of before stay.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("could not read `{path}`")]
    File { path: PathBuf, source: std::io::Error },
    #[error("could not ask the endpoint of the rules")]
    Request(#[source] FetchError),
    #[error("the endpoint of the rules did not answer")]
    Elapsed(#[source] Elapsed),
    #[error("the endpoint of the rules answered {0}")]
    Status(StatusCode),
    #[error("the rules have more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the rules are not valid UTF-8")]
    Utf8(#[source] std::string::FromUtf8Error),
}

/// A source that can be read again and again.
#[derive(Debug)]
pub(crate) enum Reader {
    File(PathBuf),
    Endpoint { client: Box<Fetcher>, url: Uri, time_limit: Duration },
}

/// Thousands of rules have a tenth of it.
const MOST_BYTES: usize = 16 << 20;

/// The client for the endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the endpoint is no URL that can be asked")]
    Url(#[from] http::uri::InvalidUri),
}

impl Endpoint {
    pub(crate) fn reader(&self) -> Result<Reader, ClientError> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("cluster_name", &self.cluster_name)
            .append_pair("client_key", self.client_key.reveal());
        url.set_fragment(None);
        let client = Box::new(Fetcher::new(self.tls.client()?));
        Ok(Reader::Endpoint { client, url: url.as_str().parse()?, time_limit: self.timeout })
    }
}

impl Reader {
    pub(crate) async fn read(&self, clock: &dyn Clock) -> Result<String, LoadError> {
        let bytes = match self {
            Self::File(path) => {
                read_file(path).await.map_err(|source| LoadError::File { path: path.clone(), source })?
            }
            Self::Endpoint { client, url, time_limit } => {
                timeout(clock, *time_limit, ask(client, url)).await.map_err(LoadError::Elapsed)??
            }
        };
        if bytes.len() > MOST_BYTES {
            return Err(LoadError::TooLarge { limit: MOST_BYTES });
        }
        String::from_utf8(bytes).map_err(LoadError::Utf8)
    }
}

async fn read_file(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

async fn ask(client: &Fetcher, url: &Uri) -> Result<Vec<u8>, LoadError> {
    let answer = client.get(url, HeaderMap::new(), MOST_BYTES).await.map_err(LoadError::Request)?;
    if !answer.status.is_success() {
        return Err(LoadError::Status(answer.status));
    }
    Ok(answer.body.into())
}
