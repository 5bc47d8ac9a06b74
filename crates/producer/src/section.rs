//! Settings of the producer: as written by people, and validated.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_model::{ByteSize, StreamName};

/// The doors where events come in: gRPC, barito-flow's REST gateway and weir's own HTTP door.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProducerSection {
    /// Address of the gRPC door. Default: `127.0.0.1:8082`.
    pub grpc_listen: Option<SocketAddr>,
    /// Address of the door of agents. Default: none; with an instance, which `weir up` has and a `weir producer` with `state`,
    /// `127.0.0.1:8083`.
    pub ingest_listen: Option<SocketAddr>,
    /// Whether `/produce` and `/produce_batch` are served, barito-flow's REST gateway. Default: `true`.
    pub rest_gateway: Option<bool>,
    /// Put in front of the topic that a client names, to make the stream's name. Default: empty.
    pub stream_prefix: Option<String>,
    /// Put behind the topic that a client names, to make the stream's name. Default: `_logs`.
    pub stream_suffix: Option<String>,
    /// Largest batch of a client, decompressed. Agents may send 64 KiB, whatever it is. Default: `20MB`.
    pub max_message: Option<SizeText>,
    /// Memory for batches between their reception and their answer; what comes beyond it is refused with a
    /// retry delay. At least three times `max_message`. Beside it, the JSON of `/produce` and `/produce_batch`
    /// may take four times as much while it is turned into protobuf. Default: `64MiB`.
    pub memory_budget: Option<SizeText>,
    /// Connections that the gRPC door holds at a time. Default: `10000`.
    pub max_connections: Option<u32>,
    /// Events per second of an app whose requests name no `app_max_tps`. Default: no limit.
    pub default_app_tps: Option<u32>,
    /// Events per second that an app may have, whatever its requests say. Default: no limit.
    pub max_app_tps: Option<u32>,
    /// As `max_app_tps`, for single apps by the name that clients send; takes precedence. Default: empty.
    pub app_tps: Option<BTreeMap<String, u32>>,
    /// Events per second of all requests together that have `disable_app_tps`: used if they name no
    /// `app_group_max_tps`, and never exceeded. Default: no limit.
    pub max_group_tps: Option<u32>,
    /// An app may send as many events at once as its rate allows in this time. Default: `10s`.
    pub rate_window: Option<DurationText>,
    /// Partitions of a new stream whose request asks for none. Default: the journal's.
    pub default_partitions: Option<u32>,
    /// Most partitions that a request may ask for; a larger number is taken as this one. Default: `4`, over Kafka
    /// `100`.
    pub max_partitions: Option<u32>,
    /// Most streams that one app may have made while the process runs: an app is known by its `app_secret`, and all
    /// requests without one are one app's. Streams that exist do not count. Default: no limit.
    pub max_app_streams: Option<u32>,
    /// What becomes of events of apps that `weir app create` has not made: `take` or `refuse`. Without an instance, as of a
    /// `weir producer` without `state`, nobody is known and all are taken. Default: `take`, where other machines reach a
    /// producer of an instance `refuse`.
    pub unknown_apps: Option<UnknownApps>,
    /// Make new streams as the settings say, whatever a request asks for. Default: `false`.
    pub ignore_stream_options: Option<bool>,
    /// Write `app_secret` into the journal, as barito-flow does. Default: `false`, with `compat: barito` `true`.
    pub store_app_secret: Option<bool>,
    /// How batches of barito-flow's protobuf are written into a shared journal: `collection` puts as many events
    /// into a record as fit, `timber` one. An embedded journal keeps them as they came. Default: `collection`,
    /// with `compat: barito` `timber`.
    pub record_format: Option<RecordFormat>,
    /// How long the id of a batch is remembered. Default: `15m`.
    pub batch_id_window: Option<DurationText>,
    /// How many ids of batches are remembered; the oldest go first. Default: `262144`.
    pub batch_id_limit: Option<u32>,
    /// Whose behaviour clients expect where the two differ. Default: `weir`.
    pub compat: Option<Compat>,
}

