//! Settings of the instance, as written by people, and validated.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::listen::{Exposure, permit};
use weir_foundation::settings::{DurationText, Problem, Problems};

use crate::settings::FleetSettings;

/// The agents of this instance: where they join, and how long what they are given is good.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FleetSection {
    /// Address where nodes enrol, by TLS. Default: `127.0.0.1:8084`.
    pub enrol_listen: Option<SocketAddr>,
    /// Names or addresses by which nodes reach this machine, without ports; they stand in access keys. Default: the
    /// address of `producer.ingest_listen`; where that is all addresses, the name of this machine.
    pub names: Option<Vec<String>>,
    /// Whether programs on this machine may send as agents without a key. Default: `true`.
    pub local_agents: Option<bool>,
    /// How long the certificate of an agent is good; it is renewed at six tenths. Default: `24h`.
    pub certificate_life: Option<DurationText>,
    /// How long an access token of an agent is good; it is renewed before. Default: `10m`.
    pub token_life: Option<DurationText>,
}

/// The validated [`FleetSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetListen {
    pub enrol: SocketAddr,
    names: Option<Vec<String>>,
    pub local_agents: bool,
    /// Without addresses.
    pub fleet: FleetSettings,
}

const ENROL_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8084);

/// Less is no time to renew in.
const SHORTEST_TOKEN: Duration = Duration::from_secs(2);
const SHORTEST_CERTIFICATE: Duration = Duration::from_secs(10);

impl FleetListen {
    pub fn validate(raw: &FleetSection, exposure: Exposure) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let enrol = raw.enrol_listen.unwrap_or(ENROL_LISTEN);
        if let Err(error) = permit(enrol, exposure) {
            problems.push(Problem::at("enrol_listen", error.to_string()));
        }
        for (index, name) in raw.names.iter().flatten().enumerate() {
            let is_address = name.parse::<IpAddr>().is_ok();
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            if !is_address && (name.is_empty() || !name.chars().all(is_name)) {
                let message = format!("`{name}` is neither a name of a machine nor an address, without port");
                problems.push(Problem::at(format!("names[{index}]"), message));
            }
        }
        if raw.names.as_ref().is_some_and(Vec::is_empty) {
            problems.push(Problem::at("names", "must have at least one"));
        }
        let usual = FleetSettings::default();
        let mut life = |at: &str, given: Option<DurationText>, usual: Duration, shortest: Duration| {
            let life = given.map_or(usual, DurationText::duration);
            if life < shortest {
                problems.push(Problem::at(at, format!("must be at least `{}s`", shortest.as_secs())));
            }
            life
        };
        let fleet = FleetSettings {
            certificate_life: life(
                "certificate_life",
                raw.certificate_life,
                usual.certificate_life,
                SHORTEST_CERTIFICATE,
            ),
            token_life: life("token_life", raw.token_life, usual.token_life, SHORTEST_TOKEN),
            ..usual
        };
        let local_agents = raw.local_agents.unwrap_or(true);
        problems.or(Self { enrol, names: raw.names.clone(), local_agents, fleet })
    }

    /// By which nodes reach this machine, which is called `host`, where agents are listened for at this address.
    #[must_use]
    pub fn names(&self, agents: SocketAddr, host: &str) -> Vec<String> {
        match &self.names {
            Some(names) => names.clone(),
            None if agents.ip().is_unspecified() => vec![host.to_owned()],
            None => vec![agents.ip().to_canonical().to_string()],
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::settings::documented_defaults;

    use super::*;

    const LOOPBACK: Exposure = Exposure::Loopback { allow_with: "listen.allow_public" };

    #[test]
    fn the_documented_defaults_are_the_real_ones() {
        let validate = |raw: &FleetSection| FleetListen::validate(raw, LOOPBACK);
        assert_eq!(validate(&documented_defaults()), validate(&FleetSection::default()));
    }

    #[test]
    fn every_problem_is_named() {
        let raw = FleetSection {
            enrol_listen: Some("0.0.0.0:8084".parse().expect("an address")),
            names: Some(vec!["weir.example:8083".into(), String::new()]),
            certificate_life: Some("1s".parse().expect("a duration")),
            token_life: Some("1s".parse().expect("a duration")),
            ..FleetSection::default()
        };
        insta::assert_snapshot!(FleetListen::validate(&raw, LOOPBACK).expect_err("all of it is wrong"));
    }

    #[test]
    fn nodes_are_told_a_name_that_they_can_reach() {
        let check = |given: Option<&str>, agents: &str, expected: &str| {
            let names = given.map(|name| vec![name.to_owned()]);
            let raw = FleetSection { names, ..FleetSection::default() };
            let listen = FleetListen::validate(&raw, Exposure::Public).expect("it is good");
            assert_eq!(listen.names(agents.parse().expect("an address"), "node"), [expected]);
        };
        check(None, "127.0.0.1:8083", "127.0.0.1");
        check(None, "0.0.0.0:8083", "node");
        check(None, "[::]:8083", "node");
        check(None, "[2001:db8::1]:8083", "2001:db8::1");
        check(Some("weir.example"), "0.0.0.0:8083", "weir.example");
    }
}
