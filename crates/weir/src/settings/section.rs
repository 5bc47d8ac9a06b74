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
use weir_foundation::tls::{IdentityFiles, TlsSection, TlsSettings};
use weir_journal::sqlite::JournalSection;
use weir_journal_kafka::KafkaSection;
use weir_limits_redis::RedisLimitsSection;
use weir_producer::ProducerSection;
use weir_redaction::RedactionSection;
use weir_server::ServerSection;
use weir_store::segment::StoreSection;
use weir_store_elastic::ElasticSection;

use super::state::StateSection;

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
    pub(crate) state: StateSection,
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
    /// Whether addresses may be bound that other machines can reach. To read and change anything then takes the token of an
    /// operator; to send, the secret of an app, and with a `weir producer` without `state` nothing. Default: `false`.
    pub(crate) allow_public: Option<bool>,
    pub(crate) tls: ListenTlsSection,
}

/// How the addresses for HTTP and gRPC are secured that other machines can reach. Those of this machine are not, and from
/// this machine TLS is never needed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListenTlsSection {
    /// `on`, or `off` where something in front of weir sees to it. Default: `on`, with `compat: barito` `off`.
    pub(crate) mode: Option<TlsMode>,
    /// A PEM file with the certificate to show, and those between it and its CA. Read again when it has changed.
    /// Default: a certificate of the instance, which clients know by its pin; a `weir producer` without `state` has none.
    pub(crate) cert_file: Option<PathBuf>,
    /// A PEM file with the private key of `cert_file`. Default: none.
    pub(crate) key_file: Option<PathBuf>,
}

/// Whether there is TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    #[default]
    On,
    Off,
}

/// The validated [`ListenTlsSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenTls {
    Off,
    /// With a certificate of the instance.
    Instance,
    Files(IdentityFiles),
}

/// The validated [`ListenSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) http: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) exposure: Exposure,
    pub(crate) tls: ListenTls,
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
        let mut problems = Problems::default();
        let listen = Self {
            http: raw.http.unwrap_or(Self::DEFAULT_HTTP),
            ops: raw.ops.unwrap_or(loopback(8008)),
            exposure: raw.exposure(),
            tls: problems.take("tls", ListenTls::validate(&raw.tls)).unwrap_or(ListenTls::Off),
        };
        for (path, address) in [("http", listen.http), ("ops", listen.ops)] {
            check_reach(&mut problems, path, address, listen.exposure);
        }
        if listen.http == listen.ops && listen.http.port() != 0 {
            problems.push(Problem::at("ops", format!("is the address of `listen.http`, `{}`", listen.http)));
        }
        problems.or(listen)
    }
}

impl ListenTls {
    fn validate(raw: &ListenTlsSection) -> Result<Self, Problems> {
        let section =
            TlsSection { ca_file: None, cert_file: raw.cert_file.clone(), key_file: raw.key_file.clone() };
        let files = TlsSettings::validate(&section)?.identity;
        Ok(match (raw.mode.unwrap_or_default(), files) {
            (TlsMode::Off, _) => Self::Off,
            (TlsMode::On, None) => Self::Instance,
            (TlsMode::On, Some(files)) => Self::Files(files),
        })
    }
}

/// Whether other machines can reach an address.
pub(crate) fn is_public(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// Whether an address may be reached by those who reach it.
pub(super) fn check_reach(problems: &mut Problems, path: &str, address: SocketAddr, exposure: Exposure) {
    if let Err(error) = permit(address, exposure) {
        problems.push(Problem::at(path, error.to_string()));
    }
}
