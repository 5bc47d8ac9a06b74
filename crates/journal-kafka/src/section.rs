//! Settings of the journal over Kafka: as written by people, and validated.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::{DurationText, Problem, Problems, Secret, SizeText};
use weir_foundation::tls::{TlsSection, TlsSettings};
use weir_model::{ByteSize, StreamName};

use crate::brokers::Brokers;

/// The journal over Apache Kafka, which the roles share that run in processes of their own. `weir up` keeps its
/// own journal instead.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSection {
    /// Addresses of some brokers, `host:port`. With `consul_service` they are where weir begins if Consul does
    /// not answer at its start. Default: `["localhost:9092"]`, with `consul_service` none.
    pub brokers: Option<Vec<String>>,
    /// The service under which the brokers are registered in Consul (`consul.url`). weir follows them as they
    /// move. Default: none.
    pub consul_service: Option<String>,
    /// How weir calls itself towards the brokers. Default: `weir`.
    pub client_id: Option<String>,
    /// Encryption; absent means none.
    pub tls: Option<TlsSection>,
    /// Who weir is to the brokers; absent means nobody.
    pub sasl: Option<SaslSection>,
    /// The largest record, uncompressed. Default: `1000000B`.
    pub max_record: Option<SizeText>,
    /// Memory of records that wait to be stored; callers beyond it wait. Default: `32MiB`.
    pub queue: Option<SizeText>,
    /// How long a record is waited for that is not stored; then the client is told. Default: `30s`.
    pub append_timeout: Option<DurationText>,
    /// How often sending a record is repeated within that time. Default: no limit.
    pub append_retries: Option<u32>,
    /// How long records wait for others that go the same way. Default: `2ms`.
    pub linger: Option<DurationText>,
    /// Memory for records that were fetched and not yet asked for. Default: `8MiB`.
    pub fetch_queue: Option<SizeText>,
    /// Records that a reader gets at once. Default: `1MiB`.
    pub read_batch: Option<SizeText>,
    /// A group's member that is not heard of for this long loses its partitions. Default: `30s`.
    pub session_timeout: Option<DurationText>,
    /// How often a member tells that it is there. Default: `3s`.
    pub heartbeat_interval: Option<DurationText>,
    /// How partitions are given to the members of a group: `cooperative-sticky` leaves those where they are that
    /// need not move; `range` and `roundrobin` stop all. All members must agree. Default: `cooperative-sticky`.
    pub assignor: Option<Assignor>,
    /// Whether every topic has a group of its own, `<group>_<topic>`, as with barito-flow's
    /// `BARITO_KAFKA_UNIQUE_GROUP_ID`. Default: `false`.
    pub unique_group_ids: Option<bool>,
    /// How long a partition that moves to another member is kept so that what is done can be committed.
    /// Default: `3s`.
    pub revoke_grace: Option<DurationText>,
    /// How often all topics are listed. Default: `60s`.
    pub listing_interval: Option<DurationText>,
    /// How often a tail looks for records that other processes wrote. Default: `500ms`.
    pub tail_interval: Option<DurationText>,
    /// The topic that tells consumers of new topics. Default: `new_topic_events`.
    pub new_topic_events: Option<String>,
    /// Most replicas that a request may ask for; a larger number is taken as this one. Default: `3`.
    pub max_replicas: Option<u32>,
    /// Most topics that may exist for weir to make another one. Default: `10000`.
    pub max_topics: Option<u32>,
    /// How long an answer of the brokers is waited for. Default: `30s`.
    pub request_timeout: Option<DurationText>,
    /// How often the brokers are tried at start before weir gives up; 0 means for ever. Default: `0`.
    pub start_retries: Option<u32>,
    /// How long to wait between these. Default: `10s`.
    pub start_interval: Option<DurationText>,
    /// Settings of librdkafka that have no name here, by their names there. weir sets what its guarantees need
    /// itself, and refuses it here. Default: empty.
    pub options: Option<BTreeMap<String, String>>,
}

/// Authentication.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SaslSection {
    /// How. Default: `scram-sha-512`.
    pub mechanism: Option<SaslMechanism>,
    /// Who.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

/// How weir proves who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SaslMechanism {
    /// The password itself; not without TLS beyond a machine.
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// How partitions are given to the members of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Assignor {
    /// Only what moves stops.
    #[default]
    CooperativeSticky,
    /// Neighbouring partitions of each topic.
    Range,
    /// In turn.
    #[serde(rename = "roundrobin")]
    RoundRobin,
}

