//! Questions to the brokers, and topics and groups made and removed. What blocks runs off the runtime's threads.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use weir_foundation::clock::Clock;
use weir_foundation::supervise::Spawner;
use weir_journal::Keep;
use weir_model::StreamName;

use crate::catalog::Topic;
use crate::client::{self, Voice};
use crate::error::RequestError;
use crate::life::{self, Committed};
use crate::native::{self, Description};
use crate::section::Settings;

/// Names that one question holds at most.
const NAMES: usize = 500;

pub(crate) struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) spawner: Spawner,
    clock: Arc<dyn Clock>,
    voice: Voice,
    admin: AdminClient<Voice>,
    /// Made when offsets are asked for the first time: a producer never does.
    offsets: OnceLock<BaseConsumer<Voice>>,
    id: OnceLock<String>,
}

/// How long to wait before offsets are asked for again, while leaders change.
const PAUSE: Duration = Duration::from_millis(100);

/// How long all brokers may take to hear of a new topic.
const NEW: Duration = Duration::from_secs(1);

/// Whether an error is over in a moment.
fn passes(error: RDKafkaErrorCode) -> bool {
    matches!(
        error,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
    )
}

/// Whether an error says of one of several partitions that it is not there: the library, or a broker, which may not
/// have heard of it yet.
fn is_unknown(error: RDKafkaErrorCode) -> bool {
    matches!(
        error,
        RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopicId
    )
}

/// Partitions by topic and index.
pub(crate) type ByPartition<T> = HashMap<(StreamName, u32), T>;

/// A group as the brokers list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: usize,
}

/// A topic that is to be made; absent numbers are the brokers' affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: Option<u32>,
    pub(crate) replicas: Option<u32>,
    pub(crate) keep: Keep,
}

/// Whether a topic was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Now,
    Before,
}

impl Cluster {
    pub(crate) fn new(
        settings: &Settings,
        voice: Voice,
        spawner: &Spawner,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        let voice = Voice { role: "admin", ..voice };
        let admin = AdminClient::from_config_and_context(&client::config(settings), voice.clone())?;
        Ok(Self {
            settings: settings.clone(),
            spawner: spawner.clone(),
            clock: Arc::clone(clock),
            voice,
            admin,
            offsets: OnceLock::new(),
            id: OnceLock::new(),
        })
    }

    pub(crate) fn add_brokers(&self, addresses: &str) {
        native::add_brokers(self.admin.inner(), addresses);
        if let Some(offsets) = self.offsets.get() {
            native::add_brokers(offsets.client(), addresses);
        }
    }

