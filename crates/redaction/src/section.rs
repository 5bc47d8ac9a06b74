//! The settings of redaction.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;
use weir_foundation::settings::{DurationText, Problem, Problems, Secret};
use weir_foundation::tls::{TlsSection, TlsSettings};

use crate::document::{Document, UnknownFields};
use crate::mask::ShortMatch;
use crate::rules::{DefaultRules, Manner};
use crate::source::{Endpoint, Source};

/// What is taken out of events before anything stores or shows them. Rules come from one of `rules`, `file` and
/// `endpoint`; without any nothing is redacted. Their form is described in `docs/redaction.md`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactionSection {
    /// The rules themselves, as JSON text. Default: none.
    pub rules: Option<String>,
    /// A file with the rules as JSON, which is read again every `refresh`. Default: none.
    pub file: Option<PathBuf>,
    /// A URL that answers GET with the rules as JSON; asked again every `refresh`. Until it has answered once
    /// nothing is delivered. Default: none.
    pub endpoint: Option<String>,
    /// Sent to `endpoint` as `cluster_name`. Default: ``.
    pub cluster_name: Option<String>,
    /// Sent to `endpoint` as `client_key`. Default: ``.
    pub client_key: Option<Secret>,
    /// How `endpoint` is reached by TLS.
    pub tls: TlsSection,
    /// How often `file` and `endpoint` are read again; while they can not be, the rules of before stay.
    /// Default: `60s`.
    pub refresh: Option<DurationText>,
    /// How long an answer of `endpoint` may take. Default: `10s`.
    pub timeout: Option<DurationText>,
    /// What the rules of `default` are to an app that has its own: `merge`, tried after its own; `replace`,
    /// nothing. Default: `merge`, with `compat: barito` `replace`.
    pub default_rules: Option<DefaultRulesText>,
    /// Whose behaviour is expected where the two differ. Default: `weir`.
    pub compat: Option<Compat>,
}

/// What the rules of `default` are to an app that has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefaultRulesText {
    Merge,
    Replace,
}

/// Whose behaviour is expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// A rule with an unknown field is refused; hints that would show a match whole are left out.
    #[default]
    Weir,
    /// Unknown fields are ignored; hints are shown as far as the match is long enough for each; `rules` go before
    /// `endpoint` if both are given.
    Barito,
}

/// The validated [`RedactionSection`].
#[derive(Debug, Clone)]
pub struct RedactionSettings {
    pub source: Source,
    pub refresh: Duration,
    pub manner: Manner,
    pub unknown_fields: UnknownFields,
}

const REFRESH: DurationText = DurationText::from_secs(60);
const TIMEOUT: DurationText = DurationText::from_secs(10);
const LEAST_REFRESH: DurationText = DurationText::from_secs(1);

impl RedactionSettings {
    pub fn validate(raw: &RedactionSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let compat = raw.compat.unwrap_or_default();
        let unknown_fields = match compat {
            Compat::Weir => UnknownFields::Refuse,
            Compat::Barito => UnknownFields::Ignore,
        };
        let refresh = raw.refresh.unwrap_or(REFRESH);
        if refresh < LEAST_REFRESH {
            problems.push(Problem::at("refresh", format!("must be at least `{LEAST_REFRESH}`")));
        }
        let source = problems.take("", source(raw, compat, unknown_fields));
        let settings = Self {
            source: source.unwrap_or(Source::Off),
            refresh: refresh.duration(),
            manner: manner(raw, compat),
            unknown_fields,
        };
        problems.or(settings)
    }
}

fn manner(raw: &RedactionSection, compat: Compat) -> Manner {
    let (defaults, short_matches) = match compat {
        Compat::Weir => (DefaultRules::Merge, ShortMatch::Hide),
        Compat::Barito => (DefaultRules::Replace, ShortMatch::Show),
    };
    let defaults = match raw.default_rules {
        Some(DefaultRulesText::Merge) => DefaultRules::Merge,
        Some(DefaultRulesText::Replace) => DefaultRules::Replace,
        None => defaults,
    };
    Manner { defaults, short_matches }
}

fn source(raw: &RedactionSection, compat: Compat, unknown: UnknownFields) -> Result<Source, Problems> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (rules, endpoint) = (given(&raw.rules), given(&raw.endpoint));
    let endpoint = endpoint.filter(|_| rules.is_none() || compat == Compat::Weir);
    match (rules, &raw.file, endpoint) {
        (None, None, None) => Ok(Source::Off),
        (Some(rules), None, None) => match Document::read(&rules, unknown) {
            Ok(_) => Ok(Source::Text(rules)),
            Err(error) => Err(Problem::at("rules", error.to_string()).into()),
        },
        (None, Some(file), None) => Ok(Source::File(file.clone())),
        (None, None, Some(url)) => self::endpoint(raw, &url).map(Source::Endpoint),
        _ => Err(Problem::at("", "`rules`, `file` and `endpoint` exclude each other").into()),
    }
}

fn endpoint(raw: &RedactionSection, url: &str) -> Result<Endpoint, Problems> {
    let mut problems = Problems::default();
    let parsed = Url::parse(url);
    let url = match parsed {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        Ok(_) => {
            problems.push(Problem::at("endpoint", "must be a URL of `http` or `https`"));
            None
        }
        Err(error) => {
            problems.push(Problem::at("endpoint", format!("is no URL: {error}")));
            None
        }
    };
    let timeout = raw.timeout.unwrap_or(TIMEOUT).duration();
    if timeout.is_zero() {
        problems.push(Problem::at("timeout", "must be longer than zero"));
    }
    let tls = problems.take("tls", TlsSettings::validate(&raw.tls));
    match (url, tls) {
        (Some(url), Some(tls)) if problems.is_empty() => Ok(Endpoint {
            url,
            cluster_name: raw.cluster_name.clone().unwrap_or_default(),
            client_key: raw.client_key.clone().unwrap_or(Secret::new("")),
            tls,
            timeout,
        }),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests;
