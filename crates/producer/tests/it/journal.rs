use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use weir_foundation::clock::{Clock, ManualClock};
use weir_journal::memory::MemoryJournal;
use weir_journal::{
    AppendError, Appended, Commit, CommitError, CreateStreamError, Creation, GroupInfo, Journal, KnownBatch,
    Origin, ReadBatch, ReadBudget, ReadError, StreamInfo, StreamPattern, StreamSpec, SubscribeError,
    Subscription,
};
use weir_model::{Offset, Record, SourceId, StreamName, StreamPartition, Timestamp};

/// A journal in memory that can be slow or broken. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct MoodyJournal {
    inner: Arc<MemoryJournal>,
    mood: Arc<watch::Sender<Mood>>,
    /// Appends that came so far, whatever became of them.
    asked: Arc<watch::Sender<usize>>,
    stored: Arc<Mutex<Vec<(StreamName, Record)>>>,
    specs: Arc<Mutex<Vec<StreamSpec>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Appends wait until the mood changes, and then go on even if nobody wants their answer any more, as those of a
    /// real journal do.
    Slow,
    Full,
    Failing,
    /// As if all streams had been deleted; the next creation makes it good.
    Forgetful,
    /// Of several records, every second one is not stored; the next append is good again.
    Partial,
}

impl MoodyJournal {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        Self {
            inner: Arc::new(MemoryJournal::new(clock)),
            mood: Arc::new(watch::Sender::new(Mood::Good)),
            asked: Arc::new(watch::Sender::new(0)),
            stored: Arc::default(),
            specs: Arc::default(),
        }
    }

    async fn settle(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError> {
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Slow).await.expect("the journal lives");
        match mood {
            Mood::Full => return Err(AppendError::Full(None)),
            Mood::Failing => return Err(AppendError::Failed("the disk is on fire".into())),
            Mood::Forgetful => return Err(AppendError::UnknownStream(stream.clone())),
            Mood::Partial => {
                self.set(Mood::Good);
                let stored: Vec<bool> = (0..records.len()).map(|index| index % 2 == 0).collect();
                let kept =
                    records.into_iter().zip(&stored).filter(|(_, kept)| **kept).map(|(record, _)| record);
                Box::pin(self.settle(stream, origin, kept.collect())).await?;
                let source = Box::new(AppendError::Unavailable("a broker died".into()));
                return Err(AppendError::Partial { stored, source });
            }
            Mood::Good | Mood::Slow => {}
        }
        let appended = self.inner.append(stream, origin, records.clone()).await?;
        let stored = records.into_iter().map(|record| (stream.clone(), record));
        self.stored.lock().expect("no test panics with it").extend(stored);
        Ok(appended)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Waits until so many appends came.
    pub(crate) async fn asked(&self, count: usize) {
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| *asked >= count).await.expect("the journal lives");
    }

    /// Everything that was made durable, in order.
    pub(crate) fn stored(&self) -> Vec<(String, Record)> {
        let stored = self.stored.lock().expect("no test panics with it");
        stored.iter().map(|(name, record)| (name.to_string(), record.clone())).collect()
    }

    pub(crate) fn stored_events(&self) -> u64 {
        self.stored().iter().map(|(_, record)| u64::from(record.events.expect("the producer counts"))).sum()
    }

    /// What was asked for when streams were created.
    pub(crate) fn specs(&self) -> Vec<StreamSpec> {
        self.specs.lock().expect("no test panics with it").clone()
    }
}

#[async_trait]
impl Journal for MoodyJournal {
    async fn append(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError> {
        self.asked.send_modify(|asked| *asked += 1);
        if *self.mood.borrow() != Mood::Slow {
            return self.settle(stream, origin, records).await;
        }
        let (journal, stream, mark) = (self.clone(), stream.clone(), origin.mark());
        let settling = async move {
            let origin = mark.map_or(Origin::Any, Origin::Source);
            journal.settle(&stream, origin, records).await
        };
        tokio::runtime::Handle::current().spawn(settling).await.expect("it does not panic")
    }

    async fn create_stream(&self, spec: StreamSpec) -> Result<Creation, CreateStreamError> {
        self.specs.lock().expect("no test panics with it").push(spec.clone());
        self.mood.send_if_modified(|mood| {
            let forgot = *mood == Mood::Forgetful;
            *mood = if forgot { Mood::Good } else { *mood };
            forgot
        });
        self.inner.create_stream(spec).await
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, ReadError> {
        self.inner.streams().await
    }

    async fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError> {
        self.inner.read(partition, from, budget).await
    }

    async fn subscribe(
        &self,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        self.inner.subscribe(group, pattern).await
    }

    async fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), CommitError> {
        self.inner.commit(group, commits).await
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
