//! The settings of the whole process, put together from the sections of its components.

mod agent;
mod aliases;
mod barito;
mod section;
mod state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use weir_consumer::section::{ConsumerSection, ConsumerSettings};
use weir_discovery::ConsulSettings;
use weir_fleet::FleetListen;
use weir_foundation::settings::env::CONFIG;
use weir_foundation::settings::{
    Environment, Explained, FlagValue, Implied, Loaded, Problem, Problems, Sources, WrongAliases, load,
};
use weir_foundation::supervise::DrainDeadlines;
use weir_foundation::telemetry::LogSettings;
use weir_limits_redis::RedisLimitsSettings;
use weir_redaction::RedactionSettings;
use weir_server::ServerSettings;

pub(crate) use self::agent::{AgentSettings, read_inputs};
pub(crate) use self::aliases::ALIASES;
use self::barito::PRESET;
use self::section::Compat;
pub(crate) use self::section::{Listen, ListenTls, RawSettings, is_public};
pub(crate) use self::state::StateSettings;

/// What a process is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// All roles over an embedded journal.
    #[default]
    Up,
    /// The producer alone, over Kafka.
    Producer,
    /// The consumer alone, from Kafka to Elasticsearch.
    Consumer,
    /// The server alone, over Kafka and Elasticsearch.
    Server,
    /// None yet: the store is prepared for one.
    #[value(skip)]
    Setup,
}

/// Everything that a role needs, validated.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) log: LogSettings,
    pub(crate) drain: DrainDeadlines,
    pub(crate) journal: weir_journal::sqlite::Settings,
    pub(crate) store: weir_store::segment::Settings,
    pub(crate) producer: weir_producer::Settings,
    pub(crate) consumer: ConsumerSettings,
    pub(crate) server: ServerSettings,
    pub(crate) fleet: FleetListen,
    /// Absent for a role that belongs to no instance.
    pub(crate) state: Option<StateSettings>,
    /// Whether other processes may belong to the instance, since the settings say where its state is.
    pub(crate) is_state_named: bool,
    /// Absent if Consul is not asked.
    pub(crate) consul: Option<ConsulSettings>,
    pub(crate) kafka: weir_journal_kafka::Settings,
    pub(crate) elasticsearch: weir_store_elastic::Settings,
    /// Absent if limits are not shared.
    pub(crate) redis: Option<RedisLimitsSettings>,
    pub(crate) redaction: RedactionSettings,
}

impl Settings {
    /// Where the instance is kept, for roles that make one.
    pub(crate) fn instance_state(&self) -> StateSettings {
        self.state.clone().unwrap_or_else(|| StateSettings::of(&self.data_dir))
    }
}

/// What reading the settings came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) explanation: Vec<Explained>,
    pub(crate) settings: Result<Settings, Problems>,
    /// What was not as it should be and was passed over, as barito-flow does.
    pub(crate) notices: Vec<String>,
}

/// Where this process finds its settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) role: Role,
    /// As `--config` names it; else as the environment does.
    pub(crate) file: Option<PathBuf>,
    pub(crate) environment: Environment,
    pub(crate) flags: Vec<FlagValue>,
}

/// Where weir keeps its files, if nothing else is said.
const DATA_DIR: &str = "weir-data";

impl Given {
    /// Reads all layers and validates every section, so that all problems are known at once.
    pub(crate) fn read(&self) -> Outcome {
        let file = self.file.clone().or_else(|| self.environment.get(CONFIG).map(PathBuf::from));
        // barito-flow has no server whose place could be taken, or who was open to all machines.
        let takes_its_place = !matches!(self.role, Role::Up | Role::Server);
        if !takes_its_place || file.is_some() || !barito::is_meant(&self.environment) {
            return self.load(file.as_deref(), &self.environment, &[], WrongAliases::Refused);
        }
        match barito::translate(&self.environment) {
            Ok(barito::Translated { environment, implied, notices }) => {
                let mut outcome = self.load(None, &environment, &implied, WrongAliases::Ignored);
                outcome.notices.extend(notices);
                outcome
            }
            Err(problem) => {
                Outcome { explanation: Vec::new(), settings: Err(problem.into()), notices: Vec::new() }
            }
        }
    }

    fn load(
        &self,
        file: Option<&Path>,
        environment: &Environment,
        implied: &[Implied],
        wrong_aliases: WrongAliases,
    ) -> Outcome {
        let (flags, aliases, presets) = (&self.flags, ALIASES, &[PRESET]);
        let mut loaded: Loaded<RawSettings> =
            load(Sources { presets, implied, file, environment, aliases, wrong_aliases, flags });
        let explanation = loaded.explain();
        let ignored = |problem: &Problem| format!("{problem}: the default is used");
        let notices = loaded.notices().iter().map(ignored).collect();
        let settings = validate(&mut loaded, self.role);
        let settings = loaded.finish().and_then(|_| settings.ok_or_else(unexplained));
        Outcome { explanation, settings, notices }
    }
}

