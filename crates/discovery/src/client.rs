//! Questions to Consul.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weir_foundation::clock::{Clock, Elapsed, timeout};
use weir_foundation::fetch::{FetchError, Fetcher};
use weir_foundation::tls::TlsError;

use crate::answer::{AnswerError, Instance, read_catalog, read_health};
use crate::endpoint::Endpoint;
use crate::section::{ConsulSettings, Instances};

/// A Consul. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Consul {
    http: Fetcher,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<ConsulSettings>,
}

/// The client could not be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the token of Consul has characters that no header may have")]
    Token(#[from] InvalidHeaderValue),
}

/// Consul did not say where a service is.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("could not ask Consul for `{service}`")]
    Request { service: String, source: FetchError },
    #[error("Consul did not answer when asked for `{service}`")]
    Elapsed { service: String, source: Elapsed },
    #[error("the name `{service}` can not be asked for")]
    Name { service: String, source: http::uri::InvalidUri },
    #[error("Consul answered {status} when asked for `{service}`")]
    Status { service: String, status: StatusCode },
    #[error("could not tell where `{service}` is")]
    Answer { service: String, source: AnswerError },
}

/// Where a service is, and the version of that.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) endpoints: BTreeSet<Endpoint>,
    /// For a question that is held until there is another version; 0 for one that is answered at once.
    pub(crate) index: u64,
}

const MOST_BYTES: usize = 16 << 20;
const INDEX: &str = "x-consul-index";
const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");

impl Consul {
    /// Reads the certificates; asks nothing yet.
    pub fn new(settings: ConsulSettings, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &settings.token {
            let mut token = HeaderValue::from_str(token.reveal())?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        let http = Fetcher::new(settings.tls.client()?);
        Ok(Self { http, headers, clock, settings: Arc::new(settings) })
    }

    /// Where the instances of a service are that count; none if there are none.
    pub async fn resolve(&self, service: &str) -> Result<BTreeSet<Endpoint>, ResolveError> {
        self.ask(service, 0).await.map(|found| found.endpoints)
    }

    /// Answers at once if `index` is 0 or old, else when there is something new or the wait is over.
    pub(crate) async fn ask(&self, service: &str, index: u64) -> Result<Found, ResolveError> {
        let settings = &*self.settings;
        let service_name = || service.to_owned();
        let url = self.question(service, index).as_str().parse();
        let url = url.map_err(|source| ResolveError::Name { service: service_name(), source })?;
        // Consul adds up to a sixteenth, so that not all who wait come back at once.
        let held = if index == 0 { Duration::ZERO } else { settings.wait + settings.wait / 16 };
        let asked = self.http.get(&url, self.headers.clone(), MOST_BYTES);
        let answer = timeout(&*self.clock, settings.timeout + held, asked).await;
        let answer = answer
            .map_err(|source| ResolveError::Elapsed { service: service_name(), source })?
            .map_err(|source| ResolveError::Request { service: service_name(), source })?;
        if !answer.status.is_success() {
            return Err(ResolveError::Status { service: service_name(), status: answer.status });
        }
        let found = answer.headers.get(INDEX).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.body;
        let instances = match settings.instances {
            Instances::All => read_catalog(&body),
            Instances::Passing | Instances::PreferPassing => read_health(&body),
        };
        let instances =
            instances.map_err(|source| ResolveError::Answer { service: service_name(), source })?;
        Ok(Found { endpoints: choose(instances, settings.instances), index: next(index, found) })
    }

    fn question(&self, service: &str, index: u64) -> url::Url {
        let mut url = self.settings.url.clone();
        let kind = match self.settings.instances {
            Instances::All => "catalog",
            Instances::Passing | Instances::PreferPassing => "health",
        };
        url.path_segments_mut()
            .expect("a URL of http has a path")
            .pop_if_empty()
            .extend(["v1", kind, "service", service]);
        let mut query = url.query_pairs_mut();
        if self.settings.instances == Instances::Passing {
            query.append_pair("passing", "true");
        }
        if let Some(datacenter) = &self.settings.datacenter {
            query.append_pair("dc", datacenter);
        }
        if index > 0 {
            query.append_pair("index", &index.to_string());
            query.append_pair("wait", &format!("{}ms", self.settings.wait.as_millis()));
        }
        drop(query);
        url
    }
}

/// The index to ask with next. One that went back is of another life of Consul: what is new there is asked for
/// from the start.
fn next(asked: u64, found: Option<u64>) -> u64 {
    found.filter(|found| *found >= asked).unwrap_or(0)
}

fn choose(instances: Vec<Instance>, which: Instances) -> BTreeSet<Endpoint> {
    let passing: BTreeSet<_> = instances
        .iter()
        .filter(|instance| instance.passing)
        .map(|instance| instance.endpoint.clone())
        .collect();
    match which {
        Instances::PreferPassing if passing.is_empty() => {
            instances.into_iter().map(|instance| instance.endpoint).collect()
        }
        Instances::Passing | Instances::PreferPassing | Instances::All => passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_goes_back_begins_anew() {
        assert_eq!(next(0, Some(7)), 7);
        assert_eq!(next(7, Some(7)), 7);
        assert_eq!(next(7, Some(6)), 0);
        assert_eq!(next(7, Some(0)), 0);
        assert_eq!(next(7, None), 0);
    }

    #[test]
    fn all_count_if_none_passes() {
        let instance = |host: &str, passing| Instance {
            endpoint: Endpoint { host: host.to_owned(), port: 1, scheme: None },
            passing,
        };
        let check = |which, passing: [bool; 2], expected: &[&str]| {
            let found = choose(vec![instance("b", passing[1]), instance("a", passing[0])], which);
            assert_eq!(found.iter().map(|found| found.host.as_str()).collect::<Vec<_>>(), expected);
        };
        check(Instances::Passing, [true, false], &["a"]);
        check(Instances::Passing, [false, false], &[]);
        check(Instances::PreferPassing, [false, true], &["b"]);
        check(Instances::PreferPassing, [false, false], &["a", "b"]);
    }
}
