use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, Producer};
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::metrics::{Builder, Metrics};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_journal::{
    Journal, Origin, ReadBatch, StreamInfo, StreamPattern, StreamSpec, Subscription, SubscriptionEvent,
};
use weir_journal_kafka::{KafkaJournal, Settings};
use weir_model::{PartitionIndex, Record, RecordFormat, StreamName, StreamPartition, Timestamp};
use weir_services::{Home, Kafka};

/// How long anything may take on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A broker, and what a test needs to go behind the journal's back.
pub(crate) struct World {
    pub(crate) kafka: Kafka,
    pub(crate) admin: AdminClient<DefaultClientContext>,
    pub(crate) outsider: BaseProducer,
    runtime: Handle,
    _directory: tempfile::TempDir,
}

/// A journal with its metrics.
pub(crate) struct Opened {
    pub(crate) journal: Arc<KafkaJournal>,
    pub(crate) metrics: Metrics,
}

impl World {
    pub(crate) fn start(runtime: Handle) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1).expect("it starts");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.addresses());
        let admin = config.create().expect("a client");
        let outsider = config.set("linger.ms", "0").create().expect("a producer");
        Self { kafka, admin, outsider, runtime, _directory: directory }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            listing_interval: Duration::from_secs(600),
            session_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(1),
            start: weir_journal_kafka::Retries { most: Some(3), interval: Duration::from_secs(1) },
            ..Settings::new(self.kafka.addresses().split(',').map(str::to_owned).collect())
        }
    }

    pub(crate) async fn open(&self) -> Opened {
        self.open_with(self.settings()).await
    }

    pub(crate) async fn open_with(&self, settings: Settings) -> Opened {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(self.runtime.clone(), Arc::clone(&clock), DrainDeadlines::default());
        let mut builder = Builder::new();
        let journal = KafkaJournal::open(settings, clock, &supervisor.spawner(), &mut builder).await;
        Opened { journal: journal.expect("the broker answers"), metrics: builder.build() }
    }

    pub(crate) async fn delete_topic(&self, topic: &str) {
        let timeout = Some(Duration::from_secs(30));
        let options = AdminOptions::new().operation_timeout(timeout).request_timeout(timeout);
        let deleted = self.admin.delete_topics(&[topic], &options).await.expect("the broker answers");
        deleted.into_iter().for_each(|topic| drop(topic.expect("it can be deleted")));
        let is_gone = || {
            let metadata = self.outsider.client().fetch_metadata(None, PATIENCE).expect("the broker answers");
            metadata.topics().iter().all(|found| found.name() != topic)
        };
        eventually("the topic is gone", || {
            let gone = is_gone();
            async move { gone }
        })
        .await;
    }
}

impl Opened {
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.exposition();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a number"))
    }
}

/// Waits for a condition.
#[expect(clippy::disallowed_methods, reason = "a real broker lives by the clock of the machine")]
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let began = std::time::Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What comes within the time that anything may take.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.expect(what)
}

pub(crate) fn name(text: &str) -> StreamName {
    StreamName::new(text).expect("legal")
}

pub(crate) fn only(topic: &str) -> StreamPattern {
    StreamPattern { prefix: topic.to_owned(), suffix: String::new() }
}

pub(crate) fn record(text: &str) -> Record {
    Record {
        format: RecordFormat::Events,
        events: Some(1),
        received: Timestamp::from_micros(1_700_000_000_000_000),
        batch: None,
        value: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(crate) async fn create(journal: &KafkaJournal, topic: &str, partitions: u32) -> StreamInfo {
    let spec = StreamSpec { partitions: Some(partitions), replicas: Some(1), ..StreamSpec::new(name(topic)) };
    journal.create_stream(spec).await.expect("it can be created").info().clone()
}

pub(crate) async fn append(journal: &KafkaJournal, topic: &str, text: &str) -> StreamPartition {
    let appended = journal.append(&name(topic), Origin::Any, vec![record(text)]).await;
    appended.expect("it can be appended").remove(0).partition
}

pub(crate) fn partition(info: &StreamInfo, index: u32) -> StreamPartition {
    info.partition(PartitionIndex(index)).expect("it is there").partition.clone()
}

pub(crate) async fn next(member: &mut dyn Subscription) -> SubscriptionEvent {
    within("an event", member.next()).await.expect("the subscription is open")
}

/// The next batch, past other events.
pub(crate) async fn next_batch(member: &mut dyn Subscription) -> ReadBatch {
    loop {
        if let SubscriptionEvent::Batch(batch) = next(member).await {
            return batch;
        }
    }
}

pub(crate) fn texts(batch: &ReadBatch) -> Vec<String> {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    batch.records.iter().map(|stored| text(&stored.record.value)).collect()
}

/// The texts of records, in the order in which they come, until there are so many.
pub(crate) async fn receive(member: &mut dyn Subscription, count: usize) -> Vec<(StreamPartition, String)> {
    let mut received = Vec::new();
    while received.len() < count {
        let batch = next_batch(member).await;
        received.extend(texts(&batch).into_iter().map(|text| (batch.partition.clone(), text)));
    }
    received
}
