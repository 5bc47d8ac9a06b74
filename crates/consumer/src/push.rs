//! Tells a registry of apps how many events of each app were stored, as barito-flow does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};
use weir_foundation::clock::{Clock, Elapsed, timeout};
use weir_foundation::failure::chain;
use weir_foundation::fetch::{Answer, FetchError, Fetcher};
use weir_foundation::settings::{DurationText, Problem, Problems};
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_foundation::tls::{TlsError, TlsSection, TlsSettings};

use crate::metrics::ConsumerMetrics;
use crate::tally::ByApp;

/// Who is told how many events of each app were stored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushSection {
    /// Where counts go by POST, as `{"application_groups":[{"token":"<app_secret>","new_log_count":1}]}`. Records
    /// say of which app they are only if producers keep that (`producer.store_app_secret`). Default: nobody is told.
    pub url: Option<String>,
    /// How often. Default: `30s`.
    pub interval: Option<DurationText>,
    /// How long an answer may take. Default: `10s`.
    pub timeout: Option<DurationText>,
    /// Certificates, with `https`.
    pub tls: TlsSection,
}

/// The validated [`PushSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushSettings {
    pub url: Uri,
    pub interval: Duration,
    pub timeout: Duration,
    pub tls: TlsSettings,
}

/// What is needed to push.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Those of the delivery whose events are counted.
    pub metrics: ConsumerMetrics,
    pub clock: Arc<dyn Clock>,
    pub spawner: &'a Spawner,
}

#[derive(Debug)]
struct Pusher {
    settings: PushSettings,
    http: Fetcher,
    metrics: ConsumerMetrics,
    clock: Arc<dyn Clock>,
    /// Whether the last attempt had no answer.
    unheard: bool,
}

/// Nobody was told.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error("counts could not be sent")]
    Request(#[source] FetchError),
    #[error("nobody answered when told the counts")]
    Elapsed(#[source] Elapsed),
}

/// The body, fields in barito-flow's order.
#[derive(Serialize)]
struct Body<'a> {
    application_groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    token: &'a str,
    new_log_count: u64,
}

const INTERVAL: DurationText = DurationText::from_secs(30);
const TIMEOUT: DurationText = DurationText::from_secs(10);
/// Nothing in the answer counts but its status.
const MOST_BYTES: usize = 1 << 20;

impl PushSettings {
    /// `None` if nobody is told.
    pub fn validate(raw: &PushSection) -> Result<Option<Self>, Problems> {
        let mut problems = Problems::default();
        let interval = raw.interval.unwrap_or(INTERVAL).duration();
        let timeout = raw.timeout.unwrap_or(TIMEOUT).duration();
        for (name, duration) in [("interval", interval), ("timeout", timeout)] {
            if duration.is_zero() {
                problems.push(Problem::at(name, "must be longer than zero"));
            }
        }
        let tls = problems.take("tls", TlsSettings::validate(&raw.tls)).unwrap_or_default();
        let Some(text) = raw.url.as_ref().filter(|url| !url.is_empty()) else { return problems.or(None) };
        let url = text.parse().ok().filter(|url: &Uri| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
        });
        let Some(url) = url else {
            problems.push(Problem::at("url", "must be a URL of `http` or `https`"));
            return Err(problems);
        };
        problems.or(Some(Self { url, interval, timeout, tls }))
    }
}

/// Pushes as long as the process lives, and once more when everything is delivered.
pub fn start(settings: PushSettings, parts: Parts<'_>) -> Result<(), TlsError> {
    let Parts { metrics, clock, spawner } = parts;
    let http = Fetcher::new(settings.tls.client()?);
    let pusher = Pusher { settings, http, metrics, clock, unheard: false };
    spawner.spawn("consumer.push", Policy::expendable(DrainPhase::Close), |drain| async move {
        pusher.run(&drain).await;
        Ok::<(), Infallible>(())
    });
    Ok(())
}

impl Pusher {
    async fn run(mut self, drain: &DrainToken) {
        loop {
            let ends = tokio::select! {
                biased;
                () = drain.draining() => true,
                () = self.clock.sleep(self.settings.interval) => false,
            };
            self.push().await;
            if ends {
                return;
            }
        }
    }

    /// Whatever the answer is, the counts are told; without one they are told with the next.
    async fn push(&mut self) {
        let counts = self.metrics.tally().take();
        match self.tell(body(&counts)).await {
            Ok(answer) => {
                self.metrics.pushed(if answer.status.is_success() { "taken" } else { "refused" });
                if !answer.status.is_success() {
                    warn!(status = %answer.status, apps = counts.len(), "counts of stored events were refused");
                } else if std::mem::take(&mut self.unheard) {
                    info!("counts of stored events are heard again");
                }
            }
            Err(error) => {
                self.metrics.tally().give_back(counts);
                self.metrics.pushed("unheard");
                let error = chain(&error);
                if std::mem::replace(&mut self.unheard, true) {
                    debug!(%error, "counts of stored events are still not heard");
                } else {
                    warn!(%error, "counts of stored events are not heard; they are kept and told later");
                }
            }
        }
    }

    async fn tell(&self, body: Bytes) -> Result<Answer, PushError> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let sent = self.http.post(&self.settings.url, headers, body, MOST_BYTES);
        let answer = timeout(&*self.clock, self.settings.timeout, sent).await;
        answer.map_err(PushError::Elapsed)?.map_err(PushError::Request)
    }
}

fn body(counts: &ByApp) -> Bytes {
    let groups = counts.iter().map(|(app, events)| Group { token: app.reveal(), new_log_count: *events });
    let application_groups = groups.collect();
    serde_json::to_vec(&Body { application_groups }).expect("texts and numbers are JSON").into()
}

#[cfg(test)]
mod tests {
    use weir_model::AppSecret;

    use super::*;

    #[test]
    fn the_body_is_that_of_barito_flow_byte_for_byte() {
        let check = |counts: &[(&str, u64)], expected: &str| {
            let app = |name| AppSecret::new(name).expect("is not empty");
            let counts = counts.iter().map(|(name, events)| (app(name), *events)).collect();
            assert_eq!(body(&counts), expected);
        };
        check(&[], r#"{"application_groups":[]}"#);
        check(
            &[("s1", 7), ("s2", 1)],
            r#"{"application_groups":[{"token":"s1","new_log_count":7},{"token":"s2","new_log_count":1}]}"#,
        );
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let with_url = |raw: PushSection| PushSection { url: Some("http://market/x".to_owned()), ..raw };
        let documented: PushSection = weir_foundation::settings::documented_defaults();
        assert_eq!(
            PushSettings::validate(&with_url(PushSection { url: None, ..documented })),
            PushSettings::validate(&with_url(PushSection::default()))
        );
        assert_eq!(PushSettings::validate(&PushSection::default()), Ok(None));
    }

    #[test]
    fn names_every_problem() {
        let raw = PushSection {
            url: Some("market/x".to_owned()),
            interval: Some(DurationText::from_secs(0)),
            timeout: Some(DurationText::from_secs(0)),
            ..PushSection::default()
        };
        assert_eq!(
            PushSettings::validate(&raw).expect_err("is refused").to_string(),
            "interval: must be longer than zero\n\
             timeout: must be longer than zero\n\
             url: must be a URL of `http` or `https`\n"
        );
    }
}
