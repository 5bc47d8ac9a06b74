//! Reading a partition from a place, for tails and audits: a few consumers without a group, used in turn.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use weir_foundation::clock::Clock;
use weir_journal::{Loss, LossReason, ReadBatch, ReadBudget, StoredRecord};
use weir_model::{Mark, Offset as At, StreamPartition};

use crate::client::{self, Voice};
use crate::cluster::{failed, index, refused};
use crate::error::RequestError;
use crate::format::Headers;
use crate::native::FetchQueue;
use crate::section::Settings;

/// How many reads run at a time, and how many consumers are kept for the next.
const READERS: usize = 4;

/// How long one wait for messages lasts, after which callbacks have their turn.
const TURN: Duration = Duration::from_millis(50);

/// The most that is fetched ahead for one read.
const AHEAD_KIB: u32 = 4_096;

pub(crate) struct Readers {
    settings: Settings,
    voice: Voice,
    idle: Mutex<Vec<Reader>>,
    pub(crate) turns: Semaphore,
}

/// A consumer that stands somewhere in a partition.
struct Reader {
    consumer: Arc<BaseConsumer<Voice>>,
    queue: FetchQueue<Voice>,
    place: Option<(StreamPartition, u64)>,
    /// Fetched and not given yet, in order.
    ahead: VecDeque<Item>,
}

enum Item {
    Record(StoredRecord, Option<Mark>),
    /// Nothing is below this offset but what came before.
    End(u64),
    Failed(RDKafkaErrorCode),
}

impl Readers {
    pub(crate) fn new(settings: &Settings, voice: Voice) -> Self {
        let voice = Voice { role: "reader", ..voice };
        Self { settings: settings.clone(), voice, idle: Mutex::default(), turns: Semaphore::new(READERS) }
    }

    /// Reads from `from` within `bounds`; blocks.
    pub(crate) fn read(
        &self,
        partition: &StreamPartition,
        from: u64,
        bounds: &Range<u64>,
        budget: ReadBudget,
        clock: &dyn Clock,
    ) -> Result<ReadBatch, RequestError> {
        let mut batch = ReadBatch {
            partition: partition.clone(),
            records: Vec::new(),
            losses: Vec::new(),
            next: At(from),
        };
        if from < bounds.start {
            let to = At(bounds.start);
            batch.losses.push(Loss { from: At(from), to, events: None, reason: LossReason::Expired });
            batch.next = to;
        }
        if batch.next.0 >= bounds.end {
            return Ok(batch);
        }
        let ReadBatch { records, next, .. } = &mut batch;
        let next_at =
            self.look(partition, next.0..bounds.end, budget, clock, |stored, _| records.push(stored))?;
        *next = At(next_at);
        Ok(batch)
    }

    /// Gives the records of `range` with the marks that they set, at least one of them, and where to go on; blocks.
    pub(crate) fn look(
        &self,
        partition: &StreamPartition,
        range: Range<u64>,
        budget: ReadBudget,
        clock: &dyn Clock,
        give: impl FnMut(StoredRecord, Option<Mark>),
    ) -> Result<u64, RequestError> {
        let mut reader = self.take(partition, range.start)?;
        let deadline = clock.monotonic() + self.settings.request_timeout;
        let left = || deadline.saturating_duration_since(clock.monotonic());
        let next = reader.fill(partition, range, budget, left, give)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS {
            idle.push(reader);
        }
        Ok(next)
    }

    /// A reader that stands there, or else another one, or a new one.
    fn take(&self, partition: &StreamPartition, from: u64) -> Result<Reader, RequestError> {
        let stands = |reader: &Reader| {
            reader.place.as_ref().is_some_and(|(of, next)| of == partition && *next == from)
        };
        let taken = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            match idle.iter().position(stands) {
                Some(index) => return Ok(idle.swap_remove(index)),
                None => {
                    if idle.is_empty() {
                        None
                    } else {
                        Some(idle.remove(0))
                    }
                }
            }
        };
        let mut reader = match taken {
            Some(reader) => reader,
            None => {
                let mut config = client::consumer(&self.settings, "weir-reader");
                config.set("enable.partition.eof", "true");
                let ahead = (self.settings.fetch_queue.bytes() / 1024).min(u64::from(AHEAD_KIB));
                config.set("queued.max.messages.kbytes", ahead.to_string());
                let consumer = BaseConsumer::from_config_and_context(&config, self.voice.clone());
                let consumer = Arc::new(consumer.map_err(failed("read a partition"))?);
                let queue = FetchQueue::new(&consumer).map_err(refused("read a partition"))?;
                self.settings.brokers.enlist_consumer(&consumer);
                Reader { consumer, queue, place: None, ahead: VecDeque::new() }
            }
        };
        reader.go(partition, from)?;
        Ok(reader)
    }
}

