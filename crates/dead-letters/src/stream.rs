use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use weir_foundation::clock::Clock;
use weir_foundation::failure::{BoxError, chain};
use weir_journal::{
    AppendError, CreateStreamError, Journal, Keep, Origin, ReadBudget, ReadError, StoredRecord, StreamSpec,
};
use weir_model::{
    EventId, IndexPrefix, Offset, Record, RecordFormat, StreamName, StreamPartition, Timestamp,
};
use weir_store::{
    DeadLetter, DeadLetterEntry, DeadLetterError, DeadLetterFilter, DeadLetterKey, DeadLetterStore,
};
use weir_wire::EventsBuilder;

use crate::note::{self, Note, Reader};

/// What dead letters in a stream need.
pub struct Parts {
    pub journal: Arc<dyn Journal>,
    pub view: OpenView,
    pub clock: Arc<dyn Clock>,
}

/// Opens what letters are looked up in, when the first is: who only puts letters needs none. It is brought up to date
/// with the stream before anything is answered. May be empty; what it has must be of the stream.
pub type OpenView = Box<dyn Fn() -> Result<Arc<dyn DeadLetterStore>, BoxError> + Send + Sync>;

/// Dead letters in a stream of the journal: [`DeadLetterStore`] for all processes that have the journal.
///
/// A letter is durable when the stream has it. Keys of letters are those of the view: another process has others.
#[derive(Debug)]
pub struct DeadLetterStream {
    stream: StreamName,
    prefix: IndexPrefix,
    parts: Parts,
    reading: Mutex<Reading>,
}

/// How far the view is.
#[derive(Debug)]
struct Reading {
    partition: StreamPartition,
    next: Offset,
    reader: Reader,
    /// Once it was opened.
    view: Option<Arc<dyn DeadLetterStore>>,
}

/// Why dead letters could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The group has a name that makes no stream.
    #[error("group `{group}` has no stream for its dead letters")]
    Name { group: String, source: weir_model::IllegalStreamName },
    /// The stream is not there and could not be made.
    #[error("the stream of dead letters could not be made")]
    Create(#[from] CreateStreamError),
    /// The stream has no partition.
    #[error("the stream `{0}` of dead letters has no partition")]
    NoPartition(StreamName),
}

/// The order of all notes is that of one partition.
const PARTITIONS: u32 = 1;
const BUDGET: ReadBudget = ReadBudget { bytes: 4 << 20, records: 1000 };
/// The index that the notes name: nothing delivers them, but whoever did would find them there.
const PREFIX: &str = "dead-letters";

impl DeadLetterStream {
    /// Those of a group, in the stream `<group>-dead`, which is made if it is not there.
    pub async fn open(group: &str, parts: Parts) -> Result<Self, OpenError> {
        let stream = StreamName::new(&format!("{group}-dead"))
            .map_err(|source| OpenError::Name { group: group.to_owned(), source })?;
        let spec = StreamSpec {
            partitions: Some(PARTITIONS),
            keep: Keep::ForEver,
            ..StreamSpec::new(stream.clone())
        };
        let created = parts.journal.create_stream(spec).await?;
        let first = created.info().partitions.first();
        let partition = first.ok_or_else(|| OpenError::NoPartition(stream.clone()))?.partition.clone();
        let reading = Reading { partition, next: Offset::ZERO, reader: Reader::default(), view: None };
        let prefix = IndexPrefix::new(PREFIX).expect("is legal");
        Ok(Self { stream, prefix, parts, reading: Mutex::new(reading) })
    }

    async fn append(&self, note: &str) -> Result<(), DeadLetterError> {
        let mut events = EventsBuilder::new(&self.prefix);
        let now = Timestamp::from(self.parts.clock.now());
        events.push_json(note, Some(now));
        let (value, events) = events.finish();
        let record =
            Record { format: RecordFormat::Events, events: Some(events), received: now, batch: None, value };
        match self.parts.journal.append(&self.stream, Origin::Any, vec![record]).await {
            Ok(_) => Ok(()),
            Err(AppendError::Full(source)) => Err(DeadLetterError::Full(source)),
            Err(error) => Err(DeadLetterError::Failed(Box::new(error))),
        }
    }

