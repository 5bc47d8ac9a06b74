//! How the doors of a producer are reached: plainly, or by TLS with what is trusted now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};
use weir_auth::tls;
use weir_fleet::Fleet;
use weir_foundation::clock::SystemClock;
use weir_foundation::connect::{self, Connector, Limits, Versions};
use weir_foundation::failure::BoxError;
use weir_foundation::fetch::Fetcher;
use weir_foundation::network::is_this_machine;
use weir_foundation::tls::TlsSettings;

/// How long a door may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the doors are.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub(super) grpc: Option<Uri>,
    pub(super) rest: Option<Uri>,
    /// By whose word a certificate is believed; absent where it is one of the instance.
    pub(super) tls: Option<TlsSettings>,
}

/// Connections, which are made when something is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub(super) grpc: Option<Channel>,
    pub(super) rest: Option<Rest>,
}

/// weir's own door, which takes what its own records hold.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) http: Fetcher,
    pub(super) address: String,
}

/// Whether nobody listens in on the way to a door.
pub(super) fn is_private(url: &Uri) -> bool {
    url.scheme_str() == Some("https") || url.host().is_some_and(is_this_machine)
}

/// Finds the ways, and finds them anew when the roots of the instance are others.
#[derive(Debug)]
pub(super) struct Guide {
    places: Places,
    fleet: Fleet,
    found: Mutex<Option<(u64, Ways)>>,
}

impl Guide {
    pub(super) fn new(places: Places, fleet: Fleet) -> Self {
        Self { places, fleet, found: Mutex::default() }
    }

    /// Fails if no TLS can be set up with what is trusted.
    pub(super) fn ways(&self) -> Result<Ways, BoxError> {
        let bundle = self.fleet.instance().bundle;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, ways)) = &*found
            && *of == bundle
        {
            return Ok(ways.clone());
        }
        let Places { grpc, rest, .. } = &self.places;
        let grpc = grpc.clone().map(|url| {
            let connector = self.connector(&url, Versions::Http2)?;
            Ok::<_, BoxError>(Endpoint::from(url).timeout(TIMEOUT).connect_with_connector_lazy(connector))
        });
        let rest = rest.clone().map(|url| {
            let http = Fetcher::over(self.connector(&url, Versions::Http1)?);
            Ok::<_, BoxError>(Rest { http, address: url.to_string().trim_end_matches('/').to_owned() })
        });
        let ways = Ways { grpc: grpc.transpose()?, rest: rest.transpose()? };
        *found = Some((bundle, ways.clone()));
        Ok(ways)
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    fn connector(&self, url: &Uri, versions: Versions) -> Result<Connector, BoxError> {
        let (limits, clock) = (Limits { connect: TIMEOUT, silence: None }, Arc::new(SystemClock));
        if url.scheme_str() != Some("https") {
            return Ok(connect::plain(limits, clock));
        }
        let tls = match &self.places.tls {
            Some(tls) => tls.client()?,
            None => {
                let instance = self.fleet.instance();
                tls::client(&instance.roots, &instance.id, None, Arc::<SystemClock>::clone(&clock))?
            }
        };
        Ok(connect::secure(tls, versions, limits, clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_by_tls_or_on_this_machine() {
        let check = |url: &str, expected: bool| {
            assert_eq!(is_private(&url.parse().expect("is a URL")), expected, "{url}");
        };
        check("https://producer:8082", true);
        check("http://producer:8082", false);
        check("http://10.1.0.1:8082", false);
        check("http://127.0.0.1:8082", true);
        check("http://[::1]:8082", true);
        check("http://localhost:8082", true);
        check("http://LOCALHOST:8082", true);
        check("http://localhost.evil.org:8082", false);
    }
}