/// Whose behaviour clients expect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// Failures of the journal are UNAVAILABLE, a negative `app_max_tps` is INVALID_ARGUMENT.
    #[default]
    Weir,
    /// Failures of the journal are FAILED_PRECONDITION, a negative `app_max_tps` admits nothing.
    Barito,
}

/// What becomes of events of apps that are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownApps {
    /// They are taken, within the limits of the settings.
    #[default]
    Take,
    Refuse,
}

/// How the events of a batch become records of a shared journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// As many events in a record as fit: barito-flow's `TimberCollection`.
    #[default]
    Collection,
    /// One event in a record: barito-flow's `Timber`.
    Timber,
}

/// The validated [`ProducerSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub grpc_listen: SocketAddr,
    /// Absent where agents have no door.
    pub ingest_listen: Option<SocketAddr>,
    pub rest_gateway: RestGateway,
    pub stream_prefix: String,
    pub stream_suffix: String,
    pub max_message: ByteSize,
    pub memory_budget: ByteSize,
    pub max_connections: usize,
    pub rates: RateSettings,
    pub default_partitions: Option<NonZeroU32>,
    pub max_partitions: NonZeroU32,
    pub max_app_streams: Option<NonZeroU32>,
    pub unknown_apps: UnknownApps,
    pub stream_options: StreamOptions,
    pub secrets: Secrets,
    pub record_format: RecordFormat,
    pub batch_ids: BatchIdSettings,
    pub compat: Compat,
}

/// What the operator says about rates, in events per second; absent is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateSettings {
    pub app_default: Option<NonZeroU32>,
    pub app_ceiling: Option<NonZeroU32>,
    /// By the name that clients send, without prefix and suffix of the stream.
    pub app_ceilings: BTreeMap<String, NonZeroU32>,
    pub group_ceiling: Option<NonZeroU32>,
    pub window: Duration,
}

/// Whether barito-flow's REST gateway is served; weir's own HTTP door always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestGateway {
    Open,
    Closed,
}

/// Who says how many partitions and replicas a new stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamOptions {
    Request,
    Settings,
}

/// What becomes of `app_secret`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    Remove,
    Store,
}

/// How many batch ids are remembered, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchIdSettings {
    pub window: Duration,
    pub limit: usize,
}

const GRPC_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8082);
const MAX_MESSAGE: u64 = 20_000_000;
/// The frame header of gRPC has 32 bits for the length.
const MAX_MESSAGE_CEILING: u64 = 1 << 30;
const MEMORY_BUDGET: u64 = 64 << 20;
const MAX_CONNECTIONS: u32 = 10_000;
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Keeps the arithmetic of the buckets, in millionths of an event, within 64 bits.
const RATE_WINDOW_CEILING: Duration = Duration::from_secs(3600);
const MAX_PARTITIONS: u32 = 4;
const BATCH_ID_WINDOW: Duration = Duration::from_secs(15 * 60);
const BATCH_ID_LIMIT: u32 = 262_144;

