//! Sets of addresses, and where servers are.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin with the same bits, such as `10.1.0.0/16` or `2001:db8::/32`, or a single one, such as
/// `10.1.0.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

/// A text that is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoNetwork {
    #[error("is neither an address nor a network such as `10.1.0.0/16`")]
    Malformed,
    #[error("stands for every address")]
    Everybody,
    #[error("has bits behind the first {bits}: did you mean `{meant}`?")]
    BitsBehind { bits: u32, meant: Network },
    #[error("is an address of IPv4 written as one of IPv6: write it without `::ffff:`")]
    Mapped,
}

/// Where a server listens: a name or an IP address (of version 6 in brackets), a colon, a port, such as
/// `postgres.internal:5432`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Without brackets.
    host: String,
    port: u16,
}

/// A text that is no [`HostPort`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no host and port")]
pub struct NoHostPort;

impl HostPort {
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether nobody but this machine sees what goes there.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_this_machine(&self.host)
    }
}

impl FromStr for HostPort {
    type Err = NoHostPort;

    fn from_str(text: &str) -> Result<Self, NoHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(NoHostPort)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(NoHostPort)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(ip) => ip.parse::<Ipv6Addr>().map_err(|_other| NoHostPort)?.to_string(),
            None if !host.is_empty() && host.chars().all(plain) => host.to_owned(),
            None => return Err(NoHostPort),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Network {
    /// Whether the address is one of them. One of IPv4 that is written as one of IPv6 is the former.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.first) && masked(address, self.bits) == number(self.first)
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = address.parse().map_err(|_error| NoNetwork::Malformed)?;
        if first.to_canonical() != first {
            return Err(NoNetwork::Mapped);
        }
        let bits = match bits {
            None => width(first),
            Some(bits) if bits.starts_with('+') => return Err(NoNetwork::Malformed),
            Some(bits) => bits.parse().map_err(|_error| NoNetwork::Malformed)?,
        };
        if bits > width(first) {
            return Err(NoNetwork::Malformed);
        }
        if bits == 0 {
            return Err(NoNetwork::Everybody);
        }
        let begin = masked(first, bits);
        if begin != number(first) {
            return Err(NoNetwork::BitsBehind { bits, meant: Self { first: with(first, begin), bits } });
        }
        Ok(Self { first, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, bits } if *bits == width(*first) => write!(f, "{first}"),
            Self { first, bits } => write!(f, "{first}/{bits}"),
        }
    }
}

/// Whether what goes to a host stays on this machine: `localhost`, or a loopback address, with brackets or without. No
/// other name is looked up.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ip = bracketed.unwrap_or(host).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => u32::BITS,
        IpAddr::V6(_) => u128::BITS,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// An address of the same kind. The number is one of such an address.
fn with(kind: IpAddr, number: u128) -> IpAddr {
    match kind {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}

/// Its first bits, and zeros behind them. `bits` are not more than it has.
fn masked(address: IpAddr, bits: u32) -> u128 {
    let behind = width(address) - bits;
    let number = number(address);
    number.checked_shr(behind).and_then(|first| first.checked_shl(behind)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_at_a_host_and_a_port() {
        let check = |text: &str, expected: Option<(&str, u16, bool)>| {
            let read = text.parse::<HostPort>().ok();
            let found = read.as_ref().map(|place| (place.host(), place.port(), place.is_loopback()));
            assert_eq!(found, expected, "{text}");
            assert_eq!(read.map(|place| place.to_string()), expected.map(|_| text.to_owned()));
        };
        check("redis:6379", Some(("redis", 6379, false)));
        check("a_b.c-d:1", Some(("a_b.c-d", 1, false)));
        check("10.0.0.1:1", Some(("10.0.0.1", 1, false)));
        check("127.0.0.9:65535", Some(("127.0.0.9", 65535, true)));
        check("[::1]:6379", Some(("::1", 6379, true)));
        check("localhost:1", Some(("localhost", 1, true)));
        for other in
            ["redis", ":6379", "redis:0", "redis:65536", "::1:6379", "user@redis:6379", "[a]:1", "a b:1", ""]
        {
            check(other, None);
        }
    }

    #[test]
    fn this_machine_has_names_and_addresses() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in
            ["", "localhost.", "localhost.evil.org", "[localhost]", "[::1", "::2", "0.0.0.0", "10.0.0.1"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().expect("is one");
            assert_eq!(network.contains(address.parse().expect("is one")), expected, "{network} {address}");
        };
        check("10.1.0.0/16", "10.1.255.255", true);
        check("10.1.0.0/16", "10.2.0.0", false);
        check("10.1.0.0/16", "::ffff:10.1.2.3", true);
        check("10.1.0.0/16", "::10.1.2.3", false);
        check("128.0.0.0/1", "255.0.0.1", true);
        check("128.0.0.0/1", "127.0.0.1", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1/32", "127.0.0.2", false);
        check("127.0.0.1", "::1", false);
        check("::1", "::1", true);
        check("::1", "0.0.0.1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::", false);
        check("8000::/1", "ffff::", true);
    }

    #[test]
    fn networks_have_one_spelling() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let read = text.parse::<Network>();
            let shown = read.map(|network| network.to_string()).map_err(|error| error.to_string());
            assert_eq!(shown, expected.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        };
        let malformed = Err("is neither an address nor a network such as `10.1.0.0/16`");
        check("10.1.0.7", Ok("10.1.0.7"));
        check("10.1.0.7/32", Ok("10.1.0.7"));
        check("10.0.0.0/8", Ok("10.0.0.0/8"));
        check("2001:db8::/32", Ok("2001:db8::/32"));
        check("::1/128", Ok("::1"));
        for text in ["", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8"] {
            check(text, malformed);
        }
        for text in ["10.0.0", "proxy.example", "10.0.0.0/8/8", "10.0.0.0 ", "10.0.0.0:8083", "[::1]"] {
            check(text, malformed);
        }
        check("0.0.0.0/0", Err("stands for every address"));
        check("::/0", Err("stands for every address"));
        check("10.1.0.7/16", Err("has bits behind the first 16: did you mean `10.1.0.0/16`?"));
        check("2001:db8::1/32", Err("has bits behind the first 32: did you mean `2001:db8::/32`?"));
        let mapped = "is an address of IPv4 written as one of IPv6: write it without `::ffff:`";
        check("::ffff:10.1.0.7", Err(mapped));
        check("::ffff:10.0.0.0/104", Err(mapped));
    }
}
