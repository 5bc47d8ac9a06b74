use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_journal::{
    AppendError, Appended, Commit, CommitError, CreateStreamError, Creation, GroupInfo, Journal, KnownBatch,
    Origin, ReadBatch, ReadBudget, ReadError, StreamInfo, StreamPattern, StreamSpec, SubscribeError,
    Subscription, SubscriptionEvent,
};
use weir_model::{Offset, Record, SourceId, StreamName, StreamPartition, Timestamp};

use crate::faults::{Call, Fate, Faults, Wanted};

/// A journal whose calls fail as [`Faults`] say.
#[derive(Debug, Clone)]
pub struct FaultyJournal {
    inner: Arc<dyn Journal>,
    faults: Faults,
    revocations: Option<watch::Receiver<Vec<StreamPartition>>>,
}

#[derive(Debug)]
struct FaultySubscription {
    inner: Box<dyn Subscription>,
    faults: Faults,
    revocations: Option<watch::Receiver<Vec<StreamPartition>>>,
}

impl FaultyJournal {
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>, faults: Faults) -> Self {
        Self { inner, faults, revocations: None }
    }

    /// Subscriptions lose the partitions that are sent here, as those of a journal with several members do.
    #[must_use]
    pub fn revoking(self, revocations: watch::Receiver<Vec<StreamPartition>>) -> Self {
        Self { revocations: Some(revocations), ..self }
    }
}

#[async_trait]
impl Journal for FaultyJournal {
    async fn append(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError> {
        if self.faults.before(Call::Append).await == Fate::Fail {
            return Err(AppendError::Unavailable(Box::new(Wanted)));
        }
        let appended = self.inner.append(stream, origin, records).await;
        self.faults.after().await;
        appended
    }

    async fn create_stream(&self, spec: StreamSpec) -> Result<Creation, CreateStreamError> {
        self.inner.create_stream(spec).await
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, ReadError> {
        if self.faults.before(Call::Streams).await == Fate::Fail {
            return Err(ReadError::Failed(Box::new(Wanted)));
        }
        self.inner.streams().await
    }

    async fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError> {
        if self.faults.before(Call::Read).await == Fate::Fail {
            return Err(ReadError::Failed(Box::new(Wanted)));
        }
        self.inner.read(partition, from, budget).await
    }

    async fn subscribe(
        &self,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let inner = self.inner.subscribe(group, pattern).await?;
        let revocations = self.revocations.clone();
        Ok(Box::new(FaultySubscription { inner, faults: self.faults.clone(), revocations }))
    }

    async fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), CommitError> {
        if self.faults.before(Call::Commit).await == Fate::Fail {
            return Err(CommitError::Failed { group: group.to_owned(), source: Box::new(Wanted) });
        }
        let committed = self.inner.commit(group, commits).await;
        self.faults.after().await;
        committed
    }

    async fn groups(&self) -> Result<Vec<GroupInfo>, ReadError> {
        self.inner.groups().await
    }

    async fn delete_group(&self, group: &str) -> Result<(), CommitError> {
        self.inner.delete_group(group).await
    }

    async fn known_batches(&self, since: Timestamp, most: usize) -> Result<Vec<KnownBatch>, ReadError> {
        self.inner.known_batches(since, most).await
    }

    async fn mark(&self, stream: &StreamName, source: SourceId) -> Result<Option<u64>, ReadError> {
        self.inner.mark(stream, source).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }
}

#[async_trait]
impl Subscription for FaultySubscription {
    /// A crash here is one after the event was taken from the journal and before anybody saw it. To be cancelled
    /// loses nothing: the crossing comes first.
    async fn next(&mut self) -> Result<SubscriptionEvent, ReadError> {
        if self.faults.before(Call::Next).await == Fate::Fail {
            return Err(ReadError::Failed(Box::new(Wanted)));
        }
        let Some(revocations) = &mut self.revocations else { return self.inner.next().await };
        tokio::select! {
            biased;
            Ok(()) = revocations.changed() => {
                Ok(SubscriptionEvent::Revoked(revocations.borrow_and_update().clone()))
            }
            next = self.inner.next() => next,
        }
    }

    fn seek(&mut self, partition: &StreamPartition, offset: Offset) {
        self.inner.seek(partition, offset);
    }

    fn pause(&mut self, partition: &StreamPartition) {
        self.inner.pause(partition);
    }
}