    /// Runs a question that blocks. Brokers that do not answer hold up no drain.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        question: impl FnOnce(&Self) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let cluster = Arc::clone(self);
        self.spawner.blocking_detached(name, move || question(&cluster)).await?
    }

    fn timeout(&self) -> Duration {
        self.settings.request_timeout
    }

    /// The id of the cluster; the first time it blocks.
    pub(crate) fn id(&self) -> Result<&str, RequestError> {
        if let Some(id) = self.id.get() {
            return Ok(id);
        }
        let id = self.admin.inner().fetch_cluster_id(self.timeout()).ok_or(RequestError::NoClusterId)?;
        Ok(self.id.get_or_init(|| id))
    }

    /// All topics but Kafka's own and that of new-topic events. Blocks.
    pub(crate) fn list(&self) -> Result<Vec<Topic>, RequestError> {
        let metadata = self.admin.inner().fetch_metadata(None, self.timeout());
        let metadata = metadata.map_err(failed("list topics"))?;
        let names: Vec<_> = metadata.topics().iter().filter_map(|topic| self.stream(topic.name())).collect();
        self.describe(&names)
    }

    /// What the brokers know of these topics; those that are not there are left out. Blocks.
    pub(crate) fn describe(&self, names: &[StreamName]) -> Result<Vec<Topic>, RequestError> {
        let cluster = self.id()?;
        let mut topics = Vec::with_capacity(names.len());
        for names in names.chunks(NAMES) {
            let names: Vec<_> = names.iter().map(StreamName::as_str).collect();
            let described = native::describe_topics(self.admin.inner(), &names, self.timeout());
            for Description { name, outcome } in described.map_err(refused("describe topics"))? {
                let Some(name) = self.stream(&name) else { continue };
                match outcome {
                    Ok(topic) => {
                        let life = life::of_topic(cluster, topic.id);
                        topics.push(Topic { name, life, partitions: topic.partitions });
                    }
                    Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
                    Err(error) => return Err(refused("describe a topic")(error)),
                }
            }
        }
        Ok(topics)
    }

    fn stream(&self, topic: &str) -> Option<StreamName> {
        let name = StreamName::new(topic).ok()?;
        (!topic.starts_with("__") && name != self.settings.new_topic_events).then_some(name)
    }

    /// The first offset of each partition, and the one that the next record gets; partitions that nobody leads
    /// are left out. Blocks.
    pub(crate) fn bounds(
        &self,
        partitions: impl Iterator<Item = (StreamName, u32)> + Clone,
    ) -> Result<ByPartition<Range<u64>>, RequestError> {
        let starts = self.offsets(partitions.clone().map(|place| (place, Offset::Beginning)))?;
        let ends = self.offsets(partitions.map(|place| (place, Offset::End)))?;
        let bounds = starts.into_iter().filter_map(|(place, start)| {
            let end = *ends.get(&place)?;
            Some((place, start..end.max(start)))
        });
        Ok(bounds.collect())
    }

    /// The first offset of each partition with a record of that time or later, or else its end; partitions of topics
    /// that are gone by now are left out. Blocks.
    pub(crate) fn offsets(
        &self,
        wanted: impl Iterator<Item = ((StreamName, u32), Offset)>,
    ) -> Result<ByPartition<u64>, RequestError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), at) in wanted {
            list.add_partition_offset(topic.as_str(), index(partition), at)
                .map_err(failed("ask for offsets"))?;
        }
        if list.count() == 0 {
            return Ok(HashMap::new());
        }
        let consumer = match self.offsets.get() {
            Some(consumer) => consumer,
            None => {
                let config = client::consumer(&self.settings, "weir-offsets");
                let voice = Voice { role: "offsets", ..self.voice.clone() };
                let made = BaseConsumer::from_config_and_context(&config, voice)
                    .map_err(failed("ask for offsets"))?;
                self.offsets.get_or_init(|| made)
            }
        };
        // Serves what it has to say; it is asked for nothing else.
        drop(consumer.poll(Duration::ZERO));
        let deadline = self.clock.monotonic() + self.timeout();
        let left = || deadline.saturating_duration_since(self.clock.monotonic());
        let found = loop {
            let error = match consumer.offsets_for_times(list.clone(), left()) {
                Ok(found) => break found,
                Err(error) => error,
            };
            match error.rdkafka_error_code().filter(|_| left() > PAUSE) {
                // A partition that is new or moves has no leader for a moment.
                Some(code) if passes(code) => {}
                Some(code) if is_unknown(code) => {
                    if left() < self.timeout().saturating_sub(NEW) {
                        list = self.without_the_gone(&list)?;
                    }
                }
                _ => return Err(failed("find offsets")(error)),
            }
            if list.count() == 0 {
                return Ok(HashMap::new());
            }
            drop(consumer.poll(PAUSE));
        };
        let mut offsets = HashMap::new();
        for element in found.elements() {
            match place_of(&element) {
                Some((place, offset)) => drop(offsets.insert(place, offset)),
                None => {
                    let (topic, partition) = (element.topic(), element.partition());
                    tracing::warn!(topic, partition, error = ?element.error(), "the offsets of a partition are not known");
                }
            }
        }
        Ok(offsets)
    }

    /// The partitions of topics that are still there.
    fn without_the_gone(&self, list: &TopicPartitionList) -> Result<TopicPartitionList, RequestError> {
        let names: BTreeSet<_> =
            list.elements().iter().filter_map(|element| StreamName::new(element.topic()).ok()).collect();
        let topics = self.describe(&Vec::from_iter(names))?;
        let partitions: HashMap<_, _> =
            topics.iter().map(|topic| (topic.name.as_str(), index(topic.partitions))).collect();
        let mut left = TopicPartitionList::new();
        for element in list.elements() {
            if partitions.get(element.topic()).is_some_and(|count| element.partition() < *count) {
                left.add_partition_offset(element.topic(), element.partition(), element.offset())
                    .map_err(failed("ask for offsets"))?;
            }
        }
        Ok(left)
    }

    /// Makes a topic. A topic of three copies takes no record that has not two of them.
    pub(crate) async fn create(&self, wanted: Wanted<'_>) -> Result<Made, RequestError> {
        let number = |asked: Option<u32>| asked.map_or(-1, index);
        let replication = TopicReplication::Fixed(number(wanted.replicas));
        let mut topic = NewTopic::new(wanted.name, number(wanted.partitions), replication);
        if wanted.replicas == Some(3) {
            topic = topic.set("min.insync.replicas", "2");
        }
        if wanted.keep == Keep::ForEver {
            topic = topic.set("retention.ms", "-1").set("retention.bytes", "-1");
        }
        let options = self.options();
        let created = self.admin.create_topics([&topic], &options).await.map_err(failed("create a topic"))?;
        match created.into_iter().next() {
            Some(Ok(_)) => Ok(Made::Now),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(Made::Before),
            Some(Err((_, error))) => Err(refused("create a topic")(error)),
            None => Err(refused("create a topic")(RDKafkaErrorCode::Fail)),
        }
    }

    /// All groups of consumers. Blocks.
    pub(crate) fn groups(&self) -> Result<Vec<Group>, RequestError> {
        let list =
            self.admin.inner().fetch_group_list(None, self.timeout()).map_err(failed("list groups"))?;
        let groups = list.groups().iter();
        let of_consumers = groups.filter(|group| matches!(group.protocol_type(), "consumer" | ""));
        Ok(of_consumers
            .map(|group| Group { name: group.name().to_owned(), members: group.members().len() })
            .collect())
    }

    /// What a group committed of these partitions. Blocks.
    pub(crate) fn committed(
        &self,
        group: &str,
        partitions: impl Iterator<Item = (StreamName, u32)>,
    ) -> Result<ByPartition<Committed>, RequestError> {
        committed(&self.outsider(group)?, partitions, self.timeout())
    }

    /// Commits for a group that has no member. Blocks.
    pub(crate) fn commit(&self, group: &str, list: &TopicPartitionList) -> Result<(), RequestError> {
        self.outsider(group)?.commit(list, CommitMode::Sync).map_err(failed("store a commit"))
    }

    /// Somebody who speaks for a group without being a member.
    fn outsider(&self, group: &str) -> Result<BaseConsumer, RequestError> {
        BaseConsumer::from_config(&client::consumer(&self.settings, group)).map_err(failed("ask for a group"))
    }

    pub(crate) async fn delete_group(&self, group: &str) -> Result<(), RequestError> {
        let deleted = self.admin.delete_groups(&[group], &self.options()).await;
        match deleted.map_err(failed("delete a group"))?.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::GroupIdNotFound))) | Some(Ok(_)) | None => Ok(()),
            Some(Err((_, error))) => Err(refused("delete a group")(error)),
        }
    }

    fn options(&self) -> AdminOptions {
        let timeout = Some(self.timeout());
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }
}