    /// The view, up to date. One caller at a time reads; the others find it done.
    async fn view(&self) -> Result<Arc<dyn DeadLetterStore>, DeadLetterError> {
        let mut reading = self.reading.lock().await;
        let view = match &reading.view {
            Some(view) => Arc::clone(view),
            None => Arc::clone(reading.view.insert((self.parts.view)().map_err(DeadLetterError::Failed)?)),
        };
        loop {
            let from = reading.next;
            let read = self.parts.journal.read(&reading.partition, from, BUDGET).await;
            let batch = match read {
                Err(ReadError::UnknownPartition(_)) => {
                    reading.partition = self.another_life(&reading.partition).await?;
                    (reading.next, reading.reader) = (Offset::ZERO, Reader::default());
                    continue;
                }
                read => read.map_err(failed)?,
            };
            for loss in &batch.losses {
                tracing::warn!(stream = %self.stream, from = %loss.from, to = %loss.to, "notes of dead letters are lost");
            }
            for stored in &batch.records {
                self.take(stored, &mut reading.reader, &*view).await?;
            }
            reading.next = batch.next;
            if batch.next <= from {
                return Ok(view);
            }
        }
    }

    /// The stream was deleted and made again.
    async fn another_life(&self, known: &StreamPartition) -> Result<StreamPartition, DeadLetterError> {
        let streams = self.parts.journal.streams().await.map_err(failed)?;
        let found = streams.iter().find(|stream| stream.name == self.stream);
        let partition =
            found.and_then(|stream| stream.partitions.first()).map(|bounds| bounds.partition.clone());
        match partition.filter(|partition| partition != known) {
            Some(partition) => {
                tracing::warn!(stream = %self.stream, "the stream of dead letters was made anew");
                Ok(partition)
            }
            None => Err(failed(ReadError::UnknownPartition(known.clone()))),
        }
    }

    async fn take(
        &self,
        stored: &StoredRecord,
        reader: &mut Reader,
        view: &dyn DeadLetterStore,
    ) -> Result<(), DeadLetterError> {
        let Record { format, value, received, .. } = &stored.record;
        let batch = match weir_wire::decode_record(*format, value, *received) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::warn!(stream = %self.stream, offset = %stored.offset, error = %chain(&error), "no note of a dead letter");
                return Ok(());
            }
        };
        for event in batch.events() {
            let Ok(content) = event.content else { continue };
            match reader.read(&content.to_string()) {
                Ok(Some(Note::Letter(letter))) => view.put(vec![*letter]).await?,
                Ok(Some(Note::Purged(ids))) => drop(view.purge(&ids).await?),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(stream = %self.stream, offset = %stored.offset, error = %chain(&error), "no note of a dead letter");
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl DeadLetterStore for DeadLetterStream {
    async fn put(&self, letters: Vec<DeadLetter>) -> Result<(), DeadLetterError> {
        for letter in &letters {
            for note in note::letter(letter) {
                self.append(&note).await?;
            }
        }
        Ok(())
    }

    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<(DeadLetterKey, DeadLetterEntry)>, DeadLetterError> {
        self.view().await?.list(filter, after, limit).await
    }

    async fn newest(&self) -> Result<Option<DeadLetterKey>, DeadLetterError> {
        self.view().await?.newest().await
    }

    async fn get(&self, id: &EventId) -> Result<Option<DeadLetter>, DeadLetterError> {
        self.view().await?.get(id).await
    }

    async fn purge(&self, ids: &[EventId]) -> Result<u64, DeadLetterError> {
        let view = self.view().await?;
        let mut kept = Vec::new();
        for id in ids.iter().collect::<BTreeSet<_>>() {
            if view.get(id).await?.is_some() {
                kept.push(id.clone());
            }
        }
        if !kept.is_empty() {
            self.append(&note::purged(&kept)).await?;
        }
        Ok(kept.len() as u64)
    }

    async fn counts(&self, stream: &StreamName) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        self.view().await?.counts(stream).await
    }

    async fn kept(&self, filter: &DeadLetterFilter) -> Result<Vec<(StreamPartition, u64)>, DeadLetterError> {
        self.view().await?.kept(filter).await
    }

    async fn kept_at(
        &self,
        partition: &StreamPartition,
        offsets: Range<Offset>,
    ) -> Result<u64, DeadLetterError> {
        self.view().await?.kept_at(partition, offsets).await
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("journal", &self.journal).finish_non_exhaustive()
    }
}

fn failed(error: ReadError) -> DeadLetterError {
    DeadLetterError::Failed(Box::new(error))
}
