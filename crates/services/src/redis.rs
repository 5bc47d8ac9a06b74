//! Redis of the distribution, without files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::error::ServiceError;
use crate::home::free_ports;
use crate::process::{Identity, Server, Spec, ask};

/// A server that ends when dropped; it forgets everything when it ends.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    address: SocketAddr,
}

impl Redis {
    /// Starts it with its log under `directory`.
    pub fn start(directory: &Path) -> Result<Self, ServiceError> {
        let port = free_ports(1)?.first().copied().unwrap_or_default();
        let folder = directory.display().to_string();
        let arguments = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", &folder, "--save", ""];
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        arguments.extend(["--appendonly", "no", "--daemonize", "no"].map(str::to_owned));
        let spec = Spec {
            name: "redis".to_owned(),
            program: "redis-server".into(),
            arguments,
            environment: Vec::new(),
            directory: directory.to_owned(),
            package: "redis-server",
        };
        let mut redis = Self { server: Server::new(spec), address: (Ipv4Addr::LOCALHOST, port).into() };
        redis.restart()?;
        Ok(redis)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) -> Result<(), ServiceError> {
        self.server.kill()
    }

    /// Starts it again at the same address, empty.
    pub fn restart(&mut self) -> Result<(), ServiceError> {
        let address = self.address;
        let question = b"PING\r\nQUIT\r\n";
        self.server.start(|_| ask(address, question).is_some_and(|answer| answer.starts_with(b"+PONG")))
    }

    pub(crate) fn detach(self) -> Option<Identity> {
        self.server.into_detached()
    }
}
