//! Which topics there are: by listing them periodically, and by the events that producers of them send.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use weir_foundation::failure::chain;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy};
use weir_journal::Keep;
use weir_model::StreamName;

use crate::client::{self, Voice};
use crate::cluster::{Made, Wanted};
use crate::error::RequestError;
use crate::metrics::OfOutcome;
use crate::shared::Shared;

/// New topics whose event is to be sent; a lost one costs a listing interval.
const EVENTS: usize = 10_000;

/// After an event could not be sent.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the event of a topic may take once the process ends.
const LAST: Duration = Duration::from_secs(2);

/// How long the thread that hears of topics waits for an answer; below what a drain grants it.
const ANSWER: Duration = Duration::from_secs(5);

/// How long one wait for events lasts.
const POLL: Duration = Duration::from_millis(500);

/// The way to those who tell the consumers.
pub(crate) type Announcer = mpsc::Sender<StreamName>;

/// Names of topics that somebody says are new.
pub(crate) type Rumours = mpsc::Sender<StreamName>;

pub(crate) struct Channels {
    pub(crate) announcer: Announcer,
    pub(crate) rumours: Rumours,
    made: mpsc::Receiver<StreamName>,
    heard: mpsc::Receiver<StreamName>,
}

impl Channels {
    pub(crate) fn new() -> Self {
        let (announcer, made) = mpsc::channel(EVENTS);
        let (rumours, heard) = mpsc::channel(EVENTS);
        Self { announcer, rumours, made, heard }
    }

    /// Starts to list topics, and to tell of new ones.
    pub(crate) fn start(self, shared: &Arc<Shared>) {
        let Self { made, heard, .. } = self;
        let listing = Arc::clone(shared);
        let policy = Policy::essential(DrainPhase::Close);
        shared.spawner.spawn("journal.kafka.topics", policy, |drain| async move {
            list(&listing, heard, &drain).await;
            Ok::<(), Infallible>(())
        });
        let telling = Arc::clone(shared);
        let policy = Policy::essential(DrainPhase::FlushJournal);
        shared.spawner.spawn("journal.kafka.topic-events", policy, |drain| async move {
            tell(&telling, made, &drain).await;
            Ok::<(), Infallible>(())
        });
    }
}

/// Lists all topics now and then, and looks at one when it is said to be new.
async fn list(shared: &Arc<Shared>, mut heard: mpsc::Receiver<StreamName>, drain: &DrainToken) {
    loop {
        let rumour = tokio::select! {
            () = ends(shared, drain) => return,
            rumour = heard.recv() => match rumour {
                Some(name) => Some(name),
                None => return,
            },
            () = shared.clock.sleep(shared.settings.listing_interval) => None,
        };
        let look = async {
            match rumour {
                Some(name) => shared.look_at(&name).await.map(drop),
                None => shared.list().await,
            }
        };
        let looked = tokio::select! {
            () = ends(shared, drain) => return,
            looked = look => looked,
        };
        if let Err(error) = looked {
            tracing::warn!(error = %chain(&error), "the topics of Kafka could not be listed");
        }
    }
}

/// Sends the event of each new topic until it is sent.
async fn tell(shared: &Arc<Shared>, mut made: mpsc::Receiver<StreamName>, drain: &DrainToken) {
    loop {
        let name = tokio::select! {
            biased;
            name = made.recv() => name,
            () = ends(shared, drain) => return,
        };
        let Some(name) = name else { return };
        tokio::select! {
            () = send_until_sent(shared, &name) => {}
            () = has_no_time(shared, drain) => {
                tracing::warn!(
                    topics = made.len() + 1,
                    "new-topic events are not sent: consumers find these topics by listing"
                );
                return;
            }
        }
    }
}

async fn ends(shared: &Shared, drain: &DrainToken) {
    tokio::select! {
        () = drain.draining() => {}
        () = shared.has_closed() => {}
    }
}

/// Nobody waits long for brokers that do not answer when the process ends.
async fn has_no_time(shared: &Shared, drain: &DrainToken) {
    ends(shared, drain).await;
    shared.clock.sleep(LAST).await;
}

