//! What the parts of the journal have in common, and what they ask of each other.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_journal::{AppendError, Commit, GroupPosition, PartitionBounds, ReadError, StreamInfo};
use weir_model::{Offset, StreamName, StreamPartition, Timestamp};

use crate::catalog::{Catalog, News, Topic};
use crate::cluster::{ByPartition, Cluster, Group};
use crate::error::RequestError;
use crate::life::{Committed, Life};
use crate::marks::Marks;
use crate::member::{self, Link};
use crate::metrics::Metrics;
use crate::native::Persistence;
use crate::producer::{Outcome, Producer, Undelivered};
use crate::reader::Readers;
use crate::registry::Registry;
use crate::section::Settings;
use crate::tails::Tails;
use crate::topics::{self};

/// How old what is known of the ends of partitions may be for a read.
const FRESH: Duration = Duration::from_millis(100);

/// How long a new topic is waited for that the brokers say they made.
const APPEARS: Duration = Duration::from_millis(20);

/// How long a member of this process that leaves is waited for.
const LEAVES: Duration = Duration::from_secs(10);

/// What the parts of the journal have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawner: Spawner,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) catalog: Catalog,
    pub(crate) producer: Producer,
    pub(crate) registry: Registry,
    pub(crate) rumours: topics::Rumours,
    pub(crate) announcer: topics::Announcer,
    /// The topic of new-topic events is there.
    pub(crate) events_topic: AtomicBool,
    pub(crate) listening: AtomicBool,
    pub(crate) readers: Readers,
    pub(crate) bounds: Mutex<HashMap<StreamName, KnownBounds>>,
    pub(crate) marks: Marks,
    pub(crate) tails: Tails,
    /// How often something was appended here.
    pub(crate) appends: AtomicU64,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) closed: watch::Sender<bool>,
}

/// The bounds of the partitions of a topic as they were.
pub(crate) struct KnownBounds {
    pub(crate) at: Instant,
    /// Appends of this process that they may not know of are later.
    pub(crate) appends: u64,
    pub(crate) of: ByPartition<Range<u64>>,
}

