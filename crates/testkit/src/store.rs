use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use weir_model::{
    ContentError, Day, EventBatchBuilder, EventFault, EventId, IndexPrefix, Offset, Position, StreamName,
    StreamPartition, Value,
};
use weir_store::{
    DeadLetter, DeadLetterEntry, DeadLetterError, DeadLetterFilter, DeadLetterKey, DeadLetterStore,
    DropError, IndexInfo, IndexStore, InspectError, Inventory, PartitionAudit, PositionRun, Rejection,
    SearchError, SearchRequest, SearchResponse, Verdicts, WriteBatch, WriteError, WriteRecord,
};

use crate::faults::{Call, Fate, Faults, Wanted};

/// Both stores, whose calls fail as [`Faults`] say, and which refuse the events that they are told to.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    index: Arc<dyn IndexStore>,
    dead_letters: Arc<dyn DeadLetterStore>,
    faults: Faults,
    refuses: fn(&Position) -> bool,
    claims: Option<Offset>,
    holds_back: fn(&StreamPartition) -> bool,
}

impl FaultyStore {
    #[must_use]
    pub fn new(index: Arc<dyn IndexStore>, dead_letters: Arc<dyn DeadLetterStore>, faults: Faults) -> Self {
        Self { index, dead_letters, faults, refuses: |_| false, claims: None, holds_back: |_| false }
    }

    /// The same, refusing events by their position.
    #[must_use]
    pub fn refusing(self, refuses: fn(&Position) -> bool) -> Self {
        Self { refuses, ..self }
    }

    /// The same, lying about what is durable as long as nothing is.
    #[must_use]
    pub fn claiming(self, durable: Option<Offset>) -> Self {
        Self { claims: durable, ..self }
    }

    /// The same, never answering writes of some partitions.
    #[must_use]
    pub fn holding_back(self, holds_back: fn(&StreamPartition) -> bool) -> Self {
        Self { holds_back, ..self }
    }

    /// Takes the refused events out, so that the store beneath never sees them.
    fn judge(&self, mut batch: WriteBatch) -> (WriteBatch, Vec<Rejection>) {
        let mut rejected = Vec::new();
        for record in &mut batch.records {
            let position =
                |index| Position { partition: batch.partition.clone(), offset: record.offset, index };
            let refused: Vec<u32> = (0..)
                .zip(record.events.events())
                .filter(|(index, event)| event.content.is_ok() && (self.refuses)(&position(*index)))
                .map(|(index, _)| index)
                .collect();
            if !refused.is_empty() {
                without(record, &refused);
            }
            rejected.extend(refused.into_iter().map(|index| Rejection {
                offset: record.offset,
                index,
                reason: "the test wants it refused".to_owned(),
                label: "undefined_error",
            }));
        }
        (batch, rejected)
    }
}

/// Puts faults in the place of events.
fn without(record: &mut WriteRecord, refused: &[u32]) {
    let mut builder = EventBatchBuilder::with_capacity(record.events.len(), 0);
    for (index, event) in (0..).zip(record.events.events()) {
        builder.begin_event();
        match event.content {
            Ok(content) if !refused.contains(&index) => {
                copy(Value::Object(content), &mut builder).expect("it was in a batch before");
                builder.finish_event(event.time, 0..0);
            }
            Ok(_) => builder.reject_event(event.time, 0..0, EventFault::EmptyContent),
            Err(fault) => builder.reject_event(event.time, 0..0, fault.clone()),
        }
    }
    record.events = builder.build(record.events.index_prefix().clone(), Bytes::new());
}

fn copy(value: Value<'_>, builder: &mut EventBatchBuilder) -> Result<(), ContentError> {
    match value {
        Value::Null => builder.null(),
        Value::Bool(value) => builder.bool(value),
        Value::Int(value) => builder.int(value),
        Value::Float(value) => builder.float(value),
        Value::Number(text) => return builder.number(text),
        Value::Str(text) => return builder.str(text),
        Value::Array(array) => {
            builder.start_array()?;
            array.elements().try_for_each(|element| copy(element, builder))?;
            return builder.end();
        }
        Value::Object(object) => {
            builder.start_object()?;
            for (key, member) in object.entries() {
                builder.key(key)?;
                copy(member, builder)?;
            }
            return builder.end();
        }
    }
    Ok(())
}