impl Reader {
    fn go(&mut self, partition: &StreamPartition, from: u64) -> Result<(), RequestError> {
        let (topic, index) = (partition.stream.as_str(), index(partition.partition.0));
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        self.consumer.unassign().map_err(failed("read a partition"))?;
        self.queue.take(Duration::ZERO, |_| {});
        self.queue.take_over(topic, index);
        list.add_partition_offset(topic, index, offset)
            .and_then(|()| self.consumer.assign(&list))
            .map_err(failed("read a partition"))?;
        self.queue.take_over(topic, index);
        self.ahead.clear();
        self.place = Some((partition.clone(), from));
        Ok(())
    }

    /// Gives records of the range within the budget, at least one, and where to go on.
    fn fill(
        &mut self,
        partition: &StreamPartition,
        range: Range<u64>,
        budget: ReadBudget,
        left: impl Fn() -> Duration,
        mut give: impl FnMut(StoredRecord, Option<Mark>),
    ) -> Result<u64, RequestError> {
        let Range { start: mut next, end } = range;
        let (mut bytes, mut records) = (budget.bytes, 0);
        while next < end {
            let Some(item) = self.ahead.pop_front() else {
                let left = left();
                if !left.is_zero() {
                    self.fetch(left, partition);
                    continue;
                }
                // An answer in parts is one.
                if records == 0 {
                    return Err(refused("read a partition")(RDKafkaErrorCode::OperationTimedOut));
                }
                break;
            };
            match item {
                Item::Record(stored, _) if stored.offset.0 < next => {}
                Item::Record(stored, mark) => {
                    let size = stored.record.value.len();
                    let fits = size <= bytes && records < budget.records;
                    let beyond = stored.offset.0 >= end;
                    if beyond || (!fits && records > 0) {
                        if beyond {
                            next = end;
                        }
                        self.ahead.push_front(Item::Record(stored, mark));
                        break;
                    }
                    bytes = bytes.saturating_sub(size);
                    records += 1;
                    next = stored.offset.next().0;
                    give(stored, mark);
                }
                // What is left of the range are marks of transactions.
                Item::End(at) if at >= end => next = end,
                Item::End(_) => {}
                Item::Failed(error) => return Err(refused("read a partition")(error)),
            }
        }
        self.place = Some((partition.clone(), next));
        Ok(next)
    }

    /// Waits a while for what comes next.
    fn fetch(&mut self, left: Duration, partition: &StreamPartition) {
        // Serves callbacks; nothing that is read comes this way.
        drop(self.consumer.poll(Duration::ZERO));
        let ahead = &mut self.ahead;
        self.queue.take(left.min(TURN), |fetched| {
            if fetched.topic() != partition.stream.as_str() {
                return;
            }
            let offset = u64::try_from(fetched.offset()).unwrap_or(0);
            match fetched.error() {
                None => {
                    let mut headers = Headers::default();
                    fetched.headers(|name, value| headers.add(name, value));
                    let value = Bytes::copy_from_slice(fetched.payload());
                    let mark = headers.mark();
                    let record = headers.record(value, fetched.timestamp());
                    let stored = StoredRecord { offset: At(offset), first_event: None, record };
                    ahead.push_back(Item::Record(stored, mark));
                }
                Some(RDKafkaErrorCode::PartitionEOF) => ahead.push_back(Item::End(offset)),
                Some(
                    error @ (RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::TopicAuthorizationFailed),
                ) => ahead.push_back(Item::Failed(error)),
                // librdkafka goes on trying.
                Some(_) => {}
            }
        });
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}
