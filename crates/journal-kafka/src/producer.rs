//! The way of records to the brokers: one idempotent producer for all callers.
//!
//! A call's records share one state, which counts what was delivered and wakes the caller when all is known.
//! librdkafka's queue is bounded by bytes; who finds it full waits until something was delivered. A producer
//! that librdkafka declares broken for good is replaced by a new one; what the old one still had is answered
//! by it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use rdkafka::statistics::Statistics;
use tokio::sync::{Notify, oneshot};
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_model::{Mark, Record};

use crate::client::{self, Voice};
use crate::error::KafkaOpenError;
use crate::format::{has_headers, write_headers, write_mark};
use crate::native::{self, Persistence, persistence};
use crate::section::Settings;

pub(crate) const ROLE: &str = "producer";

/// How long one poll for delivery reports lasts when there are none.
const POLL: Duration = Duration::from_millis(100);

/// How long records that nobody waits for may take once the process ends.
const LAST: Duration = Duration::from_secs(2);

type Handle = BaseProducer<Deliveries>;

/// Clones are the same producer.
#[derive(Clone)]
pub(crate) struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    clock: Arc<dyn Clock>,
    voice: Voice,
    current: RwLock<Arc<Handle>>,
    /// All that still have something to report, the current one last.
    handles: Mutex<Vec<Arc<Handle>>>,
    room: Arc<Notify>,
    closed: AtomicBool,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// A record was not delivered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the record was not acknowledged by Kafka")]
pub(crate) struct Undelivered {
    pub(crate) persistence: Persistence,
    #[source]
    pub(crate) error: KafkaError,
}

impl Undelivered {
    /// Of what was kept back since something before it was not delivered.
    pub(crate) fn unsent() -> Self {
        Self { persistence: Persistence::NotStored, error: KafkaError::Canceled }
    }
}

pub(crate) type Outcome = Result<Delivered, Undelivered>;

impl Producer {
    pub(crate) fn start(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        voice: Voice,
        spawner: &Spawner,
    ) -> Result<Self, KafkaOpenError> {
        let room = Arc::new(Notify::new());
        let voice = Voice { role: ROLE, ..voice };
        let handle = make(settings, &voice, &room).map_err(|error| KafkaOpenError::Settings(error.into()))?;
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            clock,
            voice,
            current: RwLock::new(Arc::clone(&handle)),
            handles: Mutex::new(vec![handle]),
            room,
            closed: AtomicBool::new(false),
        });
        let polled = Arc::clone(&shared);
        spawner
            .spawn_thread("journal.kafka.producer", Policy::essential(DrainPhase::Close), move |drain| {
                polled.poll(&drain);
                Ok::<(), std::convert::Infallible>(())
            })
            .map_err(KafkaOpenError::Thread)?;
        Ok(Self { shared })
    }

    /// Takes no more; what was taken is still delivered and answered.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.room.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Sends records to a topic and waits until it is known of each what became of it.
    pub(crate) async fn send(&self, topic: &str, route: Route<'_>, records: &[Record]) -> Vec<Outcome> {
        let (call, done) = Call::new(records.len());
        self.enqueue(&Batch { topic, route, records, call: &call }).await;
        match done {
            None => Vec::new(),
            Some(done) => done.await.unwrap_or_else(|_| records.iter().map(|_| Err(lost())).collect()),
        }
    }

    /// A message without headers, as barito-flow sends its new-topic events.
    pub(crate) async fn send_plain(&self, topic: &str, value: &[u8]) -> Outcome {
        let (call, done) = Call::new(1);
        let ticket = Box::new(Ticket { call: Arc::clone(&call), index: 0 });
        let record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, ticket).payload(value);
        if let Err((error, record)) = self.shared.current().send(record) {
            let undelivered = Undelivered { persistence: Persistence::NotStored, error };
            record.delivery_opaque.call.settle(0, Err(undelivered));
        }
        let outcomes = match done {
            None => Vec::new(),
            Some(done) => done.await.unwrap_or_default(),
        };
        outcomes.into_iter().next().unwrap_or_else(|| Err(lost()))
    }

    /// Hands over all records, or settles those that are refused.
    async fn enqueue(&self, batch: &Batch<'_>) {
        let began = self.shared.clock.monotonic();
        let mut waited = false;
        let mut left: Vec<usize> = (0..batch.records.len()).collect();
        while !left.is_empty() {
            if self.is_closed() {
                return batch.refuse(&left, &KafkaError::Canceled);
            }
            let room = self.shared.room.notified();
            let handle = self.shared.current();
            let mut passing = None;
            let refused = batch.try_send(&handle, &left);
            left.clear();
            for (error, index) in refused {
                match error.rdkafka_error_code() {
                    Some(code @ (RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::Fatal)) => {
                        left.push(index);
                        passing = Some((code, error));
                    }
                    _ => batch.refuse(&[index], &error),
                }
            }
            let Some((code, error)) = passing else { return };
            if code == RDKafkaErrorCode::Fatal {
                if let Err(error) = self.shared.replace(&handle) {
                    return batch.refuse(&left, &error);
                }
                continue;
            }
            if !waited {
                self.shared.voice.metrics.appends_waiting.inc();
                waited = true;
            }
            let elapsed = self.shared.clock.monotonic().saturating_duration_since(began);
            let time = self.shared.settings.append_timeout.saturating_sub(elapsed);
            if time.is_zero() || timeout(&*self.shared.clock, time, room).await.is_err() {
                return batch.refuse(&left, &error);
            }
        }
    }
}

