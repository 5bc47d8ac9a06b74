//! The thread of a member: asks librdkafka for what there is to do, and does it in order.

mod resolve;
mod wishes;

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use weir_foundation::failure::chain;
use weir_foundation::supervise::{DrainPhase, DrainToken};
use weir_journal::{LossReason, StreamPattern};
use weir_model::StreamName;

use super::inbox::{Inbox, Revocation};
use super::lanes::{Lane, Lanes};
use super::link::Link;
use crate::client::{self, Voice};
use crate::error::RequestError;
use crate::format::Headers;
use crate::native::{FetchQueue, Fetched};
use crate::shared::Shared;

/// How long one wait for messages lasts, after which callbacks and wishes have their turn.
const TURN: Duration = Duration::from_millis(20);

/// After a question to the brokers failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The topics of a member.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Pattern(StreamPattern),
    Topic(StreamName),
}

pub(super) type Consuming = BaseConsumer<GroupContext>;

pub(super) struct Worker {
    shared: Arc<Shared>,
    /// As it was subscribed under.
    group: String,
    wanted: Wanted,
    inbox: Arc<Inbox>,
    link: Arc<Link>,
    consumer: Arc<Consuming>,
    queue: FetchQueue<GroupContext>,
    lanes: Lanes,
    subscribed: Vec<String>,
    versions: tokio::sync::watch::Receiver<u64>,
    /// What the group wants now; the next waits until it is done.
    step: Option<Step>,
    /// Partitions that fell out of range, or whose topic was made again.
    astray: Vec<(String, i32)>,
    not_before: Instant,
}

/// A rebalance that is under way.
#[derive(Debug)]
enum Step {
    Assign(Vec<(String, i32)>),
    Revoke { partitions: Vec<(String, i32)>, told: Option<Revocation>, deadline: Instant },
}

impl Step {
    /// What the group wants by it.
    fn change(self) -> (Change, Vec<(String, i32)>) {
        match self {
            Self::Assign(partitions) => (Change::Assign, partitions),
            Self::Revoke { partitions, .. } => (Change::Revoke, partitions),
        }
    }
}

impl Worker {
    pub(super) fn new(
        shared: &Arc<Shared>,
        group: &str,
        id: &str,
        wanted: Wanted,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let voice = Voice { role: "consumer", metrics: Arc::clone(&shared.metrics) };
        let context = GroupContext { voice, pending: Mutex::default(), closing: AtomicBool::new(false) };
        let config = client::member(&shared.settings, id);
        let consumer = Arc::new(Consuming::from_config_and_context(&config, context)?);
        let queue = FetchQueue::new(&consumer)?;
        shared.settings.brokers.enlist_consumer(&consumer);
        let link = Arc::new(Link::new(id, &consumer));
        inbox.add(Arc::clone(&link));
        shared.registry.add(group, Arc::clone(&link));
        Ok(Self {
            group: group.to_owned(),
            wanted,
            inbox: Arc::clone(inbox),
            link,
            consumer,
            queue,
            lanes: Lanes::default(),
            subscribed: Vec::new(),
            versions: shared.catalog.versions(),
            step: None,
            astray: Vec::new(),
            not_before: shared.clock.monotonic(),
            shared: Arc::clone(shared),
        })
    }

    pub(super) fn run(mut self, drain: &DrainToken) {
        self.follow_topics();
        while !drain.is_draining() && !self.inbox.is_closed() && !self.link.is_leaving() {
            if self.versions.has_changed().unwrap_or(false) {
                self.follow_topics();
            }
            self.serve();
            self.rebalance();
            self.find_astray();
            self.grant();
            if self.inbox.has_room() {
                self.bring();
            }
        }
        self.leave(drain);
    }

    fn now(&self) -> Instant {
        self.shared.clock.monotonic()
    }

    /// Subscribes to the topics that match, and finds those that were made again.
    fn follow_topics(&mut self) {
        self.versions.borrow_and_update();
        let topics = self.shared.catalog.all();
        let is_wanted = |name: &StreamName| match &self.wanted {
            Wanted::Pattern(pattern) => pattern.matches(name),
            Wanted::Topic(topic) => topic == name,
        };
        let names: Vec<_> = topics.keys().filter(|name| is_wanted(name)).map(ToString::to_string).collect();
        for (topic, partition, lane) in self.lanes.iter() {
            let known = StreamName::new(topic).ok().and_then(|name| topics.get(&name));
            let again = known.is_some_and(|known| known.life != lane.life.topic);
            if again && !self.astray.iter().any(|(of, index)| of == topic && *index == partition) {
                self.astray.push((topic.to_owned(), partition));
            }
        }
        if names.is_empty() {
            // It has all there is.
            self.link.joined();
        }
        if names == self.subscribed {
            return;
        }
        let list: Vec<_> = names.iter().map(String::as_str).collect();
        if list.is_empty() {
            self.consumer.unsubscribe();
        } else if let Err(error) = self.consumer.subscribe(&list) {
            tracing::error!(group = self.group, %error, "could not subscribe to topics");
            self.inbox.fail(&error.to_string());
            return;
        }
        self.subscribed = names;
    }