impl Shared {
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|change| *change = change.wrapping_add(1));
    }

    pub(crate) fn close(&self) {
        self.producer.close();
        self.closed.send_replace(true);
        self.changed();
    }

    /// Waits until the journal is closed.
    pub(crate) async fn has_closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error says that it is gone altogether.
        closed.wait_for(|closed| *closed).await.map(drop).ok();
    }

    /// Tells tails to look, while somebody listens: others may have written.
    pub(crate) fn watch(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let policy = Policy::essential(DrainPhase::Close);
        self.spawner.spawn("journal.kafka.changes", policy, |drain| async move {
            loop {
                tokio::select! {
                    () = drain.draining() => return Ok::<(), Infallible>(()),
                    () = shared.has_closed() => return Ok(()),
                    () = shared.clock.sleep(shared.settings.tail_interval) => {}
                }
                if shared.changes.receiver_count() > 0 {
                    shared.changed();
                }
            }
        });
    }

    pub(crate) fn learn(&self, news: &News) {
        for name in &news.recreated {
            self.metrics.recreated.inc();
            tracing::warn!(topic = %name, "a topic was deleted and made again under the same name");
        }
        if !news.gone.is_empty() {
            let topics: Vec<_> = news.gone.iter().map(StreamName::as_str).collect();
            tracing::info!(?topics, "topics are gone");
        }
        self.metrics.topics.set(i64::try_from(self.catalog.len()).unwrap_or(i64::MAX));
        if *news != News::default() {
            self.changed();
        }
    }

    pub(crate) fn note_topic(&self, topic: Topic) {
        let news = self.catalog.note(topic);
        self.learn(&news);
    }

    /// Lists all topics.
    pub(crate) async fn list(&self) -> Result<(), RequestError> {
        let topics = self.cluster.ask("journal.kafka.list", Cluster::list).await?;
        self.learn(&self.catalog.replace(topics));
        Ok(())
    }

    /// Looks at one topic.
    pub(crate) async fn look_at(&self, name: &StreamName) -> Result<Option<Arc<Topic>>, RequestError> {
        let wanted = name.clone();
        let found =
            self.cluster.ask("journal.kafka.look", move |cluster| cluster.describe(&[wanted])).await?;
        match found.into_iter().next() {
            Some(topic) => self.note_topic(topic),
            None => self.catalog.forget(name),
        }
        Ok(self.catalog.get(name))
    }

    pub(crate) async fn topic(&self, name: &StreamName) -> Result<Option<Arc<Topic>>, RequestError> {
        match self.catalog.get(name) {
            Some(topic) => Ok(Some(topic)),
            None => self.look_at(name).await,
        }
    }

    /// The topic and the life that a partition is of, if they are those of now.
    pub(crate) async fn place(&self, place: &StreamPartition) -> Result<(Arc<Topic>, Life), ReadError> {
        let unknown = || ReadError::UnknownPartition(place.clone());
        let topic = self.topic(&place.stream).await?.ok_or_else(unknown)?;
        let life = self.registry.life(&place.stream, place.partition.0, topic.life);
        let right = life.incarnation == place.incarnation || topic.life == place.incarnation;
        if place.partition.0 < topic.partitions && right { Ok((topic, life)) } else { Err(unknown()) }
    }

    /// The bounds of all partitions of a topic, as they were a moment ago.
    pub(crate) async fn bounds(&self, topic: &Topic) -> Result<ByPartition<Range<u64>>, RequestError> {
        let now = self.clock.monotonic();
        let appends = self.appends.load(Ordering::Acquire);
        let is_fresh =
            |known: &KnownBounds| known.appends == appends && now.saturating_duration_since(known.at) < FRESH;
        if let Some(known) = self.bounds.lock().unwrap_or_else(PoisonError::into_inner).get(&topic.name)
            && is_fresh(known)
        {
            return Ok(known.of.clone());
        }
        let places = partitions_of(topic);
        let ask = move |cluster: &Cluster| cluster.bounds(places.iter().cloned());
        let found = self.cluster.ask("journal.kafka.bounds", ask).await?;
        let mut known = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| is_fresh(known));
        known.insert(topic.name.clone(), KnownBounds { at: now, appends, of: found.clone() });
        Ok(found)
    }

    /// Waits for members of this process that are leaving: of a group, or all.
    pub(crate) async fn await_leaving(&self, group: Option<&str>) {
        let leaving = self.registry.leaving();
        for link in leaving.iter().filter(|link| group.is_none_or(|group| link.group_id.starts_with(group))) {
            link.has_left(&*self.clock, LEAVES).await;
        }
    }

    pub(crate) fn info(&self, topic: &Topic, bounds: &ByPartition<Range<u64>>) -> StreamInfo {
        let partitions = (0..topic.partitions).filter_map(|partition| {
            let range = bounds.get(&(topic.name.clone(), partition))?;
            let life = self.registry.life(&topic.name, partition, topic.life);
            let place = StreamPartition { incarnation: life.incarnation, ..topic.place(partition) };
            let start = range.start.max(life.begin.0.min(range.end));
            Some(PartitionBounds {
                partition: place,
                start: Offset(start),
                end: Offset(range.end),
                start_event: None,
                end_event: None,
                bytes: None,
            })
        });
        StreamInfo { name: topic.name.clone(), created: None, partitions: partitions.collect() }
    }

    pub(crate) async fn wait_for(&self, name: &StreamName) -> Result<Arc<Topic>, RequestError> {
        let began = self.clock.monotonic();
        loop {
            let found = self.look_at(name).await?;
            let elapsed = self.clock.monotonic().saturating_duration_since(began);
            match found {
                Some(topic) if topic.partitions > 0 => return Ok(topic),
                _ if elapsed > self.settings.request_timeout => {
                    let source = RDKafkaErrorCode::RequestTimedOut;
                    return Err(RequestError::Refused { what: "show a topic that was made", source });
                }
                _ => self.clock.sleep(APPEARS).await,
            }
        }
    }

    /// The seam's error for records of which some are not delivered.
    pub(crate) fn append_error(&self, stream: &StreamName, outcomes: Vec<Outcome>) -> AppendError {
        let stored: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        let failures: Vec<Undelivered> = outcomes.into_iter().filter_map(Result::err).collect();
        // The worst counts: what may be stored must not be taken for not stored.
        let worst = failures.iter().position(|failure| failure.persistence != Persistence::NotStored);
        let Some(failure) = failures.into_iter().nth(worst.unwrap_or(0)) else {
            return AppendError::Failed("Kafka answered for other records than it was given".into());
        };
        let source = self.reason(stream, failure);
        if stored.contains(&true) {
            return AppendError::Partial { stored, source: Box::new(source) };
        }
        source
    }

    pub(crate) fn reason(&self, stream: &StreamName, failure: Undelivered) -> AppendError {
        use RDKafkaErrorCode as Code;
        if failure.persistence != Persistence::NotStored {
            return AppendError::Failed(Box::new(failure));
        }
        match failure.error.rdkafka_error_code() {
            Some(
                Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::UnknownTopicId,
            ) => {
                self.catalog.forget(stream);
                AppendError::UnknownStream(stream.clone())
            }
            Some(Code::MessageSizeTooLarge) => {
                let limit = self.settings.max_record.as_usize();
                AppendError::TooLarge { size: limit.saturating_add(1), limit }
            }
            _ if self.producer.is_closed() => AppendError::Closing,
            _ => AppendError::Unavailable(Box::new(failure)),
        }
    }

    /// Commits for a group without a member here.
    pub(crate) async fn commit_from_outside(
        &self,
        group: &str,
        commits: &[Commit],
    ) -> Result<(), CommitFailure> {
        let mut by_group: BTreeMap<String, Vec<(Commit, Life)>> = BTreeMap::new();
        for commit in commits {
            let (topic, life) = self.place(&commit.partition).await?;
            let life =
                if life.incarnation == commit.partition.incarnation { life } else { Life::whole(topic.life) };
            let id = self.group_id(group, &commit.partition.stream);
            by_group.entry(id).or_default().push((commit.clone(), life));
        }
        let millis = Timestamp::from(self.clock.now()).micros() / 1_000;
        for (id, commits) in by_group {
            let work = move |cluster: &Cluster| {
                let place = |commit: &Commit| (commit.partition.stream.clone(), commit.partition.partition.0);
                let known = cluster.committed(&id, commits.iter().map(|(commit, _)| place(commit)))?;
                let parts: Vec<_> = commits
                    .iter()
                    .filter(|(commit, life)| is_forward(known.get(&place(commit)), commit, life))
                    .map(|(commit, life)| member::Part {
                        partition: commit.partition.clone(),
                        offset: commit.offset.0,
                        life: *life,
                    })
                    .collect();
                if parts.is_empty() { Ok(()) } else { cluster.commit(&id, &member::list(&parts, millis)?) }
            };
            self.cluster.ask("journal.kafka.commit", work).await?;
        }
        Ok(())
    }

    pub(crate) fn group_id(&self, group: &str, topic: &StreamName) -> String {
        self.settings.group_ids.id(group, topic)
    }

    pub(crate) async fn commit_as(
        self: &Arc<Self>,
        link: Arc<Link>,
        commits: &[Commit],
    ) -> Result<(), RequestError> {
        let _turn = link.turn().await;
        let parts = link.parts(commits);
        if parts.is_empty() {
            return Ok(());
        }
        let millis = Timestamp::from(self.clock.now()).micros() / 1_000;
        let member = Arc::clone(&link);
        self.spawner.blocking_detached("journal.kafka.commit", move || member.commit(&parts, millis)).await?
    }

    pub(crate) async fn positions(&self, group: &Group) -> Result<Vec<GroupPosition>, RequestError> {
        let topics = self.catalog.all();
        let places: Vec<_> = topics.values().flat_map(|topic| partitions_of(topic)).collect();
        let id = group.name.clone();
        let ask = move |cluster: &Cluster| cluster.committed(&id, places.into_iter());
        let committed = self.cluster.ask("journal.kafka.groups", ask).await?;
        let mut positions: Vec<_> = committed
            .into_iter()
            .filter_map(|((name, partition), Committed { offset, note })| {
                let topic = topics.get(&name)?;
                let life = note.map_or(Life::whole(topic.life), |note| note.life);
                let place = topic.place(partition);
                let of_now = life.topic == topic.life;
                let partition = StreamPartition { incarnation: life.incarnation, ..place };
                of_now.then_some(GroupPosition { partition, committed: Offset(offset) })
            })
            .collect();
        positions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        Ok(positions)
    }
}

/// Why a commit from outside failed.
pub(crate) enum CommitFailure {
    Place(ReadError),
    Request(RequestError),
}

impl From<ReadError> for CommitFailure {
    fn from(error: ReadError) -> Self {
        Self::Place(error)
    }
}

impl From<RequestError> for CommitFailure {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

fn is_forward(known: Option<&Committed>, commit: &Commit, life: &Life) -> bool {
    known.is_none_or(|known| {
        let same = known.note.is_none_or(|note| note.life.incarnation == life.incarnation);
        !same || known.offset < commit.offset.0
    })
}

pub(crate) fn partitions_of(topic: &Topic) -> Vec<(StreamName, u32)> {
    (0..topic.partitions).map(|partition| (topic.name.clone(), partition)).collect()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