fn validate(loaded: &mut Loaded<RawSettings>, role: Role) -> Option<Settings> {
    let data_dir = loaded.raw.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR));
    // Absolute, so that paths that are shown mean the same elsewhere.
    let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
    let (journal_dir, index_dir) = (journal_directory(&data_dir), data_dir.join("index"));
    let listen = loaded.section("listen", |raw| Listen::validate(&raw.listen));
    let tls = loaded.section("listen.tls", |raw| has_certificate(raw, role, listen.as_ref()));
    let log = loaded.section("log", |raw| LogSettings::validate(&raw.log));
    let drain = loaded.section("drain", |raw| DrainDeadlines::validate(&raw.drain));
    let journal =
        loaded.section("journal", |raw| weir_journal::sqlite::Settings::validate(&raw.journal, journal_dir));
    let store = loaded.section("store", |raw| weir_store::segment::Settings::validate(&raw.store, index_dir));
    let producer = loaded.section("producer", |raw| {
        let producer = weir_producer::Settings::validate(&producer_section(raw, role))?;
        fits(&producer, journal.as_ref(), raw, role).map(|()| producer)
    });
    let kafka = loaded.section("kafka", |raw| kafka(raw, role));
    let elasticsearch = loaded.section("elasticsearch", |raw| elasticsearch(raw, role));
    let redis = loaded.section("redis", |raw| RedisLimitsSettings::validate(&raw.redis));
    let redaction = loaded.section("redaction", |raw| RedactionSettings::validate(&raw.redaction));
    let consul = loaded.section("consul", |raw| ConsulSettings::validate(&raw.consul));
    let consumer = loaded.section("consumer", |raw| ConsumerSettings::validate(&consumer_section(raw, role)));
    let server = loaded.section("server", |raw| ServerSettings::validate(&raw.server));
    let fleet = loaded.section("fleet", |raw| FleetListen::validate(&raw.fleet, raw.listen.exposure()));
    let state = loaded.section("state", |raw| {
        let state = StateSettings::validate(&raw.state, &data_dir)?;
        Ok((role == Role::Server || has_instance(raw, role)).then_some(state))
    });
    let producer = producer?;
    tls?;
    Some(Settings {
        data_dir,
        listen: listen?,
        log: log?,
        drain: drain?,
        // The window of batch ids is filled from the journal.
        journal: weir_journal::sqlite::Settings { batch_window: producer.batch_ids.window, ..journal? },
        store: store?,
        producer,
        consumer: consumer?,
        server: server?,
        fleet: fleet?,
        state: state?,
        is_state_named: loaded.raw.state.is_given(),
        consul: consul?,
        kafka: kafka?,
        elasticsearch: elasticsearch?,
        redis: redis?,
        redaction: redaction?,
    })
}

/// A role in a process of its own shares its journal with others, which have to be told where it is.
fn kafka(raw: &RawSettings, role: Role) -> Result<weir_journal_kafka::Settings, Problems> {
    let mut section = raw.kafka.clone();
    section.consul_service =
        consul_service(raw, section.consul_service.as_deref(), section.brokers.as_deref(), "kafka")?;
    let needs_brokers = !matches!(role, Role::Up | Role::Setup);
    let is_nowhere = section.brokers.is_none() && section.consul_service.is_none();
    if needs_brokers && is_nowhere && !is_barito(raw) {
        let message = "must be set: a role in a process of its own needs a journal that processes share";
        let hint = "`weir up` runs all roles in one process over an embedded journal";
        return Err(Problem::at("brokers", message).hint(hint).into());
    }
    weir_journal_kafka::Settings::validate(&section)
}

/// A fleet shares a store.
fn elasticsearch(raw: &RawSettings, role: Role) -> Result<weir_store_elastic::Settings, Problems> {
    let mut section = raw.elasticsearch.clone();
    section.consul_service =
        consul_service(raw, section.consul_service.as_deref(), section.urls.as_deref(), "elasticsearch")?;
    let needs_store = matches!(role, Role::Consumer | Role::Server | Role::Setup);
    let is_nowhere = section.urls.is_none() && (section.consul_service.is_none() || role == Role::Setup);
    if needs_store && is_nowhere && !is_barito(raw) {
        let message = "must be set: roles in processes of their own share a store, which has to be told";
        return Err(Problem::at("urls", message).into());
    }
    weir_store_elastic::Settings::validate(&section)
}

