use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use url::Url;
use weir_foundation::failure::BoxError;
use weir_foundation::settings::env::TOKEN;
use weir_foundation::tls::Distrust;
use weir_server::api::ErrorDetail;

use super::token::Origin;
use super::trust::Trust;

/// Why weir gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("the question can not be put into a request")]
    Unasked(#[source] BoxError),
    #[error("no connection to weir at {server}")]
    Unreachable {
        server: Url,
        #[source]
        source: BoxError,
    },
    #[error("{server} can not be taken for weir")]
    Untrusted {
        server: Url,
        #[source]
        source: Box<Distrust>,
        hint: Box<str>,
    },
    #[error("the answer of weir at {server} broke off")]
    Broken {
        server: Url,
        #[source]
        source: BoxError,
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
    /// Where the token is from that was shown.
    pub(crate) token: Option<Origin>,
}

/// The code of an answer that has none.
pub(super) const UNKNOWN: &str = "unknown";

impl ClientError {
    /// A handshake with `server`, which was to be known by `trust`, that was broken off; nothing if that is not what
    /// happened.
    pub(super) fn untrusted(server: &Url, trust: &Trust, error: &(dyn Error + 'static)) -> Option<Self> {
        let source = Distrust::of(error)?;
        let hint = trust.hint(source.kind).into();
        Some(Self::Untrusted { server: server.clone(), source: source.into(), hint })
    }

    /// How long to wait at least before the same request has a chance; nothing if it has none.
    pub(crate) fn retry_after(&self, reached_before: bool) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => match refusal.status.as_u16() {
                429 | 503 => Some(refusal.retry_after.unwrap_or_default()),
                408 | 500 | 502 | 504 => Some(Duration::ZERO),
                _ => None,
            },
            // Nobody is there, or somebody else: an address that never answered is more likely wrong than slow.
            Self::Unreachable { .. } => reached_before.then_some(Duration::ZERO),
            Self::Broken { source, .. } => {
                (reached_before || !is_no_http(&**source)).then_some(Duration::ZERO)
            }
            Self::Unasked(_) | Self::Untrusted { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// Whether what was sent may be stored all the same.
    pub(crate) fn leaves_open(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.status.is_server_error(),
            Self::Unasked(_) | Self::Unreachable { .. } | Self::Untrusted { .. } => false,
            Self::Broken { .. } | Self::Unreadable { .. } => true,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "see whether weir runs there (`weir up` starts one on this machine), or name another address with \
                 `--server URL`"
                    .to_owned(),
            ),
            Self::Untrusted { hint, .. } => Some(hint.to_string()),
            Self::Broken { server, source } if server.scheme() == "http" && is_no_http(&**source) => {
                Some(format!("if TLS is spoken there, write `https://{}`", server.authority()))
            }
            Self::Refused(refusal) => refusal.hint(),
            Self::Unasked(_) | Self::Broken { .. } | Self::Unreadable { .. } => None,
        }
    }
}

impl Refusal {
    fn hint(&self) -> Option<String> {
        match (self.status, self.detail.code.as_str()) {
            (_, "wrong-secret") => Some(format!(
                "to send in the name of an app that has a secret, show that, `weira1_…`, by `{TOKEN}` or `--token-file FILE`"
            )),
            (StatusCode::UNAUTHORIZED, _) => Some(match &self.token {
                None => how_to_show_a_token(),
                Some(origin) => format!("the token of {origin} is none that it knows, or no longer"),
            }),
            (_, "bad-query") => Some("docs/query.md has the whole query language".to_owned()),
            (_, "query-timed-out" | "query-too-large") => {
                Some("narrow the time with `--since` and `--until`".to_owned())
            }
            (status, UNKNOWN) if status.is_redirection() => {
                Some("if that is weir, name it by `--server URL`".to_owned())
            }
            (_, UNKNOWN) => Some(
                "is that the address of weir's API? `--server` takes the one that `weir up` was given with `--http`"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// What to do where a token is wanted and none was shown.
pub(crate) fn how_to_show_a_token() -> String {
    format!(
        "show a token: set `{TOKEN}`, or name its file by `--token-file FILE`; that of the first operator is in \
         `operator.token` of weir's data directory, if it was not printed by `weir server init`"
    )
}

/// Whether somebody answered who does not speak HTTP.
fn is_no_http(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::unknown_error;

    #[test]
    fn only_what_can_succeed_is_asked_again() {
        let check = |status: u16, retry_after: Option<u64>, expected: Option<u64>| {
            let status = StatusCode::from_u16(status).expect("is a status");
            let detail = unknown_error(status, None, b"");
            let retry_after = retry_after.map(Duration::from_secs);
            let refusal = Refusal { status, detail, retry_after, body: Bytes::new(), token: None };
            let waited = ClientError::Refused(Box::new(refusal)).retry_after(true);
            assert_eq!(waited, expected.map(Duration::from_secs), "{status}");
        };
        check(429, Some(7), Some(7));
        check(429, None, Some(0));
        check(503, Some(2), Some(2));
        check(500, None, Some(0));
        check(400, None, None);
        check(401, None, None);
        check(413, None, None);
        check(409, None, None);
    }
}
