//! Consul, one agent in memory, built from the Go module proxy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{ServiceError, trying};
use crate::home::{Home, free_ports, remove_tree};
use crate::install;
use crate::process::{Identity, Server, Spec, get};

const NAME: &str = "consul";
/// Pinned in `consul/go.mod` as well.
const VERSION: &str = "1.22.3";
const PROGRAM: &str = "github.com/hashicorp/consul";

/// A module of ours that requires it: `go install` refuses one that has replacements.
const MODULE: [(&str, &str); 3] = [
    ("go.mod", include_str!("../consul/go.mod")),
    ("go.sum", include_str!("../consul/go.sum")),
    ("tools.go", include_str!("../consul/tools.go")),
];

/// An agent that ends when dropped; it forgets everything when it ends.
#[derive(Debug)]
pub struct Consul {
    server: Server,
    address: SocketAddr,
    /// Where it finds itself as the leader.
    leader: SocketAddr,
}

impl Consul {
    /// Starts it with its log under `directory`. The first start of all builds it, which takes minutes.
    pub fn start(home: &Home, directory: &Path) -> Result<Self, ServiceError> {
        let program = program(home)?;
        let ports = free_ports(5)?;
        let [http, dns, grpc, serf, raft] = ports[..] else { unreachable!("five were asked for") };
        let mut arguments: Vec<String> =
            ["agent", "-dev", "-node=one", "-bind=127.0.0.1", "-client=127.0.0.1"]
                .map(str::to_owned)
                .to_vec();
        arguments.extend([
            format!("-http-port={http}"),
            format!("-dns-port={dns}"),
            format!("-grpc-port={grpc}"),
            "-grpc-tls-port=-1".to_owned(),
            format!("-serf-lan-port={serf}"),
            "-serf-wan-port=-1".to_owned(),
            format!("-server-port={raft}"),
            // It would tell its maker that it runs.
            "-hcl=disable_update_check = true".to_owned(),
        ]);
        let spec = Spec {
            name: NAME.to_owned(),
            program,
            arguments,
            environment: Vec::new(),
            directory: directory.to_owned(),
            package: GO,
        };
        let local = |port| (Ipv4Addr::LOCALHOST, port).into();
        let mut consul = Self { server: Server::new(spec), address: local(http), leader: local(raft) };
        consul.restart()?;
        Ok(consul)
    }

    /// Where it answers HTTP.
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
        let (address, leader) = (self.address, format!("\"{}\"", self.leader));
        self.server
            .start(|_| get(address, "/v1/status/leader").is_some_and(|answer| answer.ends_with(&leader)))
    }

    pub(crate) fn detach(self) -> Option<Identity> {
        self.server.into_detached()
    }
}

const GO: &str = "golang-go";

pub(crate) fn program(home: &Home) -> Result<PathBuf, ServiceError> {
    let folder = home.prepared(&format!("{NAME}-{VERSION}"), build)?;
    Ok(folder.join(NAME))
}

fn build(draft: &Path) -> Result<(), ServiceError> {
    for (name, text) in MODULE {
        let file = draft.join(name);
        fs::write(&file, text).map_err(trying(format!("write `{}`", file.display())))?;
    }
    // Gigabytes, of no use to anybody once it is built.
    let scratch = draft.join("scratch");
    let mut command = Command::new("go");
    command.args([
        "build",
        "-mod=readonly",
        "-modcacherw",
        "-p=2",
        "-trimpath",
        "-ldflags=-s -w",
        "-o",
        NAME,
        PROGRAM,
    ]);
    command.current_dir(draft).env("GOPATH", &scratch).env("GOCACHE", scratch.join("cache"));
    command.env("GOFLAGS", "").env("CGO_ENABLED", "0").env("GOWORK", "off");
    install::run(NAME, GO, &mut command)?;
    remove_tree(&scratch)
}
