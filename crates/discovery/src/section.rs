//! The settings of discovery.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::{DurationText, Problem, Problems, Secret};
use weir_foundation::tls::{TlsSection, TlsSettings};

/// A Consul that knows where services are.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulSection {
    /// Where an agent of Consul answers HTTP, `http://127.0.0.1:8500`; without a scheme it is `http`.
    /// Default: none, nothing is looked up.
    pub url: Option<String>,
    /// The token, where Consul asks for one. Default: none.
    pub token: Option<Secret>,
    /// The datacenter to look in. Default: that of the agent.
    pub datacenter: Option<String>,
    /// Which instances count: `passing`, whose checks all pass; `prefer-passing`, all if none passes; `all`, as
    /// the catalog has them. Default: `passing`.
    pub instances: Option<InstancesText>,
    /// How long Consul may hold a question until there is something new. Default: `55s`.
    pub wait: Option<DurationText>,
    /// How long an answer may take that Consul need not hold, and beyond `wait` one that it may. Default: `10s`.
    pub timeout: Option<DurationText>,
    /// The longest pause between two questions while Consul is away. Default: `15s`.
    pub retry_longest: Option<DurationText>,
    /// Certificates, with `https`.
    pub tls: TlsSection,
}

/// Which instances of a service count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstancesText {
    Passing,
    PreferPassing,
    All,
}

/// The validated [`ConsulSection`].
#[derive(Debug, Clone)]
pub struct ConsulSettings {
    pub url: Url,
    pub token: Option<Secret>,
    pub datacenter: Option<String>,
    pub instances: Instances,
    pub wait: Duration,
    pub timeout: Duration,
    pub retry: Backoff,
    pub tls: TlsSettings,
}

/// Which instances of a service count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    Passing,
    /// All if none passes: it may be the checks that are broken.
    PreferPassing,
    All,
}

const WAIT: DurationText = DurationText::from_secs(55);
const TIMEOUT: DurationText = DurationText::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: DurationText = DurationText::from_secs(15);
/// Consul holds no question longer.
const LONGEST_WAIT: DurationText = DurationText::from_secs(600);

impl ConsulSettings {
    /// `None` if there is no Consul.
    pub fn validate(raw: &ConsulSection) -> Result<Option<Self>, Problems> {
        let mut problems = Problems::default();
        let wait = raw.wait.unwrap_or(WAIT);
        if !(DurationText::from_secs(1)..=LONGEST_WAIT).contains(&wait) {
            problems.push(Problem::at("wait", "must be at least `1s` and at most `10m`"));
        }
        let timeout = raw.timeout.unwrap_or(TIMEOUT).duration();
        if timeout.is_zero() {
            problems.push(Problem::at("timeout", "must be longer than zero"));
        }
        let longest = raw.retry_longest.unwrap_or(RETRY_LONGEST).duration();
        let retry = Backoff::new(RETRY_FIRST, longest, Attempts::Unlimited);
        if retry.is_err() {
            problems.push(Problem::at("retry_longest", "must be at least `200ms`"));
        }
        let tls = problems.take("tls", TlsSettings::validate(&raw.tls));
        let Some(url) = raw.url.as_ref().filter(|url| !url.trim().is_empty()) else {
            return problems.or(None);
        };
        let url = problems.take("", parse(url));
        match (url, retry, tls) {
            (Some(url), Ok(retry), Some(tls)) if problems.is_empty() => Ok(Some(Self {
                url,
                token: raw.token.clone().filter(|token| !token.reveal().is_empty()),
                datacenter: raw.datacenter.clone().filter(|name| !name.is_empty()),
                instances: match raw.instances {
                    Some(InstancesText::Passing) | None => Instances::Passing,
                    Some(InstancesText::PreferPassing) => Instances::PreferPassing,
                    Some(InstancesText::All) => Instances::All,
                },
                wait: wait.duration(),
                timeout,
                retry,
                tls,
            })),
            _ => Err(problems),
        }
    }
}

fn parse(text: &str) -> Result<Url, Problems> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) => Err(Problem::at("url", "must be a URL of `http` or `https`").into()),
        Err(error) => Err(Problem::at("url", format!("is no URL: {error}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(url: &str) -> ConsulSection {
        ConsulSection { url: Some(url.to_owned()), ..ConsulSection::default() }
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: ConsulSection = weir_foundation::settings::documented_defaults();
        let show = |section| {
            let section = ConsulSection { url: Some("http://consul:8500".to_owned()), ..section };
            format!("{:?}", ConsulSettings::validate(&section).expect("is valid"))
        };
        assert_eq!(show(documented), show(ConsulSection::default()));
    }

    #[test]
    fn names_every_problem() {
        let section = ConsulSection {
            wait: Some(DurationText::from_millis(1)),
            timeout: Some(DurationText::from_secs(0)),
            retry_longest: Some(DurationText::from_millis(1)),
            ..raw("ftp://consul")
        };
        assert_eq!(
            ConsulSettings::validate(&section).expect_err("is refused").to_string(),
            "wait: must be at least `1s` and at most `10m`\n\
             timeout: must be longer than zero\n\
             retry_longest: must be at least `200ms`\n\
             url: must be a URL of `http` or `https`\n",
        );
    }

    #[test]
    fn a_scheme_may_be_left_out_and_so_may_all() {
        let settings = ConsulSettings::validate(&raw("consul:8500")).expect("is valid").expect("is given");
        assert_eq!(settings.url.as_str(), "http://consul:8500/");
        assert!(ConsulSettings::validate(&raw("")).expect("is valid").is_none());
    }

    #[test]
    fn the_token_is_not_printed() {
        let section = ConsulSection { token: Some(Secret::new("hunter2")), ..raw("consul:8500") };
        let settings = ConsulSettings::validate(&section).expect("is valid");
        assert!(!format!("{section:?} {settings:?}").contains("hunter2"));
    }
}
