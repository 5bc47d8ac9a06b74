//! Servers that many tests share: started once, found by their address, stopped by their ids.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use rustix::process::Signal;

use crate::error::{ServiceError, trying};
use crate::home::{Home, remove_tree};
use crate::process::Identity;
use crate::{Consul, Engine, Kafka, Postgres, Redis, Search, consul, kafka};

/// A server by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// One Kafka node.
    Kafka,
    /// Three Kafka nodes.
    Kafka3,
    /// OpenSearch 2.
    OpenSearch,
    /// OpenSearch 3.
    OpenSearch3,
    /// Elasticsearch 8.
    Elasticsearch,
    /// Redis.
    Redis,
    /// Consul.
    Consul,
    /// Postgres.
    Postgres,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kafka,
        Self::Kafka3,
        Self::OpenSearch,
        Self::OpenSearch3,
        Self::Elasticsearch,
        Self::Redis,
        Self::Consul,
        Self::Postgres,
    ];

    /// The word for it on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Kafka3 => "kafka3",
            Self::OpenSearch => "opensearch",
            Self::OpenSearch3 => "opensearch3",
            Self::Elasticsearch => "elasticsearch",
            Self::Redis => "redis",
            Self::Consul => "consul",
            Self::Postgres => "postgres",
        }
    }

    /// What asks it to end without waiting for its clients.
    const fn ending(self) -> Signal {
        match self {
            Self::Postgres => Signal::INT,
            Self::Kafka
            | Self::Kafka3
            | Self::OpenSearch
            | Self::OpenSearch3
            | Self::Elasticsearch
            | Self::Redis
            | Self::Consul => Signal::TERM,
        }
    }

    /// Starts it in `directory` for as long as somebody wants it: its address and its processes.
    fn start(self, home: &Home, directory: &Path) -> Result<(String, Vec<Identity>), ServiceError> {
        let search = |engine| {
            let node = Search::start(home, engine, directory)?;
            Ok((node.address().to_string(), node.detach().into_iter().collect()))
        };
        let kafka = |nodes| {
            let cluster = Kafka::start(home, directory, nodes)?;
            Ok((cluster.addresses(), cluster.detach()))
        };
        match self {
            Self::Kafka => kafka(1),
            Self::Kafka3 => kafka(3),
            Self::OpenSearch => search(Engine::OpenSearch2),
            Self::OpenSearch3 => search(Engine::OpenSearch3),
            Self::Elasticsearch => search(Engine::Elasticsearch8),
            Self::Redis => {
                let redis = Redis::start(directory)?;
                Ok((redis.address().to_string(), redis.detach().into_iter().collect()))
            }
            Self::Consul => {
                let consul = Consul::start(home, directory)?;
                Ok((consul.address().to_string(), consul.detach().into_iter().collect()))
            }
            Self::Postgres => {
                let postgres = Postgres::start(directory)?;
                Ok((postgres.address().to_string(), postgres.detach().into_iter().collect()))
            }
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|service| service.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|service| service.name()).collect();
            format!("no service `{text}`; there are {}", names.join(", "))
        })
    }
}

/// Puts into the cache what starting a server would download or build, which takes minutes for Consul. Redis and
/// Postgres are packages of the machine.
pub fn fetch(home: &Home, service: Service) -> Result<(), ServiceError> {
    match service {
        Service::Kafka | Service::Kafka3 => kafka::libs(home).map(drop),
        Service::OpenSearch => Engine::OpenSearch2.install(home).map(drop),
        Service::OpenSearch3 => Engine::OpenSearch3.install(home).map(drop),
        Service::Elasticsearch => Engine::Elasticsearch8.install(home).map(drop),
        Service::Redis | Service::Postgres => Ok(()),
        Service::Consul => consul::program(home).map(drop),
    }
}

/// Starts a server and leaves it running; gives its address. One that ran before is stopped first.
pub fn up(home: &Home, service: Service) -> Result<String, ServiceError> {
    down(home, service)?;
    let directory = home.run(service.name());
    fs::create_dir_all(&directory).map_err(trying(format!("create `{}`", directory.display())))?;
    let (address, processes) = service.start(home, &directory)?;
    let mut list = String::new();
    for Identity { id, began } in processes {
        writeln!(list, "{id} {began}").expect("a string takes everything");
    }
    for (name, text) in [("processes", &list), ("address", &address)] {
        let file = directory.join(name);
        fs::write(&file, text).map_err(trying(format!("write `{}`", file.display())))?;
    }
    Ok(address)
}

/// Stops what [`up`] started and removes its data. Nothing to stop is no error.
pub fn down(home: &Home, service: Service) -> Result<(), ServiceError> {
    let directory = home.run(service.name());
    let list = fs::read_to_string(directory.join("processes")).unwrap_or_default();
    list.lines().filter_map(identity).try_for_each(|process| process.stop(service.ending()))?;
    remove_tree(&directory)
}

fn identity(line: &str) -> Option<Identity> {
    let (id, began) = line.split_once(' ')?;
    Some(Identity { id: id.parse().ok()?, began: began.parse().ok()? })
}