/// What the journal over Kafka does, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// None where Consul is yet to be asked.
    pub brokers: Brokers,
    pub consul_service: Option<String>,
    pub client_id: String,
    pub tls: Option<TlsSettings>,
    pub sasl: Option<SaslSettings>,
    pub max_record: ByteSize,
    pub queue: ByteSize,
    pub append_timeout: Duration,
    pub append_retries: Option<u32>,
    pub linger: Duration,
    pub fetch_queue: ByteSize,
    pub read_batch: ByteSize,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub assignor: Assignor,
    pub group_ids: GroupIds,
    pub revoke_grace: Duration,
    pub listing_interval: Duration,
    pub tail_interval: Duration,
    pub new_topic_events: StreamName,
    pub topics: TopicLimits,
    pub request_timeout: Duration,
    pub start: Retries,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslSettings {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: Secret,
}

/// Whether the topics of a group share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupIds {
    Shared,
    /// `<group>_<topic>`.
    PerTopic,
}

impl GroupIds {
    /// The group that reads a topic for `group`.
    #[must_use]
    pub fn id(self, group: &str, topic: &StreamName) -> String {
        match self {
            Self::Shared => group.to_owned(),
            Self::PerTopic => format!("{group}_{topic}"),
        }
    }
}

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLimits {
    pub replicas: u32,
    pub topics: usize,
}

/// How often the brokers are tried at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Absent means without end.
    pub most: Option<u32>,
    pub interval: Duration,
}

/// What weir's guarantees hang on.
const OURS: [&str; 16] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "group.id",
    "group.protocol",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "transactional.id",
    "isolation.level",
    "statistics.interval.ms",
    "sasl.password",
];

/// Kafka itself keeps the maximum of a batch below 2 GiB; beyond this brokers would have to be told first.
const MOST_RECORD: u64 = 100_000_000;

impl Settings {
    /// The defaults, for some brokers.
    #[must_use]
    pub fn new(brokers: Vec<String>) -> Self {
        Self {
            brokers: brokers.into(),
            consul_service: None,
            client_id: "weir".to_owned(),
            tls: None,
            sasl: None,
            max_record: ByteSize(1_000_000),
            queue: ByteSize::mib(32),
            append_timeout: Duration::from_secs(30),
            append_retries: None,
            linger: Duration::from_millis(2),
            fetch_queue: ByteSize::mib(8),
            read_batch: ByteSize::mib(1),
            session_timeout: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(3),
            assignor: Assignor::default(),
            group_ids: GroupIds::Shared,
            revoke_grace: Duration::from_secs(3),
            listing_interval: Duration::from_secs(60),
            tail_interval: Duration::from_millis(500),
            new_topic_events: StreamName::new("new_topic_events").expect("it is a legal name"),
            topics: TopicLimits { replicas: 3, topics: 10_000 },
            request_timeout: Duration::from_secs(30),
            start: Retries { most: None, interval: Duration::from_secs(10) },
            options: BTreeMap::new(),
        }
    }