/// What chooses the partition of the records of one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Route<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// The partition itself, and the mark that the last record sets, if it does.
    pub(crate) source: Option<(i32, Option<Mark>)>,
}

/// What is sent in one call.
struct Batch<'a> {
    topic: &'a str,
    route: Route<'a>,
    records: &'a [Record],
    call: &'a Arc<Call>,
}

impl Batch<'_> {
    /// Hands over these records as far as librdkafka takes them.
    fn try_send(&self, handle: &Handle, indices: &[usize]) -> Vec<(KafkaError, usize)> {
        let records = indices.iter().filter_map(|index| Some((*index, self.records.get(*index)?)));
        if self.route.source.is_some() || self.records.iter().any(has_headers) {
            let send = |(index, record)| Some((self.send_with_headers(handle, index, record).err()?, index));
            return records.filter_map(send).collect();
        }
        let messages = records.map(|(index, record)| (&record.value[..], self.ticket(index)));
        let refused = native::produce(handle, self.topic, self.route.key, messages);
        refused
            .into_iter()
            .map(|(code, ticket)| (KafkaError::MessageProduction(code), ticket.index))
            .collect()
    }

    fn send_with_headers(&self, handle: &Handle, index: usize, record: &Record) -> Result<(), KafkaError> {
        let mut headers = Some(OwnedHeaders::new_with_capacity(4));
        let mut put = |name: &str, value: &[u8]| {
            headers = headers.take().map(|headers| headers.insert(Header { key: name, value: Some(value) }));
        };
        write_headers(record, &mut put);
        if let Some((_, Some(mark))) = self.route.source
            && index + 1 == self.records.len()
        {
            write_mark(mark, put);
        }
        let ticket = self.ticket(index);
        let mut message =
            BaseRecord::<[u8], [u8], _>::with_opaque_to(self.topic, ticket).payload(&record.value);
        message.headers = headers;
        message.key = self.route.key;
        message.partition = self.route.source.map(|(partition, _)| partition);
        handle.send(message).map_err(|(error, _)| error)
    }

    fn ticket(&self, index: usize) -> Box<Ticket> {
        Box::new(Ticket { call: Arc::clone(self.call), index })
    }

    fn refuse(&self, indices: &[usize], error: &KafkaError) {
        for index in indices {
            let undelivered = Undelivered { persistence: Persistence::NotStored, error: error.clone() };
            self.call.settle(*index, Err(undelivered));
        }
    }
}

