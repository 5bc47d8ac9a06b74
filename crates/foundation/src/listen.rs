//! Binding addresses before anything is started, with errors that say what to change.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Which addresses may be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Only this machine may connect. `allow_with` is the path of the setting that says otherwise.
    Loopback { allow_with: &'static str },
    /// The operator said by that setting that every machine may connect.
    Public,
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "`{address}` can be reached from other machines: bind a loopback address, or set `{setting}` to allow it"
    )]
    NotLoopback { address: SocketAddr, setting: &'static str },
    #[error("address in use: `{address}` (does another weir run, or another program listen there?)")]
    InUse { address: SocketAddr },
    #[error(
        "not permitted to bind `{address}` (ports below 1024 need the capability `CAP_NET_BIND_SERVICE`)"
    )]
    NotPermitted { address: SocketAddr },
    #[error("`{address}` is not an address of this machine")]
    NotOurs { address: SocketAddr },
    #[error("bind `{address}`")]
    Other {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Whether an address may be bound, as far as that can be known without binding it.
pub fn permit(address: SocketAddr, exposure: Exposure) -> Result<(), BindError> {
    match exposure {
        Exposure::Loopback { allow_with } if !is_loopback(address) => {
            Err(BindError::NotLoopback { address, setting: allow_with })
        }
        Exposure::Loopback { .. } | Exposure::Public => Ok(()),
    }
}

/// A listening socket that does not block, ready for `tokio::net::TcpListener::from_std`.
///
/// With port 0 the system chooses; ask the socket for its address. The address may be bound again right after
/// the process has ended (`SO_REUSEADDR`).
pub fn bind(address: SocketAddr, exposure: Exposure) -> Result<TcpListener, BindError> {
    permit(address, exposure)?;
    open(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::PermissionDenied => BindError::NotPermitted { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::Other { address, source },
    })
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: Exposure = Exposure::Loopback { allow_with: "server.http.allow_public" };

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("is an address")
    }

    #[test]
    fn refuses_what_others_can_reach() {
        let check = |text: &str, refused: bool| {
            let outcome = bind(address(text), LOOPBACK);
            assert_eq!(matches!(outcome, Err(BindError::NotLoopback { .. })), refused, "{text}: {outcome:?}");
        };
        check("127.0.0.1:0", false);
        check("127.8.8.8:0", false);
        check("[::ffff:127.0.0.1]:0", false);
        check("0.0.0.0:0", true);
        check("[::]:0", true);
        check("192.0.2.1:0", true);
    }

    #[test]
    fn names_the_setting_that_allows_it() {
        let error = bind(address("0.0.0.0:0"), LOOPBACK).expect_err("is refused");
        insta::assert_snapshot!(error, @"`0.0.0.0:0` can be reached from other machines: bind a loopback address, or set `server.http.allow_public` to allow it");
        bind(address("0.0.0.0:0"), Exposure::Public).expect("is allowed");
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = bind(address("127.0.0.1:0"), LOOPBACK).expect("some port is free");
        let taken = first.local_addr().expect("is bound");
        let error = bind(taken, LOOPBACK).expect_err("is taken");
        assert!(error.to_string().starts_with(&format!("address in use: `{taken}`")), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        // TEST-NET-1, RFC 5737: no machine has it.
        let error = bind(address("192.0.2.1:0"), Exposure::Public).expect_err("is not ours");
        assert!(matches!(error, BindError::NotOurs { .. }), "{error:?}");
    }
}