/// What the group of a consumer committed. Blocks.
pub(crate) fn committed<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl Iterator<Item = (StreamName, u32)>,
    timeout: Duration,
) -> Result<ByPartition<Committed>, RequestError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic.as_str(), index(partition));
    }
    if list.count() == 0 {
        return Ok(HashMap::new());
    }
    let list = consumer.committed_offsets(list, timeout).map_err(failed("read commits"))?;
    let mut committed = HashMap::new();
    for element in list.elements() {
        element.error().map_err(failed("read a commit"))?;
        if let Some((place, offset)) = place_of(&element) {
            let note = element.metadata().parse().ok();
            committed.insert(place, Committed { offset, note });
        }
    }
    Ok(committed)
}

fn place_of(element: &TopicPartitionListElem<'_>) -> Option<((StreamName, u32), u64)> {
    element.error().ok()?;
    let Offset::Offset(offset) = element.offset() else { return None };
    let name = StreamName::new(element.topic()).ok()?;
    Some(((name, u32::try_from(element.partition()).ok()?), u64::try_from(offset).ok()?))
}

/// A number as Kafka has it.
pub(crate) fn index(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(crate) fn failed(what: &'static str) -> impl FnOnce(KafkaError) -> RequestError {
    move |source| RequestError::Failed { what, source }
}

pub(crate) fn refused(what: &'static str) -> impl FnOnce(RDKafkaErrorCode) -> RequestError {
    move |source| RequestError::Refused { what, source }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.settings.brokers).finish_non_exhaustive()
    }
}
