use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldhash::HashMap;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use weir_foundation::clock::{Clock, timeout};
use weir_model::StreamPartition;

use super::worker::GroupContext;
use crate::cluster::{failed, index};
use crate::error::RequestError;
use crate::life::{Life, Note};

/// What others may know of a member, and do through it.
#[derive(Debug)]
pub(crate) struct Link {
    /// As the brokers know the group.
    pub(crate) group_id: String,
    consumer: Weak<BaseConsumer<GroupContext>>,
    owned: Mutex<HashMap<StreamPartition, Owned>>,
    leaving: AtomicBool,
    state: watch::Sender<State>,
    /// One commit at a time, so that none overtakes another.
    commits: tokio::sync::Mutex<()>,
}

/// A partition that the member has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    pub(crate) life: Life,
    pub(crate) committed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Joining,
    /// It was given partitions, or none.
    Joined,
    Left,
}

/// One partition's part of a commit that is to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) partition: StreamPartition,
    pub(crate) offset: u64,
    pub(crate) life: Life,
}

impl Link {
    pub(super) fn new(group_id: &str, consumer: &Arc<BaseConsumer<GroupContext>>) -> Self {
        Self {
            group_id: group_id.to_owned(),
            consumer: Arc::downgrade(consumer),
            owned: Mutex::default(),
            leaving: AtomicBool::new(false),
            state: watch::Sender::new(State::Joining),
            commits: tokio::sync::Mutex::new(()),
        }
    }

    fn owned(&self) -> MutexGuard<'_, HashMap<StreamPartition, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn own(&self, partition: StreamPartition, owned: Owned) {
        self.owned().insert(partition, owned);
    }

    pub(super) fn disown<'a>(&self, partitions: impl IntoIterator<Item = &'a StreamPartition>) {
        let mut owned = self.owned();
        for partition in partitions {
            owned.remove(partition);
        }
    }

    /// Whatever life they are in.
    pub(super) fn disown_topics(&self, partitions: &[(String, i32)]) {
        self.owned().retain(|place, _| {
            let index = index(place.partition.0);
            !partitions.iter().any(|(topic, partition)| *partition == index && topic == place.stream.as_str())
        });
    }

    pub(crate) fn owns(&self, partition: &StreamPartition) -> bool {
        self.owned().contains_key(partition)
    }

    pub(super) fn joined(&self) {
        self.state.send_if_modified(|state| {
            let news = *state == State::Joining;
            if news {
                *state = State::Joined;
            }
            news
        });
    }

    pub(super) fn left(&self) {
        self.state.send_replace(State::Left);
    }

    /// Asks the member to leave its group.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Waits until it was given partitions for the first time; for a bounded time.
    pub(crate) async fn has_joined(&self, clock: &dyn Clock, limit: Duration) {
        self.reaches(State::Joined, clock, limit).await;
    }

    /// Waits until it has left its group; for a bounded time.
    pub(crate) async fn has_left(&self, clock: &dyn Clock, limit: Duration) {
        self.reaches(State::Left, clock, limit).await;
    }

    async fn reaches(&self, wanted: State, clock: &dyn Clock, limit: Duration) {
        let mut states = self.state.subscribe();
        let reached = async {
            drop(states.wait_for(|state| *state >= wanted).await);
        };
        // Whoever waits goes on as it is when the time is up.
        timeout(clock, limit, reached).await.ok();
    }

    /// What is to be stored of a commit: partitions that the member has, where it brings them forward.
    pub(crate) fn parts(&self, commits: &[weir_journal::Commit]) -> Vec<Part> {
        let owned = self.owned();
        let parts = commits.iter().filter_map(|commit| {
            let Owned { life, committed } = *owned.get(&commit.partition)?;
            let offset = commit.offset.0;
            let forward = committed.is_none_or(|committed| committed < offset);
            forward.then(|| Part { partition: commit.partition.clone(), offset, life })
        });
        parts.collect()
    }

    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.commits.lock().await
    }

    /// Stores a commit; blocks. Does nothing if the member is gone: who comes after it delivers again.
    pub(crate) fn commit(&self, parts: &[Part], millis: i64) -> Result<(), RequestError> {
        let Some(consumer) = self.consumer.upgrade() else { return Ok(()) };
        consumer.commit(&list(parts, millis)?, CommitMode::Sync).map_err(failed("store a commit"))?;
        let mut owned = self.owned();
        for part in parts {
            if let Some(owned) = owned.get_mut(&part.partition) {
                owned.committed = owned.committed.max(Some(part.offset));
            }
        }
        Ok(())
    }
}

/// A commit as librdkafka takes it.
pub(crate) fn list(parts: &[Part], millis: i64) -> Result<TopicPartitionList, RequestError> {
    let mut list = TopicPartitionList::with_capacity(parts.len());
    for part in parts {
        let (topic, partition) = (part.partition.stream.as_str(), index(part.partition.partition.0));
        let mut element = list.add_partition(topic, partition);
        let offset = i64::try_from(part.offset).unwrap_or(i64::MAX);
        element.set_offset(Offset::Offset(offset)).map_err(failed("store a commit"))?;
        element.set_metadata(Note { life: part.life, millis }.to_string());
    }
    Ok(list)
}
