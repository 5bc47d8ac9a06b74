//! What operators see of the journal over Kafka.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use rdkafka::statistics::Statistics;
use weir_foundation::metrics::{Builder, Counter, Family, Gauge};

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    queued_records: Family<OfRole, Gauge>,
    queued_bytes: Family<OfRole, Gauge>,
    brokers: Family<OfState, Gauge>,
    round_trip_micros: Family<OfBroker, Gauge>,
    client_errors: Family<OfRole, Counter>,
    pub(crate) appends_waiting: Counter,
    pub(crate) recreated: Counter,
    pub(crate) cut: Counter,
    expired: Counter,
    pub(crate) rebalances: Counter,
    pub(crate) topic_events: Family<OfOutcome, Counter>,
    pub(crate) topics: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfRole {
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    role: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBroker {
    broker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfOutcome {
    pub(crate) outcome: &'static str,
}

impl Metrics {
    pub(crate) fn register(builder: &mut Builder) -> Arc<Self> {
        let metrics = Self::default();
        let registry = builder.weir().sub_registry_with_prefix("kafka");
        let m = &metrics;
        registry.register("queued_records", "Records in the queues of librdkafka", m.queued_records.clone());
        registry.register("queued_bytes", "Bytes of these", m.queued_bytes.clone());
        registry.register("brokers", "Brokers by the state of the connection", m.brokers.clone());
        registry.register(
            "broker_round_trip_micros",
            "Microseconds until the producer's requests are answered, on average",
            m.round_trip_micros.clone(),
        );
        registry.register("client_errors", "Errors that librdkafka reported", m.client_errors.clone());
        registry.register(
            "appends_waiting",
            "Appends that had to wait because the queue was full",
            m.appends_waiting.clone(),
        );
        registry.register(
            "recreated_topics",
            "Topics that were deleted and made again under the same name",
            m.recreated.clone(),
        );
        registry.register(
            "cut_partitions",
            "Partitions whose log was found to end below what a group had dealt with",
            m.cut.clone(),
        );
        registry.register(
            "expired_offsets",
            "Offsets that the brokers removed before a group had dealt with them",
            m.expired.clone(),
        );
        registry.register("rebalances", "Times that partitions were given or taken", m.rebalances.clone());
        registry.register("topic_events", "New-topic events, by what became of them", m.topic_events.clone());
        registry.register("topics", "Topics that were found by the last listing", m.topics.clone());
        Arc::new(metrics)
    }

    pub(crate) fn client_error(&self, role: &'static str) {
        self.client_errors.get_or_create(&OfRole { role }).inc();
    }

    pub(crate) fn expired(&self, offsets: u64) {
        self.expired.inc_by(offsets);
    }

    pub(crate) fn statistics(&self, role: &'static str, statistics: &Statistics) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        // A consumer's messages are in its fetch queues.
        let fetched = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let fetched = fetched.fold((0, 0), |(count, size), partition| {
            let bytes = i64::try_from(partition.fetchq_size).unwrap_or(i64::MAX);
            (count + partition.fetchq_cnt, size + bytes)
        });
        let of_role = OfRole { role };
        let (records, bytes) =
            (gauge(statistics.msg_cnt) + fetched.0, gauge(statistics.msg_size) + fetched.1);
        self.queued_records.get_or_create(&of_role).set(records);
        self.queued_bytes.get_or_create(&of_role).set(bytes);
        let known = statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        let (up, down): (Vec<_>, Vec<_>) = known.partition(|broker| broker.state == "UP");
        for (state, brokers) in [("up", &up), ("down", &down)] {
            let count = i64::try_from(brokers.len()).unwrap_or(i64::MAX);
            self.brokers.get_or_create(&OfState { role, state }).set(count);
        }
        if role == crate::producer::ROLE {
            for broker in up {
                let micros = broker.rtt.as_ref().map_or(0, |window| window.avg);
                let label = OfBroker { broker: broker.nodename.clone() };
                self.round_trip_micros.get_or_create(&label).set(micros);
            }
        }
    }
}