    /// Serves callbacks, and what came before a queue was taken over.
    fn serve(&mut self) {
        let wait = if self.inbox.has_room() { Duration::ZERO } else { TURN };
        let consumer = Arc::clone(&self.consumer);
        let mut wait = Some(wait);
        while let Some(polled) = consumer.poll(wait.take().unwrap_or(Duration::ZERO)) {
            match polled {
                Ok(message) => {
                    let mut headers = Headers::default();
                    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
                        headers.add(header.key, header.value.unwrap_or_default());
                    }
                    let (millis, value) = (message.timestamp().to_millis(), message.payload());
                    let ready = self.lanes.push(
                        message.topic(),
                        message.partition(),
                        u64::try_from(message.offset()).unwrap_or(0),
                        value.unwrap_or_default(),
                        self.shared.settings.read_batch.as_usize(),
                        |value| headers.record(value, millis),
                    );
                    if let Some((batch, round)) = ready {
                        self.inbox.batch(batch, round);
                    }
                }
                Err(KafkaError::MessageConsumptionFatal(error)) => {
                    tracing::error!(group = self.group, %error, "the consumer of Kafka is broken for good");
                    self.inbox.fail(&error.to_string());
                }
                Err(error) => tracing::debug!(group = self.group, %error, "Kafka"),
            }
        }
    }

    /// Brings what was fetched, in as large pieces as there are.
    fn bring(&mut self) {
        let mut lanes = std::mem::take(&mut self.lanes);
        let (inbox, limit) = (&self.inbox, self.shared.settings.read_batch.as_usize());
        let mut astray = Vec::new();
        let bytes = Cell::new(0);
        let mut each = |fetched: Fetched<'_>| {
            let (topic, partition) = (fetched.topic(), fetched.partition());
            match fetched.error() {
                None => {
                    let mut headers = Headers::default();
                    fetched.headers(|name, value| headers.add(name, value));
                    let (value, millis) = (fetched.payload(), fetched.timestamp());
                    bytes.set(bytes.get() + value.len());
                    let offset = u64::try_from(fetched.offset()).unwrap_or(0);
                    let record = |value| headers.record(value, millis);
                    let ready = lanes.push(topic, partition, offset, value, limit, record);
                    if let Some((batch, round)) = ready {
                        inbox.batch(batch, round);
                    }
                }
                Some(
                    RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::LogTruncation
                    | RDKafkaErrorCode::NoOffset,
                ) => astray.push((topic.to_owned(), partition)),
                Some(error) => tracing::debug!(topic, partition, %error, "a partition can not be read now"),
            }
        };
        let mut wait = TURN;
        while self.queue.take(wait, &mut each) > 0 && bytes.get() < limit {
            wait = Duration::ZERO;
        }
        for (batch, round) in lanes.close_all() {
            self.inbox.batch(batch, round);
        }
        self.lanes = lanes;
        self.astray.extend(astray);
    }

    /// Goes on with what the group wants.
    fn rebalance(&mut self) {
        if self.now() < self.not_before {
            return;
        }
        let step = match self.step.take() {
            Some(step) => step,
            None => match self.consumer.context().next() {
                Some((Change::Assign, partitions)) => Step::Assign(partitions),
                Some((Change::Revoke, partitions)) => self.tell_revoked(partitions),
                None => return,
            },
        };
        match step {
            Step::Assign(partitions) => {
                self.shared.metrics.rebalances.inc();
                if let Err(error) = self.assign(&partitions) {
                    tracing::warn!(group = self.group, error = %chain(&error), "could not find where to begin, trying again");
                    self.not_before = self.now() + PAUSE;
                    self.step = Some(Step::Assign(partitions));
                    return;
                }
                self.link.joined();
            }
            Step::Revoke { partitions, told, deadline } => {
                let waits = told.is_some_and(|told| !self.inbox.has_dealt_with(told));
                if waits && self.now() < deadline {
                    self.step = Some(Step::Revoke { partitions, told, deadline });
                    return;
                }
                self.shared.metrics.rebalances.inc();
                self.give_up(&partitions);
            }
        }
    }

    /// Nothing of these partitions is brought any more, and the caller learns of it.
    fn tell_revoked(&mut self, partitions: Vec<(String, i32)>) -> Step {
        let mut places = Vec::new();
        for (topic, partition) in &partitions {
            places.extend(self.lanes.remove(topic, *partition).map(|lane| lane.place));
        }
        self.astray.retain(|place| !partitions.contains(place));
        let lost = self.consumer.assignment_lost();
        if lost {
            tracing::warn!(
                group = self.group,
                partitions = places.len(),
                "the group gave this member's partitions away"
            );
            self.link.disown(&places);
        }
        let told = (!places.is_empty()).then(|| self.inbox.revoked(places));
        let grace = if lost { Duration::ZERO } else { self.shared.settings.revoke_grace };
        Step::Revoke { partitions, told, deadline: self.now() + grace }
    }

    fn give_up(&self, partitions: &[(String, i32)]) {
        self.link.disown_topics(partitions);
        if let Err(error) = decline(&self.consumer, Change::Revoke, &listed(partitions)) {
            tracing::warn!(group = self.group, %error, "could not give partitions up");
        }
    }

    /// Finds partitions again that are out of range or of a topic that was made again.
    fn find_astray(&mut self) {
        if self.astray.is_empty() || self.now() < self.not_before {
            return;
        }
        let astray = std::mem::take(&mut self.astray);
        if let Err(error) = self.recover(&astray) {
            tracing::warn!(group = self.group, error = %chain(&error), "could not find where to go on, trying again");
            self.not_before = self.now() + PAUSE;
            self.astray = astray;
        }
    }

    fn topic_lives(&self, partitions: &[(String, i32)]) -> Result<(), RequestError> {
        let names = partitions.iter().filter_map(|(topic, _)| StreamName::new(topic).ok());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        for topic in self.shared.cluster.describe(&names)? {
            self.shared.note_topic(topic);
        }
        Ok(())
    }

    /// Leaves the group and ends. A group that a dead member holds up answers nobody until that one's session is
    /// over: a process that ends does not wait for that.
    #[expect(
        clippy::mem_forget,
        reason = "dropping a consumer waits until its group knows, for however long"
    )]
    fn leave(self, drain: &DrainToken) {
        let Self { shared, group, link, consumer, queue, inbox, step, .. } = self;
        link.leave();
        inbox.close();
        let context = consumer.context();
        context.closing.store(true, Ordering::Release);
        drop(queue);
        // A change that nobody has answered keeps librdkafka from leaving the group.
        for (change, partitions) in
            step.map(Step::change).into_iter().chain(std::iter::from_fn(|| context.next()))
        {
            if let Err(error) = decline(&consumer, change, &listed(&partitions)) {
                tracing::debug!(%error, "while leaving a group");
            }
        }
        consumer.unsubscribe();
        let time = shared.spawner.deadline(DrainPhase::Close) / 5 * 4;
        let mut ends_by = None;
        let mut is_late = || {
            let now = shared.clock.monotonic();
            drain.is_draining() && now >= *ends_by.get_or_insert(now + time)
        };
        // Who commits right now still has it.
        while Arc::strong_count(&consumer) > 1 && !is_late() {
            consumer.poll(TURN);
        }
        let closes = consumer.close_queue().is_ok();
        while closes && !consumer.closed() && !is_late() {
            consumer.poll(TURN);
        }
        if closes && !consumer.closed() {
            tracing::warn!(
                group,
                "the group does not answer: it notices that this member is gone when its session is over"
            );
            std::mem::forget(consumer);
        } else {
            drop(consumer);
        }
        shared.registry.remove(&group, &link);
        link.left();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("group", &self.group).finish_non_exhaustive()
    }
}

