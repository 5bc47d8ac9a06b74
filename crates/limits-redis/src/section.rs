//! The settings of limits in Redis.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::network::HostPort;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::settings::{DurationText, Problem, Problems, Secret};
use weir_foundation::tls::{TlsSection, TlsSettings};

/// A Redis through which producers share the limits of apps. While it can not be reached each producer limits for
/// itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisLimitsSection {
    /// Host and port of Redis 5 or newer, `redis.internal:6379`. Default: none, limits are not shared.
    pub address: Option<String>,
    /// Who to log in as, where Redis has users. Default: none.
    pub username: Option<String>,
    /// The password. Default: none.
    pub password: Option<Secret>,
    /// The number of the database. Default: `0`.
    pub database: Option<u32>,
    /// What every key begins with. Fleets that share a Redis and not their limits need different ones.
    /// Default: `weir:limit:`.
    pub key_prefix: Option<String>,
    /// How long an answer may take before Redis counts as away. Default: `500ms`.
    pub timeout: Option<DurationText>,
    /// The longest pause between two attempts to reach it again. Default: `5s`.
    pub retry_longest: Option<DurationText>,
    /// Connect by TLS. Default: `false`.
    pub encrypt: Option<bool>,
    /// Certificates, with `encrypt`.
    pub tls: TlsSection,
}

/// The validated [`RedisLimitsSection`].
#[derive(Debug, Clone)]
pub struct RedisLimitsSettings {
    pub address: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub database: i64,
    pub key_prefix: String,
    pub timeout: Duration,
    pub retry: Backoff,
    pub encryption: Encryption,
}

/// How bytes go to Redis.
#[derive(Debug, Clone)]
pub enum Encryption {
    None,
    Tls(TlsSettings),
}

const KEY_PREFIX: &str = "weir:limit:";
const TIMEOUT: DurationText = DurationText::from_millis(500);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: DurationText = DurationText::from_secs(5);

impl RedisLimitsSettings {
    /// `None` if limits are not shared.
    pub fn validate(raw: &RedisLimitsSection) -> Result<Option<Self>, Problems> {
        let mut problems = Problems::default();
        let timeout = raw.timeout.unwrap_or(TIMEOUT).duration();
        if timeout.is_zero() {
            problems.push(Problem::at("timeout", "must be longer than zero"));
        }
        let longest = raw.retry_longest.unwrap_or(RETRY_LONGEST).duration();
        let retry = Backoff::new(RETRY_FIRST, longest, Attempts::Unlimited);
        if retry.is_err() {
            problems.push(Problem::at("retry_longest", "must be at least `100ms`"));
        }
        let tls = problems.take("tls", TlsSettings::validate(&raw.tls));
        if raw.encrypt != Some(true) && raw.tls != TlsSection::default() {
            problems.push(Problem::at("tls", "needs `encrypt`"));
        }
        let Some(address) = raw.address.clone().filter(|address| !address.trim().is_empty()) else {
            return problems.or(None);
        };
        if address.parse::<HostPort>().is_err() {
            problems
                .push(Problem::at("address", format!("`{address}` is no host and port, as in `redis:6379`")));
        }
        match (retry, tls) {
            (Ok(retry), Some(tls)) if problems.is_empty() => Ok(Some(Self {
                address,
                username: raw.username.clone(),
                password: raw.password.clone(),
                database: i64::from(raw.database.unwrap_or_default()),
                key_prefix: raw.key_prefix.clone().unwrap_or_else(|| KEY_PREFIX.to_owned()),
                timeout,
                retry,
                encryption: if raw.encrypt == Some(true) { Encryption::Tls(tls) } else { Encryption::None },
            })),
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(address: &str) -> RedisLimitsSection {
        RedisLimitsSection { address: Some(address.to_owned()), ..RedisLimitsSection::default() }
    }

    #[track_caller]
    fn check(raw: &RedisLimitsSection, expected: &str) {
        assert_eq!(RedisLimitsSettings::validate(raw).expect_err("is refused").to_string(), expected);
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: RedisLimitsSection = weir_foundation::settings::documented_defaults();
        let show = |section| {
            let section = RedisLimitsSection { address: Some("redis:6379".to_owned()), ..section };
            format!("{:?}", RedisLimitsSettings::validate(&section).expect("is valid"))
        };
        assert_eq!(show(documented), show(RedisLimitsSection::default()));
    }

    #[test]
    fn without_an_address_limits_are_not_shared() {
        for section in [RedisLimitsSection::default(), raw(" ")] {
            assert!(RedisLimitsSettings::validate(&section).expect("is valid").is_none());
        }
    }

    #[test]
    fn names_every_problem() {
        check(
            &RedisLimitsSection {
                timeout: Some(DurationText::from_secs(0)),
                retry_longest: Some(DurationText::from_millis(1)),
                tls: TlsSection { ca_file: Some("a".into()), ..TlsSection::default() },
                ..raw("http://localhost:6379")
            },
            "timeout: must be longer than zero\n\
             retry_longest: must be at least `100ms`\n\
             tls: needs `encrypt`\n\
             address: `http://localhost:6379` is no host and port, as in `redis:6379`\n",
        );
    }
}
