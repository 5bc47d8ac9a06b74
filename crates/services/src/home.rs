//! The one folder for everything: downloads in `cache/`, shared servers in `run/`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rustix::fs::{FlockOperation, flock};

use crate::error::{ServiceError, trying};

/// Where servers are kept. Git ignores it; it can be deleted at any time when none runs.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `.services` of the tree that this program was built from.
    #[must_use]
    pub fn of_the_tree() -> Self {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = fs::canonicalize(&crates).unwrap_or(crates);
        Self::at(root.join(".services"))
    }

    /// Another folder.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn cache(&self, name: &str) -> PathBuf {
        self.root.join("cache").join(name)
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    /// Where a shared server listens; an error that says how to start it if nobody did.
    pub fn address(&self, service: crate::Service) -> Result<String, ServiceError> {
        let path = self.run(service.name()).join("address");
        fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ServiceError::NotRunning { what: service.name() },
            _ => trying(format!("read `{}`", path.display()))(error),
        })
    }

    /// Makes `cache/<name>` with `make` unless it is there whole. Others that want it wait meanwhile.
    pub(crate) fn prepared(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), ServiceError>,
    ) -> Result<PathBuf, ServiceError> {
        let path = self.cache(name);
        let parent = self.root.join("cache");
        fs::create_dir_all(&parent).map_err(trying(format!("create `{}`", parent.display())))?;
        let lock = parent.join(format!("{name}.lock"));
        let file = File::create(&lock).map_err(trying(format!("create `{}`", lock.display())))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| trying(format!("lock `{}`", lock.display()))(error.into()))?;
        if !path.exists() {
            let draft = self.cache(&format!("{name}.new"));
            remove_tree(&draft)?;
            fs::create_dir_all(&draft).map_err(trying(format!("create `{}`", draft.display())))?;
            make(&draft)?;
            fs::rename(&draft, &path).map_err(trying(format!("name `{}`", path.display())))?;
        }
        Ok(path)
    }
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), ServiceError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(trying(format!("remove `{}`", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Below those that the system gives to connections that go out, and those of the system tests: a port is to be free still
/// when a server takes it, and when one that was killed is started again.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// Ports of loopback that were free a moment ago, all different.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, ServiceError> {
    let mut held: Vec<TcpListener> = Vec::new();
    for _ in PORTS {
        if held.len() == count {
            break;
        }
        let port = rand::rng().random_range(PORTS);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    let ports = held.iter().map(|listener| listener.local_addr().map(|address| address.port()));
    ports.collect::<std::io::Result<_>>().map_err(trying("find a free port"))
}