/// The service that Consul is asked for; as with barito-flow the usual one where no address is given.
fn consul_service(
    raw: &RawSettings,
    given: Option<&str>,
    addresses: Option<&[String]>,
    usual: &str,
) -> Result<Option<String>, Problems> {
    let has_consul = raw.consul.url.as_ref().is_some_and(|url| !url.trim().is_empty());
    match given.filter(|service| !service.is_empty()) {
        Some(service) if has_consul => Ok(Some(service.to_owned())),
        Some(_) => Err(Problem::at("consul_service", "needs `consul.url`").into()),
        None => Ok((has_consul && is_barito(raw) && addresses.is_none()).then(|| usual.to_owned())),
    }
}

fn is_barito(raw: &RawSettings) -> bool {
    raw.compat == Some(Compat::Barito)
}

/// Partitions cost little in Kafka, and clients of barito-flow ask for 50.
const KAFKA_PARTITIONS: u32 = 100;

/// Where agents come, unless the settings say otherwise.
pub(crate) const INGEST: SocketAddr = section::loopback(8083);

/// Whether a producer in this role knows apps and agents.
fn has_instance(raw: &RawSettings, role: Role) -> bool {
    role == Role::Up || (role == Role::Producer && raw.state.is_given())
}

fn producer_section(raw: &RawSettings, role: Role) -> weir_producer::ProducerSection {
    let mut section = raw.producer.clone();
    if has_instance(raw, role) {
        section.ingest_listen = section.ingest_listen.or(Some(INGEST));
        let reached = [section.grpc_listen, raw.listen.http, section.ingest_listen];
        if !is_barito(raw) && reached.into_iter().flatten().any(is_public) {
            section.unknown_apps = section.unknown_apps.or(Some(weir_producer::UnknownApps::Refuse));
        }
    }
    if role == Role::Producer {
        section.max_partitions = section.max_partitions.or(Some(KAFKA_PARTITIONS));
    }
    section
}

/// A producer of no instance has no certificate of it.
fn has_certificate(raw: &RawSettings, role: Role, listen: Option<&Listen>) -> Result<(), Problems> {
    let Some(listen) = listen.filter(|listen| listen.tls == ListenTls::Instance) else { return Ok(()) };
    let is_reached = is_public(listen.http) || raw.producer.grpc_listen.is_some_and(is_public);
    if is_reached && role == Role::Producer && !has_instance(raw, role) {
        let message =
            "needs `cert_file` and `key_file`, or an instance by `state`: other machines reach an address";
        let hint = "or set `mode: off` where something in front of weir sees to TLS, or nothing has to";
        return Err(Problem::at("", message).hint(hint).into());
    }
    Ok(())
}

/// Whether every batch that the doors take is one that the journal takes, and the gRPC door is as open as the
/// others.
fn fits(
    producer: &weir_producer::Settings,
    journal: Option<&weir_journal::sqlite::Settings>,
    raw: &RawSettings,
    role: Role,
) -> Result<(), Problems> {
    let exposure = raw.listen.exposure();
    let mut problems = Problems::default();
    if let Some(journal) = journal.filter(|journal| producer.max_message > journal.max_record) {
        let message = format!("must be at most `journal.max_record`, which is {}", journal.max_record);
        problems.push(Problem::at("max_message", message));
    }
    section::check_reach(&mut problems, "grpc_listen", producer.grpc_listen, exposure);
    if let Some(address) = producer.ingest_listen {
        section::check_reach(&mut problems, "ingest_listen", address, exposure);
        if role == Role::Producer && !has_instance(raw, role) && is_public(address) {
            let message =
                format!("`{address}` can be reached from other machines, and nobody says who agents are");
            let hint = "name the instance by `state`, as for the server";
            problems.push(Problem::at("ingest_listen", message).hint(hint));
        }
    }
    problems.or(())
}

/// Where the journal is in the data directory.
pub(crate) fn journal_directory(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// One thread does not decode and compress as fast as a cluster stores.
const REMOTE_THREADS: u32 = 2;

/// In one process the consumer delivers the streams that the producer makes, unless it is told otherwise.
fn consumer_section(raw: &RawSettings, role: Role) -> ConsumerSection {
    let mut section = raw.consumer.clone();
    section.stream_prefix = section.stream_prefix.or_else(|| raw.producer.stream_prefix.clone());
    section.stream_suffix = section.stream_suffix.or_else(|| raw.producer.stream_suffix.clone());
    if role == Role::Consumer {
        section.threads = section.threads.or(Some(REMOTE_THREADS));
    }
    section
}

/// A section that gave nothing has put its problems into the loaded settings, so that this is never shown.
fn unexplained() -> Problems {
    Problem::at("", "a section is wrong").into()
}

#[cfg(test)]
mod tests;
