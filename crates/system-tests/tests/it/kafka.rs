//! What stands in Kafka, looked at and written past the roles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use weir_dead_letters::note::{Note, Reader};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::metrics::Builder;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_journal::{Journal, ReadBudget, StreamInfo};
use weir_journal_kafka::{KafkaJournal, Settings};
use weir_model::{Offset, Record, StreamName};
use weir_store::DeadLetter;
use weir_system_tests::wait::until_seldom;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The brokers, through weir's own journal.
pub(crate) struct Books {
    journal: Arc<KafkaJournal>,
    _supervisor: Supervisor,
}

/// Somebody else at the brokers.
pub(crate) struct Outsider {
    brokers: String,
    admin: AdminClient<DefaultClientContext>,
    producer: BaseProducer,
}

/// A message of somebody else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Nothing is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
}

impl Books {
    pub(crate) async fn open(brokers: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let brokers = brokers.split(',').map(str::to_owned).collect();
        let (spawner, mut metrics) = (supervisor.spawner(), Builder::new());
        // The topic of the events is a stream too for whoever has another.
        let other = StreamName::new("other_events").expect("is legal");
        let settings = Settings { new_topic_events: other, ..Settings::new(brokers) };
        let opened = KafkaJournal::open(settings, clock, &spawner, &mut metrics).await;
        Self { journal: opened.expect("a broker answers"), _supervisor: supervisor }
    }

    pub(crate) async fn stream(&self, topic: &str) -> Option<StreamInfo> {
        let streams = self.journal.streams().await.expect("a broker answers");
        streams.into_iter().find(|stream| stream.name.as_str() == topic)
    }

    /// All records of a topic.
    pub(crate) async fn records(&self, topic: &str) -> Vec<Record> {
        let stream = self.stream(topic).await.expect("the topic is there");
        let mut records = Vec::new();
        for bounds in &stream.partitions {
            let mut at = bounds.start;
            while at < bounds.end {
                let budget = ReadBudget { bytes: 16 << 20, records: 10_000 };
                let read = self.journal.read(&bounds.partition, at, budget).await.expect("a broker answers");
                records.extend(read.records.into_iter().map(|stored| stored.record));
                at = read.next;
            }
        }
        records
    }

    /// The dead letters of a group, in the order in which they died.
    pub(crate) async fn letters(&self, group: &str) -> Vec<DeadLetter> {
        let (mut reader, mut letters) = (Reader::default(), Vec::new());
        for record in self.records(&format!("{group}-dead")).await {
            let batch = weir_wire::decode_record(record.format, &record.value, record.received);
            for event in batch.expect("notes are whole").events() {
                let note = event.content.expect("a note has content").to_string();
                match reader.read(&note).expect("is a note") {
                    Some(Note::Letter(letter)) => letters.push(*letter),
                    Some(Note::Purged(_)) | None => {}
                }
            }
        }
        letters
    }

    /// Offsets of topics of events with this prefix that the group has not dealt with; nothing while topics of others
    /// come and go.
    async fn waiting(&self, group: &str, prefix: &str) -> Option<u64> {
        let streams = self.journal.streams().await.ok()?;
        let groups = self.journal.groups().await.ok()?;
        let positions = groups.into_iter().filter(|found| found.name == group);
        let committed: BTreeMap<_, _> = positions
            .flat_map(|group| group.positions)
            .map(|position| (position.partition, position.committed))
            .collect();
        let is_of_group = |name: &str| name.starts_with(prefix) && name.ends_with("_logs");
        let of_group = streams.iter().filter(|stream| is_of_group(stream.name.as_str()));
        let partitions = of_group.flat_map(|stream| &stream.partitions);
        let left = partitions.map(|bounds| {
            let done = committed.get(&bounds.partition).copied().unwrap_or(Offset::ZERO).max(bounds.start);
            bounds.end.0.saturating_sub(done.0)
        });
        Some(left.sum())
    }

    /// Waits until the group has dealt with all there is in topics with this prefix.
    pub(crate) async fn caught_up(&self, group: &str, prefix: &str) {
        let mut left = 0;
        until_seldom("everything is committed", PATIENCE, async || {
            let waiting = self.waiting(group, prefix).await?;
            if waiting != left {
                eprintln!("{waiting} records wait");
                left = waiting;
            }
            (waiting == 0).then_some(())
        })
        .await;
    }
}

impl Outsider {
    pub(crate) fn new(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let admin = config.create().expect("a client");
        let producer = config.set("linger.ms", "0").create().expect("a producer");
        Self { brokers: brokers.to_owned(), admin, producer }
    }

    /// Makes a topic of one partition, of which nobody is told.
    pub(crate) async fn create_topic(&self, topic: &str) {
        let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        let made = self.admin.create_topics([&topic], &options()).await.expect("a broker answers");
        made.into_iter().for_each(|topic| drop(topic.expect("it can be made")));
    }

    pub(crate) async fn delete_topic(&self, topic: &str) {
        let deleted = self.admin.delete_topics(&[topic], &options()).await.expect("a broker answers");
        deleted.into_iter().for_each(|topic| drop(topic.expect("it can be deleted")));
        until_seldom("the topic is gone", PATIENCE, async || {
            let metadata = block_in_place(|| self.producer.client().fetch_metadata(None, PATIENCE));
            let metadata = metadata.expect("a broker answers");
            metadata.topics().iter().all(|found| found.name() != topic).then_some(())
        })
        .await;
    }

    /// Takes away what is below the offset in the only partition of a topic.
    pub(crate) async fn delete_records(&self, topic: &str, below: i64) {
        let list = place(topic, below);
        let deleted = self.admin.delete_records(&list, &options()).await.expect("a broker answers");
        deleted.elements().iter().for_each(|place| place.error().expect("they can be deleted"));
    }

    /// Commits for a group that has no members.
    pub(crate) fn commit(&self, group: &str, topic: &str, offset: i64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("group.id", group);
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let committed = block_in_place(|| consumer.commit(&place(topic, offset), CommitMode::Sync));
        committed.expect("the group has no members");
    }

    /// What the members of a group call themselves; nothing while no broker can tell.
    pub(crate) fn members(&self, group: &str) -> Option<Vec<String>> {
        let groups =
            block_in_place(|| self.producer.client().fetch_group_list(Some(group), PATIENCE)).ok()?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        Some(members.map(|member| member.client_id().to_owned()).collect())
    }

    /// Writes to the only partition of a topic, in this order.
    pub(crate) fn send(&self, topic: &str, messages: &[Message]) {
        for message in messages {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &message.headers {
                headers = headers.insert(Header { key, value: Some(*value) });
            }
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(0).headers(headers);
            record.payload = message.value.as_deref();
            self.producer.send(record).expect("there is room");
        }
        block_in_place(|| self.producer.flush(PATIENCE)).expect("a broker answers");
    }
}

fn options() -> AdminOptions {
    let limit = Some(Duration::from_secs(60));
    AdminOptions::new().operation_timeout(limit).request_timeout(limit)
}

fn place(topic: &str, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, RawOffset::Offset(offset)).expect("legal");
    list
}