#[async_trait]
impl IndexStore for FaultyStore {
    async fn write(&self, batch: WriteBatch) -> Result<Verdicts, WriteError> {
        if self.faults.before(Call::Write).await == Fate::Fail {
            return Err(WriteError::Unavailable(Box::new(Wanted)));
        }
        if (self.holds_back)(&batch.partition) {
            std::future::pending::<()>().await;
        }
        let (batch, mut rejected) = self.judge(batch);
        let verdicts = self.index.write(batch).await?;
        self.faults.after().await;
        rejected.extend(verdicts.rejected);
        Ok(Verdicts { rejected })
    }

    fn resume(&self, partition: &StreamPartition, committed: Offset) -> Offset {
        let resumed = self.index.resume(partition, committed);
        self.claims.filter(|_| resumed == Offset::ZERO).unwrap_or(resumed)
    }

    fn release(&self, partitions: &[StreamPartition]) {
        self.index.release(partitions);
    }

    fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.index.durable(partition).filter(|durable| *durable > Offset::ZERO).or(self.claims)
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.index.progress()
    }

    async fn flush(&self) -> Result<(), WriteError> {
        if self.faults.before(Call::Flush).await == Fate::Fail {
            return Err(WriteError::Full(None));
        }
        let flushed = self.index.flush().await;
        self.faults.after().await;
        flushed
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError> {
        self.index.search(request).await
    }

    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError> {
        self.index.indices().await
    }

    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError> {
        self.index.drop_before(prefix, day).await
    }

    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError> {
        self.index.holds(partition, wanted).await
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        self.index.inventory().map(|_| self as &dyn Inventory)
    }
}

#[async_trait]
impl Inventory for FaultyStore {
    async fn audit(&self, stream: &StreamName) -> Result<Vec<PartitionAudit>, InspectError> {
        if self.faults.before(Call::Audit).await == Fate::Fail {
            return Err(InspectError(Box::new(Wanted)));
        }
        self.index.require_inventory()?.audit(stream).await
    }

    async fn positions(
        &self,
        partition: &StreamPartition,
        from: Offset,
    ) -> Result<Vec<PositionRun>, InspectError> {
        if self.faults.before(Call::Positions).await == Fate::Fail {
            return Err(InspectError(Box::new(Wanted)));
        }
        self.index.require_inventory()?.positions(partition, from).await
    }
}

#[async_trait]
impl DeadLetterStore for FaultyStore {
    async fn put(&self, letters: Vec<DeadLetter>) -> Result<(), DeadLetterError> {
        if self.faults.before(Call::PutLetters).await == Fate::Fail {
            return Err(DeadLetterError::Full(None));
        }
        let put = self.dead_letters.put(letters).await;
        self.faults.after().await;
        put
    }

    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<(DeadLetterKey, DeadLetterEntry)>, DeadLetterError> {
        self.reading().await?;
        self.dead_letters.list(filter, after, limit).await
    }

    async fn newest(&self) -> Result<Option<DeadLetterKey>, DeadLetterError> {
        self.reading().await?;
        self.dead_letters.newest().await
    }

    async fn get(&self, id: &EventId) -> Result<Option<DeadLetter>, DeadLetterError> {
        self.reading().await?;
        self.dead_letters.get(id).await
    }

    async fn purge(&self, ids: &[EventId]) -> Result<u64, DeadLetterError> {
        self.dead_letters.purge(ids).await
    }

    async fn counts(&self, stream: &StreamName) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        self.reading().await?;
        self.dead_letters.counts(stream).await
    }

    async fn kept(&self, filter: &DeadLetterFilter) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        self.reading().await?;
        self.dead_letters.kept(filter).await
    }

    async fn kept_at(
        &self,
        partition: &StreamPartition,
        offsets: Range<Offset>,
    ) -> Result<u64, DeadLetterError> {
        self.reading().await?;
        self.dead_letters.kept_at(partition, offsets).await
    }
}

impl FaultyStore {
    async fn reading(&self) -> Result<(), DeadLetterError> {
        match self.faults.before(Call::ReadLetters).await {
            Fate::Fail => Err(DeadLetterError::Failed(Box::new(Wanted))),
            Fate::Proceed => Ok(()),
        }
    }
}
