//! OpenSearch and Elasticsearch, one node each, without their security plugins.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{ServiceError, trying};
use crate::home::{Home, free_ports};
use crate::install;
use crate::process::{self, Identity, Server, Spec, get};

/// Which of the two, and which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// OpenSearch 2, for JDK 11 and newer.
    OpenSearch2,
    /// OpenSearch 3, for JDK 21 and newer.
    OpenSearch3,
    /// Elasticsearch 8.
    Elasticsearch8,
}

/// A node that ends when dropped.
#[derive(Debug)]
pub struct Search {
    server: Server,
    address: SocketAddr,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::OpenSearch2 | Self::OpenSearch3 => "opensearch",
            Self::Elasticsearch8 => "elasticsearch",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::OpenSearch2 => "2.19.6",
            Self::OpenSearch3 => "3.6.0",
            Self::Elasticsearch8 => "8.19.21",
        }
    }

    pub(crate) fn install(self, home: &Home) -> Result<PathBuf, ServiceError> {
        let (name, version) = (self.name(), self.version());
        let group = match self {
            Self::OpenSearch2 | Self::OpenSearch3 => "org.opensearch.distribution.integ-test-zip",
            Self::Elasticsearch8 => "org.elasticsearch.distribution.integ-test-zip",
        };
        let folder = format!("{name}-{version}");
        let unpacked = home
            .prepared(&folder, |draft| install::zip(name, &format!("{group}:{name}:{version}:zip"), draft))?;
        Ok(unpacked.join(folder))
    }

    fn settings(self, port: u16, transport: u16, directory: &Path) -> String {
        let mut text = format!(
            "cluster.name: weir-tests
node.name: one
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport}
discovery.type: single-node
path.data: {data}
path.logs: {logs}
cluster.routing.allocation.disk.threshold_enabled: false
action.auto_create_index: true
",
            data = directory.join("data").display(),
            logs = directory.join("logs").display(),
        );
        if self == Self::Elasticsearch8 {
            text.push_str("xpack.security.enabled: false\n");
        }
        text
    }

    fn environment(self, directory: &Path) -> Result<Vec<(&'static str, String)>, ServiceError> {
        let java = java_home(if self == Self::OpenSearch3 { 21 } else { 17 })?;
        let small = "-Xms256m -Xmx256m -XX:-AlwaysPreTouch -XX:TieredStopAtLevel=1".to_owned();
        let (conf, tmp) = (directory.join("conf"), directory.join("tmp"));
        let (conf, tmp) = (conf.display().to_string(), tmp.display().to_string());
        Ok(match self {
            Self::OpenSearch2 | Self::OpenSearch3 => vec![
                ("JAVA_HOME", java),
                ("OPENSEARCH_JAVA_OPTS", small),
                ("OPENSEARCH_PATH_CONF", conf),
                ("OPENSEARCH_TMPDIR", tmp),
            ],
            Self::Elasticsearch8 => vec![
                ("ES_JAVA_HOME", java),
                ("ES_JAVA_OPTS", small),
                ("ES_PATH_CONF", conf),
                ("ES_TMPDIR", tmp),
            ],
        })
    }
}

impl Search {
    /// Starts a node with its data under `directory`.
    pub fn start(home: &Home, engine: Engine, directory: &Path) -> Result<Self, ServiceError> {
        let installed = engine.install(home)?;
        let ports = free_ports(2)?;
        let [port, transport] = ports[..] else { unreachable!("two were asked for") };
        for folder in ["conf", "tmp", "data", "logs"] {
            let folder = directory.join(folder);
            fs::create_dir_all(&folder).map_err(trying(format!("create `{}`", folder.display())))?;
        }
        let conf = directory.join("conf");
        for entry in fs::read_dir(installed.join("config")).map_err(trying("read the settings"))?.flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), conf.join(entry.file_name())).map_err(trying("copy the settings"))?;
            }
        }
        let settings = engine.settings(port, transport, directory);
        let file = conf.join(format!("{}.yml", engine.name()));
        fs::write(&file, settings).map_err(trying(format!("write `{}`", file.display())))?;
        // It refuses to run as root: a user namespace in which it is somebody else needs no such user.
        let mut arguments = ["-U", "--map-user=1000", "--map-group=1000"].map(str::to_owned).to_vec();
        arguments.push(installed.join("bin").join(engine.name()).display().to_string());
        let spec = Spec {
            name: engine.name().to_owned(),
            program: "unshare".into(),
            arguments,
            environment: engine.environment(directory)?,
            directory: directory.to_owned(),
            package: "util-linux",
        };
        let mut node = Self { server: Server::new(spec), address: (Ipv4Addr::LOCALHOST, port).into() };
        node.restart()?;
        Ok(node)
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

    /// Starts it again at the same address with its data.
    pub fn restart(&mut self) -> Result<(), ServiceError> {
        let address = self.address;
        self.server.start(|_| {
            let health = get(address, "/_cluster/health").unwrap_or_default();
            health.contains("\"green\"") || health.contains("\"yellow\"")
        })
    }

    /// One node for all tests of this process, which ends with it, however it ends. The first caller starts it.
    pub fn of_this_process(home: &Home, engine: Engine) -> Result<SocketAddr, ServiceError> {
        static NODES: Mutex<BTreeMap<&'static str, SocketAddr>> = Mutex::new(BTreeMap::new());
        let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = nodes.get(engine.version()) {
            return Ok(*address);
        }
        let directory = process::lasting_directory()?;
        let node = Self::start(home, engine, &directory)?;
        let address = node.address();
        node.server.into_leashed(&directory)?;
        nodes.insert(engine.version(), address);
        Ok(address)
    }

    pub(crate) fn detach(self) -> Option<Identity> {
        self.server.into_detached()
    }
}

/// A Java of at least this version among those of the system.
fn java_home(oldest: u32) -> Result<String, ServiceError> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("bin/java").exists())
        .filter_map(|entry| Some((java_version(&entry.file_name().to_string_lossy())?, entry.path())))
        .filter(|(version, _)| *version >= oldest)
        .collect();
    found.sort();
    let first = found.into_iter().next().map(|(_, path)| path.display().to_string());
    first.ok_or(ServiceError::Missing { program: format!("java {oldest}"), package: "default-jre-headless" })
}

/// The first number of a folder name such as `java-17-openjdk-amd64` or `temurin-25-jdk`.
fn java_version(name: &str) -> Option<u32> {
    name.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
}