impl Settings {
    pub fn validate(raw: &ProducerSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let stream_prefix = raw.stream_prefix.clone().unwrap_or_default();
        let stream_suffix = raw.stream_suffix.clone().unwrap_or_else(|| "_logs".to_owned());
        check_affix(&mut problems, "stream_prefix", &stream_prefix);
        check_affix(&mut problems, "stream_suffix", &stream_suffix);

        let max_message = raw.max_message.map_or(MAX_MESSAGE, SizeText::bytes);
        if !(1024..=MAX_MESSAGE_CEILING).contains(&max_message) {
            problems.push(Problem::at("max_message", "must be at least `1KiB` and at most `1GiB`"));
        }
        let memory_budget = raw.memory_budget.map_or(MEMORY_BUDGET, SizeText::bytes);
        // A batch as it came, as it is worked on and as it is stored.
        if memory_budget < max_message.saturating_mul(3) {
            let message = "must be at least three times `max_message`, or a large batch could never be taken";
            problems.push(Problem::at("memory_budget", message));
        }
        let max_partitions = at_least_one(&mut problems, "max_partitions", raw.max_partitions);
        let max_partitions = max_partitions.or(NonZeroU32::new(MAX_PARTITIONS));
        let compat = raw.compat.unwrap_or_default();
        let store_secret = raw.store_app_secret.unwrap_or(compat == Compat::Barito);
        let settings = Self {
            grpc_listen: raw.grpc_listen.unwrap_or(GRPC_LISTEN),
            ingest_listen: raw.ingest_listen,
            rest_gateway: match raw.rest_gateway {
                Some(true) | None => RestGateway::Open,
                Some(false) => RestGateway::Closed,
            },
            stream_prefix,
            stream_suffix,
            max_message: ByteSize(max_message),
            memory_budget: ByteSize(memory_budget),
            max_connections: connections(&mut problems, raw.max_connections),
            rates: RateSettings::validate(&mut problems, raw),
            default_partitions: at_least_one(&mut problems, "default_partitions", raw.default_partitions),
            max_partitions: max_partitions.unwrap_or(NonZeroU32::MIN),
            max_app_streams: at_least_one(&mut problems, "max_app_streams", raw.max_app_streams),
            unknown_apps: raw.unknown_apps.unwrap_or_default(),
            stream_options: match raw.ignore_stream_options {
                Some(true) => StreamOptions::Settings,
                Some(false) | None => StreamOptions::Request,
            },
            secrets: if store_secret { Secrets::Store } else { Secrets::Remove },
            record_format: raw.record_format.unwrap_or(match compat {
                Compat::Weir => RecordFormat::Collection,
                Compat::Barito => RecordFormat::Timber,
            }),
            batch_ids: BatchIdSettings::validate(&mut problems, raw),
            compat,
        };
        problems.or(settings)
    }
}

impl RateSettings {
    fn validate(problems: &mut Problems, raw: &ProducerSection) -> Self {
        let window = raw.rate_window.map_or(RATE_WINDOW, DurationText::duration);
        if !(Duration::from_secs(1)..=RATE_WINDOW_CEILING).contains(&window) {
            problems.push(Problem::at("rate_window", "must be at least `1s` and at most `1h`"));
        }
        let mut app_ceilings = BTreeMap::new();
        for (app, rate) in raw.app_tps.iter().flatten() {
            match at_least_one(problems, &format!("app_tps.{app}"), Some(*rate)) {
                Some(rate) => drop(app_ceilings.insert(app.clone(), rate)),
                None => continue,
            }
        }
        Self {
            app_default: at_least_one(problems, "default_app_tps", raw.default_app_tps),
            app_ceiling: at_least_one(problems, "max_app_tps", raw.max_app_tps),
            app_ceilings,
            group_ceiling: at_least_one(problems, "max_group_tps", raw.max_group_tps),
            window,
        }
    }
}

impl BatchIdSettings {
    fn validate(problems: &mut Problems, raw: &ProducerSection) -> Self {
        let limit = at_least_one(problems, "batch_id_limit", raw.batch_id_limit);
        let window = raw.batch_id_window.map_or(BATCH_ID_WINDOW, DurationText::duration);
        if window.is_zero() {
            problems.push(Problem::at("batch_id_window", "must be longer than zero"));
        }
        Self { window, limit: limit.map_or(BATCH_ID_LIMIT, NonZeroU32::get) as usize }
    }
}

fn connections(problems: &mut Problems, given: Option<u32>) -> usize {
    at_least_one(problems, "max_connections", given).map_or(MAX_CONNECTIONS, NonZeroU32::get) as usize
}

fn at_least_one(problems: &mut Problems, path: &str, given: Option<u32>) -> Option<NonZeroU32> {
    let number = NonZeroU32::new(given?);
    if number.is_none() {
        problems.push(Problem::at(path, "must be at least 1"));
    }
    number
}

/// The longest prefix or suffix: what is left of a stream's name has room for a topic.
const AFFIX_LIMIT: usize = 100;

fn check_affix(problems: &mut Problems, path: &str, affix: &str) {
    if affix.len() > AFFIX_LIMIT {
        problems.push(Problem::at(path, format!("has more than {AFFIX_LIMIT} characters")));
    } else if let Err(error) = StreamName::new(&format!("a{affix}")) {
        problems.push(Problem::at(path, error.to_string()));
    }
}

#[cfg(test)]
mod tests;
