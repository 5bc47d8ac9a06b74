//! The handle of the journal over Kafka.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::metrics;
use weir_foundation::supervise::{DrainPhase, Spawner};
use weir_journal::{
    AppendError, Appended, Commit, CommitError, CreateStreamError, Creation, GroupInfo, IfMissing, Journal,
    KnownBatch, Origin, ReadBatch, ReadBudget, ReadError, StreamInfo, StreamPattern, StreamSpec,
    SubscribeError, Subscription,
};
use weir_model::{Offset, PartitionIndex, Record, SourceId, StreamName, StreamPartition, Timestamp};

use crate::catalog::{Catalog, Topic};
use crate::client::Voice;
use crate::cluster::{ByPartition, Cluster, Group, Made, Wanted};
use crate::error::{KafkaOpenError, RequestError};
use crate::marks::Marks;
use crate::member::Member;
use crate::metrics::Metrics;
use crate::producer::Producer;
use crate::reader::Readers;
use crate::registry::Registry;
use crate::section::{GroupIds, Settings};
use crate::shared::{CommitFailure, Shared, partitions_of};
use crate::tails::Tails;
use crate::topics::{self, Channels};

/// The journal over Kafka. Dropping it ends its subscriptions; see [`KafkaJournal::close`].
pub struct KafkaJournal {
    shared: Arc<Shared>,
}

impl KafkaJournal {
    /// Connects to the brokers, trying as often as the settings say, and lists the topics.
    pub async fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
        builder: &mut metrics::Builder,
    ) -> Result<Arc<Self>, KafkaOpenError> {
        let metrics = Metrics::register(builder);
        let voice = Voice { role: "", metrics: Arc::clone(&metrics) };
        let refused = |error: rdkafka::error::KafkaError| KafkaOpenError::Settings(error.into());
        let cluster = Arc::new(Cluster::new(&settings, voice.clone(), spawner, &clock).map_err(refused)?);
        settings.brokers.enlist(&cluster, Cluster::add_brokers);
        let topics = reach(&cluster, &settings, &*clock, spawner).await?;
        let producer = Producer::start(&settings, Arc::clone(&clock), voice.clone(), spawner)?;
        let channels = Channels::new();
        let shared = Arc::new(Shared {
            readers: Readers::new(&settings, voice),
            clock,
            spawner: spawner.clone(),
            metrics,
            cluster,
            catalog: Catalog::new(),
            producer,
            registry: Registry::default(),
            rumours: channels.rumours.clone(),
            announcer: channels.announcer.clone(),
            events_topic: AtomicBool::new(false),
            listening: AtomicBool::new(false),
            bounds: Mutex::default(),
            marks: Marks::default(),
            tails: Tails::default(),
            appends: AtomicU64::new(0),
            changes: watch::Sender::new(0),
            closed: watch::Sender::new(false),
            settings,
        });
        shared.learn(&shared.catalog.replace(topics));
        channels.start(&shared);
        shared.watch();
        Ok(Arc::new(Self { shared }))
    }

    /// Takes no more, waits until what it took is answered, and leaves all groups. Idempotent.
    pub async fn close(&self) {
        self.shared.registry.leave_all();
        self.shared.await_leaving(None).await;
        self.shared.close();
    }
}

impl Drop for KafkaJournal {
    fn drop(&mut self) {
        self.shared.registry.leave_all();
        self.shared.close();
    }
}

/// Lists the topics; the brokers may not be there yet.
async fn reach(
    cluster: &Arc<Cluster>,
    settings: &Settings,
    clock: &dyn Clock,
    spawner: &Spawner,
) -> Result<Vec<Topic>, KafkaOpenError> {
    let drain = spawner.token(DrainPhase::StopIntake);
    let mut attempts = 0;
    loop {
        let error = match cluster.ask("journal.kafka.open", Cluster::list).await {
            Ok(topics) => return Ok(topics),
            Err(error) => error,
        };
        attempts += 1;
        if settings.start.most.is_some_and(|most| attempts >= most) {
            let brokers = settings.brokers.to_string();
            return Err(KafkaOpenError::Unreachable { brokers, attempts, source: error.into() });
        }
        tracing::warn!(attempts, error = %chain(&error), "no broker of Kafka answers, trying again");
        tokio::select! {
            () = drain.draining() => return Err(KafkaOpenError::Closing),
            () = clock.sleep(settings.start.interval) => {}
        }
    }
}

