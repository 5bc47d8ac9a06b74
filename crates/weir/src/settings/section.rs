use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_consumer::section::ConsumerSection;
use weir_discovery::ConsulSection;
use weir_fleet::FleetSection;
use weir_foundation::listen::{Exposure, permit};
use weir_foundation::settings::{Problem, Problems};
use weir_foundation::supervise::DrainSection;
use weir_foundation::telemetry::LogSection;
use weir_journal::sqlite::JournalSection;
use weir_journal_kafka::KafkaSection;
use weir_limits_redis::RedisLimitsSection;
use weir_producer::ProducerSection;
use weir_redaction::RedactionSection;
use weir_server::ServerSection;
use weir_store::segment::StoreSection;
use weir_store_elastic::ElasticSection;

/// The settings of weir.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSettings {
    /// Whose place weir takes. With `barito` every default is barito-flow's where it has one: addresses that other
    /// machines can reach, its group, sizes of bulks, records, documents, labels and answers as its clients know
    /// them. Implied where there is no settings file and a variable `BARITO_*`, for roles in processes of their own.
    /// Default: `weir`.
    pub(crate) compat: Option<Compat>,
    /// Where weir keeps its files; made with mode 0700 if it is not there. Default: `weir-data`.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: ListenSection,
    pub(crate) log: LogSection,
    pub(crate) drain: DrainSection,
    pub(crate) journal: JournalSection,
    pub(crate) store: StoreSection,
    pub(crate) producer: ProducerSection,
    pub(crate) consumer: ConsumerSection,
    pub(crate) server: ServerSection,
    pub(crate) fleet: FleetSection,
    pub(crate) consul: ConsulSection,
    pub(crate) kafka: KafkaSection,
    pub(crate) elasticsearch: ElasticSection,
    pub(crate) redis: RedisLimitsSection,
    pub(crate) redaction: RedactionSection,
}

/// Whose place weir takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compat {
    #[default]
    Weir,
    Barito,
}

/// Where weir can be reached. The gRPC door is `producer.grpc_listen`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListenSection {
    /// Address for HTTP: sending by REST, and the API. Default: `127.0.0.1:8080`.
    pub(crate) http: Option<SocketAddr>,
    /// Address for operators: health, status and metrics. Default: `127.0.0.1:8008`.
    pub(crate) ops: Option<SocketAddr>,
    /// Whether addresses may be bound that other machines can reach. Whoever connects may send, as far as apps have no
    /// secrets; to read and change anything `weir up` wants the token of an operator, other roles want nothing.
    /// Default: `false`.
    pub(crate) allow_public: Option<bool>,
}

/// The validated [`ListenSection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) http: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) exposure: Exposure,
}

pub(super) const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl ListenSection {
    pub(super) fn exposure(&self) -> Exposure {
        exposure(self.allow_public)
    }
}

/// What `listen.allow_public` permits.
pub(super) fn exposure(allow_public: Option<bool>) -> Exposure {
    match allow_public {
        Some(true) => Exposure::Public,
        Some(false) | None => Exposure::Loopback { allow_with: "listen.allow_public" },
    }
}

impl Listen {
    pub(crate) const DEFAULT_HTTP: SocketAddr = loopback(8080);

    pub(crate) fn validate(raw: &ListenSection) -> Result<Self, Problems> {
        let listen = Self {
            http: raw.http.unwrap_or(Self::DEFAULT_HTTP),
            ops: raw.ops.unwrap_or(loopback(8008)),
            exposure: raw.exposure(),
        };
        let mut problems = Problems::default();
        for (path, address) in [("http", listen.http), ("ops", listen.ops)] {
            check_reach(&mut problems, path, address, listen.exposure);
        }
        if listen.http == listen.ops && listen.http.port() != 0 {
            problems.push(Problem::at("ops", format!("is the address of `listen.http`, `{}`", listen.http)));
        }
        problems.or(listen)
    }
}

/// Whether an address may be reached by those who reach it.
pub(super) fn check_reach(problems: &mut Problems, path: &str, address: SocketAddr, exposure: Exposure) {
    if let Err(error) = permit(address, exposure) {
        problems.push(Problem::at(path, error.to_string()));
    }
}
