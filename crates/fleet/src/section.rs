//! Settings of the instance, as written by people, and validated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::listen::{Exposure, permit};
use weir_foundation::network::Network;
use weir_foundation::settings::{DurationText, Problem, Problems};

use crate::settings::FleetSettings;

/// The agents of this instance: where they join, and how long what they are given is good.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FleetSection {
    /// Address where nodes enrol, by TLS. Default: `127.0.0.1:8084`.
    pub enrol_listen: Option<SocketAddr>,
    /// Names or addresses by which nodes reach this machine, without ports; they stand in access keys. Default: the
    /// address of `producer.ingest_listen`, for `weir server` that of `fleet.enrol_listen`; where that is all addresses,
    /// the name of this machine.
    pub names: Option<Vec<String>>,
    /// Whether programs on this machine may send as agents without a key; never from an address of `proxies`. Default:
    /// `true`.
    pub local_agents: Option<bool>,
    /// Addresses and networks of proxies that end TLS in front of `producer.ingest_listen` and `fleet.enrol_listen`, such as
    /// `10.1.0.7` or `10.1.0.0/28`. Connections from there need no TLS, and whom they name in `Client-Cert` is taken for
    /// that agent: nobody else may be able to connect from there. Default: none.
    pub proxies: Option<Vec<String>>,
    /// What nodes and agents are told to connect to, where that is not this machine by its own ports.
    pub advertise: AdvertiseSection,
    /// How long the certificate of an agent is good; it is renewed at six tenths. Default: `24h`.
    pub certificate_life: Option<DurationText>,
    /// How long an access token of an agent is good; it is renewed before. Default: `10m`.
    pub token_life: Option<DurationText>,
}

/// Where a proxy or a forwarded port is reached that stands for this machine, `host:port` each.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdvertiseSection {
    /// Where agents connect: all producers of the instance. Default: the `fleet.names`, with the port of
    /// `producer.ingest_listen`.
    pub agents: Option<Vec<String>>,
    /// Where nodes enrol; it stands in access keys. Default: the `fleet.names`, with the port of
    /// `fleet.enrol_listen`.
    pub enrolment: Option<Vec<String>>,
}

/// Where agents and nodes reach a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    pub agents: SocketAddr,
    pub enrolment: SocketAddr,
}

/// What agents and nodes are told about that, `host:port` each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub agents: Vec<String>,
    pub enrolment: Vec<String>,
}

/// The validated [`FleetSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetListen {
    pub enrol: SocketAddr,
    names: Option<Vec<String>>,
    pub local_agents: bool,
    pub proxies: Vec<Network>,
    advertised_agents: Option<Vec<String>>,
    advertised_enrolment: Option<Vec<String>>,
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
        let names = listed(&raw.names, "names", &mut problems, |name| {
            let message = || format!("`{name}` is neither a name of a machine nor an address, without port");
            if is_host(name) { Ok(name.to_owned()) } else { Err(message()) }
        });
        let proxies = raw.proxies.as_deref().unwrap_or_default();
        let proxies = each(proxies, "proxies", &mut problems, |text| {
            text.parse::<Network>().map_err(|error| format!("`{text}` {error}"))
        });
        let AdvertiseSection { agents, enrolment } = &raw.advertise;
        let advertised_agents = listed(agents, "advertise.agents", &mut problems, host_and_port);
        let advertised_enrolment = listed(enrolment, "advertise.enrolment", &mut problems, host_and_port);
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
        problems.or(Self {
            enrol,
            names,
            local_agents,
            proxies,
            advertised_agents,
            advertised_enrolment,
            fleet,
        })
    }

    /// By which nodes reach this machine, which is called `host`, where they are listened for at this address.
    #[must_use]
    pub fn names(&self, at: SocketAddr, host: &str) -> Vec<String> {
        match &self.names {
            Some(names) => names.clone(),
            None if at.ip().is_unspecified() => vec![host.to_owned()],
            None => vec![at.ip().to_canonical().to_string()],
        }
    }

    /// Where agents and nodes are told to connect, if this machine has these names.
    #[must_use]
    pub fn told(&self, doors: Doors, names: &[String]) -> Told {
        let at = |address: SocketAddr| names.iter().map(|name| host_port(name, address.port())).collect();
        let or =
            |advertised: &Option<Vec<String>>, address| advertised.clone().unwrap_or_else(|| at(address));
        Told {
            agents: or(&self.advertised_agents, doors.agents),
            enrolment: or(&self.advertised_enrolment, doors.enrolment),
        }
    }
}

/// A list that is not empty where it is given.
fn listed<T>(
    raw: &Option<Vec<String>>,
    at: &str,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let raw = raw.as_ref()?;
    if raw.is_empty() {
        problems.push(Problem::at(at, "must have at least one"));
    }
    Some(each(raw, at, problems, read))
}

fn each<T>(
    raw: &[String],
    at: &str,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut good = Vec::with_capacity(raw.len());
    for (index, text) in raw.iter().enumerate() {
        match read(text) {
            Ok(value) => good.push(value),
            Err(message) => problems.push(Problem::at(format!("{at}[{index}]"), message)),
        }
    }
    good
}

fn is_host(name: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.chars().all(is_sign))
}

fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let is_named = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host) && !host.contains(':'),
    };
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_named && is_port {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no address such as `weir.example:8083`"))
    }
}

fn host_port(name: &str, port: u16) -> String {
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
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
            proxies: Some(["10.1.0.7", "proxy.example", "0.0.0.0/0", "10.1.0.7/28"].map(Into::into).to_vec()),
            advertise: AdvertiseSection {
                agents: Some(Vec::new()),
                enrolment: Some(
                    ["weir.example", "weir.example:0", "::1:8084", "[::1]:8084"].map(Into::into).to_vec(),
                ),
            },
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

    #[test]
    fn what_is_advertised_stands_for_this_machine() {
        let doors = Doors {
            agents: "[::1]:8083".parse().expect("an address"),
            enrolment: "127.0.0.1:8084".parse().expect("an address"),
        };
        let check = |agents: Option<&str>, enrolment: Option<&str>, expected: [&[&str]; 2]| {
            let list = |text: Option<&str>| text.map(|text| text.split(' ').map(str::to_owned).collect());
            let advertise = AdvertiseSection { agents: list(agents), enrolment: list(enrolment) };
            let raw = FleetSection { advertise, ..FleetSection::default() };
            let listen = FleetListen::validate(&raw, LOOPBACK).expect("it is good");
            let told = listen.told(doors, &["weir.example".to_owned(), "::1".to_owned()]);
            assert_eq!([told.agents, told.enrolment], expected);
        };
        let own = ["weir.example:8084", "[::1]:8084"];
        check(None, None, [&["weir.example:8083", "[::1]:8083"], &own]);
        let proxies = ["proxy.example:443", "[2001:db8::7]:8083"];
        check(Some("proxy.example:443 [2001:db8::7]:8083"), None, [&proxies, &own]);
        check(None, Some("10.0.0.7:9"), [&["weir.example:8083", "[::1]:8083"], &["10.0.0.7:9"]]);
    }
}