#[async_trait]
impl Journal for KafkaJournal {
    async fn append(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError> {
        let shared = &self.shared;
        let limit = shared.settings.max_record.as_usize();
        if let Some(size) = records.iter().map(|record| record.value.len()).find(|size| *size > limit) {
            return Err(AppendError::TooLarge { size, limit });
        }
        if shared.producer.is_closed() {
            return Err(AppendError::Closing);
        }
        let topic = shared.topic(stream).await.map_err(|error| AppendError::Unavailable(Box::new(error)))?;
        let topic = topic.ok_or_else(|| AppendError::UnknownStream(stream.clone()))?;
        let outcomes = shared.send(&topic, origin, &records).await;
        let mut appended: Vec<Appended> = Vec::with_capacity(outcomes.len());
        for outcome in &outcomes {
            let Ok(delivered) = outcome else { break };
            let partition = PartitionIndex(u32::try_from(delivered.partition).unwrap_or(0));
            let offset = Offset(u64::try_from(delivered.offset).unwrap_or(0));
            // Those of one call mostly go to one partition.
            let last = appended.last().map(|last| &last.partition).filter(|last| last.partition == partition);
            let place = last.cloned().unwrap_or_else(|| {
                let life = shared.registry.life(stream, partition.0, topic.life);
                StreamPartition { stream: stream.clone(), incarnation: life.incarnation, partition }
            });
            shared.tails.appended(&place, offset);
            appended.push(Appended { partition: place, offset });
        }
        if outcomes.iter().any(Result::is_ok) {
            shared.appends.fetch_add(1, Ordering::AcqRel);
            shared.changed();
        }
        if appended.len() == records.len() {
            if let (Some(mark), Some(last)) = (origin.mark(), appended.last()) {
                shared.marks.set(mark, &last.partition, last.offset);
            }
            return Ok(appended);
        }
        Err(shared.append_error(stream, outcomes))
    }

    async fn create_stream(&self, spec: StreamSpec) -> Result<Creation, CreateStreamError> {
        let shared = &self.shared;
        let name = spec.name;
        let failed =
            |error: RequestError| CreateStreamError::Failed { name: name.clone(), source: Box::new(error) };
        if shared.producer.is_closed() {
            return Err(CreateStreamError::Closing);
        }
        let (topic, made) = match shared.look_at(&name).await.map_err(failed)? {
            Some(topic) => (topic, Made::Before),
            None if spec.if_missing == IfMissing::Refuse => return Err(CreateStreamError::Missing(name)),
            None => {
                let limit = shared.settings.topics.topics;
                if shared.catalog.len() >= limit {
                    return Err(CreateStreamError::TooMany { name, limit });
                }
                let replicas = spec.replicas.map(|asked| asked.clamp(1, shared.settings.topics.replicas));
                let wanted =
                    Wanted { name: name.as_str(), partitions: spec.partitions, replicas, keep: spec.keep };
                let made = shared.cluster.create(wanted).await.map_err(failed)?;
                (shared.wait_for(&name).await.map_err(failed)?, made)
            }
        };
        if made == Made::Now {
            // Full only if thousands of events could not be sent; consumers find the topic by listing then.
            shared.announcer.try_send(name.clone()).ok();
        }
        let bounds: ByPartition<Range<u64>> = match made {
            Made::Now => partitions_of(&topic).into_iter().map(|place| (place, 0..0)).collect(),
            Made::Before => shared.bounds(&topic).await.map_err(failed)?,
        };
        let info = shared.info(&topic, &bounds);
        Ok(match made {
            Made::Now => Creation::Created(info),
            Made::Before => Creation::Existed(info),
        })
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, ReadError> {
        let shared = &self.shared;
        shared.list().await?;
        let topics = shared.catalog.all();
        let places: Vec<_> = topics.values().flat_map(|topic| partitions_of(topic)).collect();
        let ask = move |cluster: &Cluster| cluster.bounds(places.iter().cloned());
        let bounds = shared.cluster.ask("journal.kafka.streams", ask).await?;
        Ok(topics.values().map(|topic| shared.info(topic, &bounds)).collect())
    }

    async fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError> {
        let shared = &self.shared;
        let (topic, life) = shared.place(partition).await?;
        let bounds = shared.bounds(&topic).await?;
        let range = bounds.get(&(topic.name.clone(), partition.partition.0)).cloned();
        let Some(range) = range else {
            shared.look_at(&topic.name).await?;
            shared.place(partition).await?;
            return Err(ReadError::Failed("nobody leads the partition".into()));
        };
        // What is below the beginning of a life is of an earlier one, which ended there.
        let range = if life.incarnation == partition.incarnation {
            range.start.max(life.begin.0.min(range.end))..range.end
        } else {
            range.start..range.end.min(life.begin.0)
        };
        if from.0 >= range.end {
            let (records, losses) = (Vec::new(), Vec::new());
            return Ok(ReadBatch { partition: partition.clone(), records, losses, next: from });
        }
        let _turn = shared.readers.turns.acquire().await.or(Err(ReadError::Closing))?;
        let (reading, partition) = (Arc::clone(shared), partition.clone());
        let read =
            move |_: &Cluster| reading.readers.read(&partition, from.0, &range, budget, &*reading.clock);
        Ok(shared.cluster.ask("journal.kafka.read", read).await?)
    }

    async fn subscribe(
        &self,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let shared = &self.shared;
        shared.await_leaving(Some(group)).await;
        if !shared.listening.swap(true, Ordering::AcqRel) {
            let started = topics::listen(shared);
            started
                .map_err(|error| SubscribeError::Failed { group: group.to_owned(), source: error.into() })?;
        }
        Ok(Box::new(Member::start(shared, group, pattern)?))
    }

    async fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), CommitError> {
        let shared = &self.shared;
        let failed = |source| CommitError::Failed { group: group.to_owned(), source };
        if shared.producer.is_closed() {
            return Err(CommitError::Closing);
        }
        let links = shared.registry.of_group(group);
        if links.is_empty() {
            return shared.commit_from_outside(group, commits).await.map_err(|failure| match failure {
                CommitFailure::Place(error) => failed(Box::new(error)),
                CommitFailure::Request(error) => failed(Box::new(error)),
            });
        }
        for link in links {
            let limit = shared.settings.request_timeout;
            link.has_joined(&*shared.clock, limit).await;
            if commits.iter().any(|commit| link.owns(&commit.partition)) {
                shared.commit_as(link, commits).await.map_err(|error| failed(Box::new(error)))?;
            }
        }
        Ok(())
    }

    async fn groups(&self) -> Result<Vec<GroupInfo>, ReadError> {
        let shared = &self.shared;
        shared.await_leaving(None).await;
        let mut groups = shared.cluster.ask("journal.kafka.groups", Cluster::groups).await?;
        let live = shared.registry.live();
        let of_here = live.iter().filter(|id| groups.iter().all(|group| group.name != **id));
        let of_here: Vec<_> = of_here.map(|id| Group { name: id.clone(), members: 1 }).collect();
        groups.extend(of_here);
        groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        groups.dedup_by(|a, b| a.name == b.name);
        let mut infos = Vec::with_capacity(groups.len());
        for group in groups {
            let positions = shared.positions(&group).await?;
            let live = group.members > 0 || live.contains(&group.name);
            infos.push(GroupInfo { name: group.name, live, positions });
        }
        Ok(infos)
    }

    async fn delete_group(&self, group: &str) -> Result<(), CommitError> {
        let shared = &self.shared;
        shared.await_leaving(Some(group)).await;
        let ids = match shared.settings.group_ids {
            GroupIds::Shared => vec![group.to_owned()],
            GroupIds::PerTopic => {
                shared.catalog.all().keys().map(|topic| shared.group_id(group, topic)).collect()
            }
        };
        if shared.registry.live().iter().any(|live| ids.contains(live)) {
            return Err(CommitError::Live(group.to_owned()));
        }
        for id in ids {
            match shared.cluster.delete_group(&id).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(RDKafkaErrorCode::NonEmptyGroup) => {
                    return Err(CommitError::Live(group.to_owned()));
                }
                Err(error) => {
                    return Err(CommitError::Failed { group: group.to_owned(), source: Box::new(error) });
                }
            }
        }
        Ok(())
    }

    async fn known_batches(&self, _: Timestamp, _: usize) -> Result<Vec<KnownBatch>, ReadError> {
        Ok(Vec::new())
    }

    async fn mark(&self, stream: &StreamName, source: SourceId) -> Result<Option<u64>, ReadError> {
        self.shared.mark(stream, source).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

impl fmt::Debug for KafkaJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaJournal").field("brokers", &self.shared.settings.brokers).finish_non_exhaustive()
    }
}
