use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use weir_foundation::listen::bind;
use weir_server::Reach;

use crate::settings::{INGEST, Settings};

/// Every address of the process, bound.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) grpc: TcpListener,
    pub(super) ingest: TcpListener,
    pub(super) enrolment: TcpListener,
    pub(super) ops: TcpListener,
}

/// Where the process can be reached, with the ports that the system chose where it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) ingest: SocketAddr,
    pub(crate) enrolment: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Listeners {
    pub(super) fn bind(settings: &Settings) -> Result<Self> {
        let exposure = settings.listen.exposure;
        Ok(Self {
            ops: bind(settings.listen.ops, exposure).context("open the address for operators")?,
            http: bind(settings.listen.http, exposure).context("open the address for HTTP")?,
            grpc: bind(settings.producer.grpc_listen, exposure).context("open the address for gRPC")?,
            ingest: bind(settings.producer.ingest_listen.unwrap_or(INGEST), exposure)
                .context("open the address for agents")?,
            enrolment: bind(settings.fleet.enrol, exposure).context("open the address for enrolment")?,
        })
    }

    pub(super) fn addresses(&self) -> Result<Addresses> {
        let address = |listener: &TcpListener| listener.local_addr().context("ask for a bound address");
        Ok(Addresses {
            http: address(&self.http)?,
            grpc: address(&self.grpc)?,
            ingest: address(&self.ingest)?,
            enrolment: address(&self.enrolment)?,
            ops: address(&self.ops)?,
        })
    }
}

/// Who gets to an address.
pub(super) fn reach(address: SocketAddr) -> Reach {
    if address.ip().to_canonical().is_loopback() { Reach::ThisMachine } else { Reach::OtherMachines }
}

impl Addresses {
    /// Where this machine reaches an address that may stand for all of its own.
    pub(crate) fn local(address: SocketAddr) -> SocketAddr {
        match address.ip() {
            ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
            _ => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_this_machine_is_of_others() {
        let check = |address: &str, expected: Reach| {
            assert_eq!(reach(address.parse().expect("is an address")), expected, "{address}");
        };
        check("127.0.0.1:8080", Reach::ThisMachine);
        check("127.9.9.9:8080", Reach::ThisMachine);
        check("[::1]:8080", Reach::ThisMachine);
        check("[::ffff:127.0.0.1]:8080", Reach::ThisMachine);
        check("0.0.0.0:8080", Reach::OtherMachines);
        check("[::]:8080", Reach::OtherMachines);
        check("192.168.0.7:8080", Reach::OtherMachines);
    }
}