async fn send_until_sent(shared: &Shared, name: &StreamName) {
    let count = |outcome| shared.metrics.topic_events.get_or_create(&OfOutcome { outcome }).inc();
    while let Err(error) = send(shared, name).await {
        count("failed");
        tracing::warn!(topic = %name, error = %chain(&error), "a new-topic event could not be sent, trying again");
        shared.clock.sleep(PAUSE).await;
    }
    count("sent");
}

async fn send(shared: &Shared, name: &StreamName) -> Result<(), RequestError> {
    let events = shared.settings.new_topic_events.as_str();
    if !shared.events_topic.load(Ordering::Acquire) {
        let made = shared
            .cluster
            .create(Wanted { name: events, partitions: Some(1), replicas: None, keep: Keep::AsConfigured })
            .await?;
        if made == Made::Now {
            tracing::info!(topic = events, "the topic of new-topic events was made");
        }
        shared.events_topic.store(true, Ordering::Release);
    }
    let sent = shared.producer.send_plain(events, name.as_str().as_bytes()).await;
    sent.map(drop).map_err(|undelivered| {
        if matches!(
            undelivered.error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)
        ) {
            shared.events_topic.store(false, Ordering::Release);
        }
        RequestError::Failed { what: "send a new-topic event", source: undelivered.error }
    })
}

/// Starts to listen for the events of others. Nobody commits what was heard: what came before is listed.
pub(crate) fn listen(shared: &Arc<Shared>) -> std::io::Result<()> {
    let listening = Arc::clone(shared);
    let policy = Policy::essential(DrainPhase::Close);
    shared.spawner.spawn_thread("journal.kafka.rumours", policy, move |drain| {
        hear(&listening, &drain);
        Ok::<(), Infallible>(())
    })
}

fn hear(shared: &Shared, drain: &DrainToken) {
    let mut config = client::consumer(&shared.settings, "weir-new-topics");
    config.set("queued.max.messages.kbytes", "1024");
    // A partition that is new or was cut is read from its end: what it held was listed.
    config.set("auto.offset.reset", "latest");
    let voice = Voice { role: "topic-events", metrics: Arc::clone(&shared.metrics) };
    let consumer = match BaseConsumer::from_config_and_context(&config, voice) {
        Ok(consumer) => Arc::new(consumer),
        Err(error) => {
            tracing::error!(%error, "new-topic events are not heard: topics are found by listing only");
            return;
        }
    };
    shared.settings.brokers.enlist_consumer(&consumer);
    let events = shared.settings.new_topic_events.as_str();
    let mut followed = HashSet::new();
    let mut looked = None;
    while !drain.is_draining() && !shared.producer.is_closed() {
        let now = shared.clock.monotonic();
        let pause = if followed.is_empty() { PAUSE } else { shared.settings.listing_interval };
        if looked.is_none_or(|at| now.saturating_duration_since(at) >= pause) {
            looked = Some(now);
            follow(&consumer, events, &mut followed);
        }
        if let Some(Ok(message)) = consumer.poll(POLL) {
            let name = message.payload().and_then(|name| std::str::from_utf8(name).ok());
            if let Some(name) = name.and_then(|name| StreamName::new(name).ok()) {
                // Full only if the listing is behind, which then finds this one as well.
                shared.rumours.try_send(name).ok();
            }
        }
    }
}

/// Follows the partitions of the topic that are not followed yet, from their ends.
fn follow<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    events: &str,
    followed: &mut HashSet<i32>,
) {
    let Ok(metadata) = consumer.fetch_metadata(None, ANSWER) else { return };
    let topic = metadata.topics().iter().find(|topic| topic.name() == events);
    let found: HashSet<i32> =
        topic.into_iter().flat_map(|topic| topic.partitions()).map(|p| p.id()).collect();
    if found.is_subset(followed) {
        return;
    }
    let mut list = TopicPartitionList::new();
    for partition in &found {
        // From the start if the topic was just made, since somebody wrote into it already.
        let from = if followed.is_empty() { Offset::OffsetTail(100) } else { Offset::Beginning };
        if list.add_partition_offset(events, *partition, from).is_err() {
            return;
        }
    }
    match consumer.assign(&list) {
        Ok(()) => *followed = found,
        Err(error) => tracing::warn!(%error, "new-topic events can not be followed"),
    }
}
