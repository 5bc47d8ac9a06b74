//! How librdkafka is set up, and where it says things.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use weir_foundation::tls::IdentityFiles;

use crate::metrics::Metrics;
use crate::section::Settings;

/// How often librdkafka tells how it is.
const STATISTICS: Duration = Duration::from_secs(10);

/// What is fetched of a partition at a time, compressed. Brokers send a whole record all the same.
const FETCH: u64 = 128 << 10;

/// How much larger records are than what is fetched. Logs are compressed to an eighth or less: fetches as large as
/// the queue would be a multiple of it in memory.
const COMPRESSION: u64 = 8;

/// Of a broker that can not be reached, which [`ClientContext::error`] is told as well. That all are away follows
/// from it, and is told many times a second.
const BROKER_FAILED: &str = "FAIL";

/// What all clients of the brokers have in common.
pub(crate) fn config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in &settings.options {
        config.set(name, value);
    }
    config.set("bootstrap.servers", settings.brokers.to_string());
    config.set("client.id", &settings.client_id);
    config.set("topic.metadata.refresh.interval.ms", millis(settings.listing_interval));
    config.set("reconnect.backoff.max.ms", "2000");
    config.set("socket.keepalive.enable", "true");
    config.set("log.connection.close", "false");
    let protocol = match (&settings.tls, &settings.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = &settings.tls {
        if let Some(ca) = &tls.ca_file {
            config.set("ssl.ca.location", ca.display().to_string());
        }
        if let Some(IdentityFiles { cert_file, key_file }) = &tls.identity {
            config.set("ssl.certificate.location", cert_file.display().to_string());
            config.set("ssl.key.location", key_file.display().to_string());
        }
    }
    if let Some(sasl) = &settings.sasl {
        config.set("sasl.mechanisms", sasl.mechanism.name());
        config.set("sasl.username", &sasl.username);
        config.set("sasl.password", sasl.password.reveal());
    }
    config
}

/// The one producer of the process.
pub(crate) fn producer(settings: &Settings) -> ClientConfig {
    let mut config = config(settings);
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    set_unless_given(&mut config, settings, "compression.type", "zstd");
    set_unless_given(&mut config, settings, "compression.level", "1");
    config.set("linger.ms", settings.linger.as_secs_f64().mul_add(1_000.0, 0.0).to_string());
    config.set("message.timeout.ms", millis(settings.append_timeout));
    config.set("message.max.bytes", (settings.max_record.bytes() + OVERHEAD).to_string());
    config.set("queue.buffering.max.kbytes", (settings.queue.bytes() / 1024).max(1).to_string());
    // By bytes only.
    config.set("queue.buffering.max.messages", "2147483647");
    config.set("partitioner", "murmur2_random");
    config.set("statistics.interval.ms", millis(STATISTICS));
    if let Some(retries) = settings.append_retries {
        config.set("message.send.max.retries", retries.to_string());
    }
    config
}

/// Headers and framing of a message beside its value.
pub(crate) const OVERHEAD: u64 = 1_024;

/// A consumer of whatever kind.
pub(crate) fn consumer(settings: &Settings, group: &str) -> ClientConfig {
    let mut config = config(settings);
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("allow.auto.create.topics", "false");
    config.set("isolation.level", "read_committed");
    // Whoever is out of range is told, and decides itself where to go on.
    config.set("auto.offset.reset", "error");
    config.set("queued.max.messages.kbytes", (settings.fetch_queue.bytes() / 1024).to_string());
    let fetch = (settings.fetch_queue.bytes() / COMPRESSION).max(FETCH).to_string();
    config.set("fetch.message.max.bytes", FETCH.to_string());
    config.set("fetch.max.bytes", &fetch);
    // librdkafka fetches no less at a time.
    config.set("message.max.bytes", &fetch);
    config.set("fetch.wait.max.ms", "100");
    config.set("fetch.error.backoff.ms", "100");
    // A full queue is emptied much faster than in the library's second.
    config.set("fetch.queue.backoff.ms", "20");
    config
}

/// A member of a group.
pub(crate) fn member(settings: &Settings, group: &str) -> ClientConfig {
    let mut config = consumer(settings, group);
    config.set("partition.assignment.strategy", settings.assignor.name());
    config.set("session.timeout.ms", millis(settings.session_timeout));
    config.set("heartbeat.interval.ms", millis(settings.heartbeat_interval));
    let poll = settings.session_timeout.max(Duration::from_secs(300));
    config.set("max.poll.interval.ms", millis(poll));
    config.set("statistics.interval.ms", millis(STATISTICS));
    config
}

fn set_unless_given(config: &mut ClientConfig, settings: &Settings, name: &str, value: &str) {
    if !settings.options.contains_key(name) {
        config.set(name, value);
    }
}

pub(crate) fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

/// Where the clients say things: logs and metrics.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) role: &'static str,
    pub(crate) metrics: Arc<Metrics>,
}

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let role = self.role;
        if facility == BROKER_FAILED {
            tracing::debug!(role, facility, "librdkafka: {message}");
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::warn!(role, facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(role, facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(role, facility, "librdkafka: {message}");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.metrics.statistics(self.role, &statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.metrics.client_error(self.role);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::debug!(role = self.role, %error, "librdkafka: {reason}");
        } else {
            tracing::warn!(role = self.role, %error, "librdkafka: {reason}");
        }
    }
}

impl ConsumerContext for Voice {}