fn make(settings: &Settings, voice: &Voice, room: &Arc<Notify>) -> Result<Arc<Handle>, KafkaError> {
    let context = Deliveries { voice: voice.clone(), room: Arc::clone(room) };
    let handle = Arc::new(Handle::from_config_and_context(&client::producer(settings), context)?);
    settings.brokers.enlist(&handle, |handle, addresses| native::add_brokers(handle.client(), addresses));
    Ok(handle)
}

fn lost() -> Undelivered {
    Undelivered { persistence: Persistence::MaybeStored, error: KafkaError::Canceled }
}

impl Shared {
    fn current(&self) -> Arc<Handle> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn handles(&self) -> MutexGuard<'_, Vec<Arc<Handle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new producer in the place of a broken one, unless somebody did already.
    fn replace(&self, broken: &Arc<Handle>) -> Result<(), KafkaError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, broken) {
            return Ok(());
        }
        let why = broken.client().fatal_error().map_or_else(String::new, |(_, reason)| reason);
        tracing::error!(why, "the producer of Kafka is broken for good, going on with a new one");
        *current = make(&self.settings, &self.voice, &self.room)?;
        self.handles().push(Arc::clone(&current));
        Ok(())
    }

    /// Serves delivery reports until the process ends and nothing is under way any more. Whoever waited for a
    /// record has been answered when a drain gets here: what is left then is not waited for long.
    fn poll(&self, drain: &DrainToken) {
        let mut ends_by = None;
        loop {
            let handles = self.handles().clone();
            let (current, former) = match handles.split_last() {
                Some((current, former)) => (current, former),
                None => return,
            };
            for handle in former {
                handle.poll(Duration::ZERO);
            }
            current.poll(POLL);
            if !former.is_empty() {
                let mut handles = self.handles();
                let last = handles.len().saturating_sub(1);
                let mut index = 0;
                handles.retain(|handle| {
                    index += 1;
                    index > last || handle.in_flight_count() > 0
                });
            }
            if drain.is_draining() {
                let now = self.clock.monotonic();
                if now >= *ends_by.get_or_insert(now + LAST) {
                    handles.iter().for_each(|handle| handle.purge(PurgeConfig::default().queue().inflight()));
                }
            }
            let ending = drain.is_draining() || self.closed.load(Ordering::Acquire);
            if ending && handles.iter().all(|handle| handle.in_flight_count() == 0) {
                self.closed.store(true, Ordering::Release);
                return;
            }
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

/// What a call's records have in common.
#[derive(Debug)]
struct Call {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    outcomes: Vec<Option<Outcome>>,
    left: usize,
    done: Option<oneshot::Sender<Vec<Outcome>>>,
}

/// One record of a call.
#[derive(Debug)]
pub(crate) struct Ticket {
    call: Arc<Call>,
    index: usize,
}

impl Call {
    /// Nothing to wait for, if there are no records.
    fn new(records: usize) -> (Arc<Self>, Option<oneshot::Receiver<Vec<Outcome>>>) {
        let (sender, receiver) = oneshot::channel();
        let state = State { outcomes: vec![None; records], left: records, done: Some(sender) };
        (Arc::new(Self { state: Mutex::new(state) }), (records > 0).then_some(receiver))
    }

    fn settle(&self, index: usize, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = state.outcomes.get_mut(index).filter(|place| place.is_none()) else { return };
        *place = Some(outcome);
        state.left -= 1;
        if state.left == 0 {
            let outcomes = std::mem::take(&mut state.outcomes).into_iter().flatten().collect();
            let done = state.done.take();
            drop(state);
            // Nobody may be waiting any more.
            done.map(|done| done.send(outcomes).ok());
        }
    }
}

/// Where delivery reports go.
struct Deliveries {
    voice: Voice,
    room: Arc<Notify>,
}

impl ClientContext for Deliveries {
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

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let outcome = match result {
            Ok(message) => Ok(Delivered { partition: message.partition(), offset: message.offset() }),
            Err((error, message)) => {
                Err(Undelivered { persistence: persistence(message), error: error.clone() })
            }
        };
        ticket.call.settle(ticket.index, outcome);
        self.room.notify_waiters();
    }
}