    /// Checks the section.
    pub fn validate(raw: &KafkaSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let consul_service = raw.consul_service.clone().filter(|name| !name.is_empty());
        let default = Self::new(match (&raw.brokers, &consul_service) {
            (Some(brokers), _) => brokers.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) => vec!["localhost:9092".to_owned()],
        });
        let new_topic_events = raw.new_topic_events.as_deref().map(StreamName::new).transpose();
        let settings = Self {
            client_id: raw.client_id.clone().unwrap_or(default.client_id),
            tls: raw.tls.as_ref().and_then(|tls| problems.take("tls", TlsSettings::validate(tls))),
            sasl: raw.sasl.as_ref().and_then(|sasl| problems.take("sasl", SaslSettings::validate(sasl))),
            max_record: size(raw.max_record, default.max_record),
            queue: size(raw.queue, default.queue),
            append_timeout: time(raw.append_timeout, default.append_timeout),
            append_retries: raw.append_retries,
            linger: time(raw.linger, default.linger),
            fetch_queue: size(raw.fetch_queue, default.fetch_queue),
            read_batch: size(raw.read_batch, default.read_batch),
            session_timeout: time(raw.session_timeout, default.session_timeout),
            heartbeat_interval: time(raw.heartbeat_interval, default.heartbeat_interval),
            assignor: raw.assignor.unwrap_or_default(),
            group_ids: match raw.unique_group_ids {
                Some(true) => GroupIds::PerTopic,
                Some(false) | None => GroupIds::Shared,
            },
            revoke_grace: time(raw.revoke_grace, default.revoke_grace),
            listing_interval: time(raw.listing_interval, default.listing_interval),
            tail_interval: time(raw.tail_interval, default.tail_interval),
            new_topic_events: new_topic_events.clone().ok().flatten().unwrap_or(default.new_topic_events),
            topics: TopicLimits {
                replicas: raw.max_replicas.unwrap_or(default.topics.replicas),
                topics: raw.max_topics.map_or(default.topics.topics, |most| most as usize),
            },
            request_timeout: time(raw.request_timeout, default.request_timeout),
            start: Retries {
                most: raw.start_retries.filter(|most| *most > 0),
                interval: time(raw.start_interval, default.start.interval),
            },
            options: raw.options.clone().unwrap_or_default(),
            brokers: default.brokers,
            consul_service,
        };
        if let Err(error) = new_topic_events {
            problems.push(Problem::at("new_topic_events", error.to_string()));
        }
        settings.check(&mut problems);
        problems.or(settings)
    }

    fn check(&self, problems: &mut Problems) {
        let mut refuse_if = |wrong: bool, field: &str, message: &str| {
            if wrong {
                problems.push(Problem::at(field, message));
            }
        };
        let broken = |broker: &String| broker.trim() != broker || broker.is_empty() || broker.contains(',');
        let brokers = self.brokers.addresses();
        let nowhere = brokers.is_empty() && self.consul_service.is_none();
        refuse_if(nowhere, "brokers", "must name a broker");
        refuse_if(brokers.iter().any(broken), "brokers", "must be addresses like `host:port`");
        refuse_if(
            !(1_000..=MOST_RECORD).contains(&self.max_record.bytes()),
            "max_record",
            "must be between `1000B` and `100MB`",
        );
        refuse_if(
            self.queue.bytes() < self.max_record.bytes(),
            "queue",
            "must hold a record of `max_record`",
        );
        refuse_if(self.fetch_queue.bytes() < 1 << 20, "fetch_queue", "must be at least `1MiB`");
        refuse_if(self.read_batch.bytes() == 0, "read_batch", "must be larger than zero");
        let second = Duration::from_secs(1);
        refuse_if(self.append_timeout < second, "append_timeout", "must be at least `1s`");
        refuse_if(self.linger > second, "linger", "must be at most `1s`");
        refuse_if(self.linger >= self.append_timeout, "linger", "must be shorter than `append_timeout`");
        refuse_if(
            self.heartbeat_interval.is_zero() || self.heartbeat_interval * 3 > self.session_timeout,
            "heartbeat_interval",
            "must be longer than zero and at most a third of `session_timeout`",
        );
        refuse_if(
            self.revoke_grace >= self.session_timeout,
            "revoke_grace",
            "must be shorter than `session_timeout`",
        );
        let hour = Duration::from_secs(3600);
        refuse_if(
            !(second..=hour).contains(&self.listing_interval),
            "listing_interval",
            "must be at least `1s` and at most `1h`",
        );
        refuse_if(self.append_retries == Some(0), "append_retries", "must be at least 1");
        refuse_if(self.tail_interval.is_zero(), "tail_interval", "must be longer than zero");
        refuse_if(self.topics.replicas == 0, "max_replicas", "must be at least 1");
        refuse_if(self.topics.topics == 0, "max_topics", "must be at least 1");
        refuse_if(self.request_timeout < second, "request_timeout", "must be at least `1s`");
        refuse_if(self.start.interval.is_zero(), "start_interval", "must be longer than zero");
        for name in self.options.keys().filter(|name| OURS.contains(&name.as_str())) {
            problems.push(Problem::at(format!("options.{name}"), "is set by weir"));
        }
    }
}

impl SaslSettings {
    fn validate(raw: &SaslSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if raw.username.is_none() {
            problems.push(Problem::at("username", "is needed"));
        }
        if raw.password.is_none() {
            problems.push(Problem::at("password", "is needed"));
        }
        problems.or(Self {
            mechanism: raw.mechanism.unwrap_or_default(),
            username: raw.username.clone().unwrap_or_default(),
            password: raw.password.clone().unwrap_or_else(|| Secret::new("")),
        })
    }
}

impl SaslMechanism {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Assignor {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }
}

fn size(given: Option<SizeText>, default: ByteSize) -> ByteSize {
    given.map_or(default, |size| ByteSize(size.bytes()))
}

fn time(given: Option<DurationText>, default: Duration) -> Duration {
    given.map_or(default, DurationText::duration)
}

#[cfg(test)]
mod tests;