/// Changes in the order in which they came.
type Pending = VecDeque<(Change, Vec<(String, i32)>)>;

/// What the group says, kept until the worker gets to it.
pub(crate) struct GroupContext {
    voice: Voice,
    pending: Mutex<Pending>,
    /// The member leaves: partitions are given up as the group asks for them.
    closing: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Assign,
    Revoke,
}

impl GroupContext {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(Change, Vec<(String, i32)>)> {
        self.pending().pop_front()
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.voice.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.voice.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.voice.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let change = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assign,
            _ => Change::Revoke,
        };
        if !self.closing.load(Ordering::Acquire) {
            let elements = list.elements();
            let partitions = elements.iter().map(|place| (place.topic().to_owned(), place.partition()));
            self.pending().push_back((change, partitions.collect()));
            return;
        }
        if let Err(error) = decline(consumer, change, list) {
            tracing::debug!(%error, "while leaving a group");
        }
    }
}

fn listed(partitions: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Answers a change of the group by having nothing of these partitions.
fn decline(
    consumer: &BaseConsumer<GroupContext>,
    change: Change,
    list: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match (change, consumer.rebalance_protocol()) {
        (Change::Assign, RebalanceProtocol::Cooperative) => {
            consumer.incremental_assign(&TopicPartitionList::new())
        }
        (Change::Revoke, RebalanceProtocol::Cooperative) => consumer.incremental_unassign(list),
        (_, RebalanceProtocol::Eager | RebalanceProtocol::None) => consumer.unassign(),
    }
}

impl fmt::Debug for GroupContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupContext").finish_non_exhaustive()
    }
}

/// A lane that begins, with what is to be told of it.
struct Beginning {
    topic: String,
    partition: i32,
    lane: Lane,
    /// What the caller is told that the group has dealt with.
    next: u64,
    committed: Option<u64>,
    loss: Option<(u64, LossReason)>,
}
