//! What the C library can do and its bindings have no safe name for. All unsafe code of the crate is here.
//!
//! Five things: the ids of topics, many messages handed over in one call, whether a message that failed may be
//! stored all the same, one bounded queue for the messages of all partitions of a consumer, apart from the queue of
//! its callbacks, and brokers that a client is told of while it runs.

#![expect(unsafe_code, reason = "librdkafka has these in C only")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as c;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::IntoOpaque;

use crate::life::TopicId;

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) outcome: Result<Topic, RDKafkaErrorCode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
}

/// Asks the brokers for topics by name; blocks for at most `timeout`.
pub(crate) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Description>, RDKafkaErrorCode> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    if pointers.is_empty() {
        return Ok(Vec::new());
    }
    let millis = millis(timeout);
    // SAFETY: the client outlives the call, and so do the names, which are copied. Every object is destroyed by
    // its guard, in the reverse order. The request's event is waited for on a queue of its own.
    unsafe {
        let rk = client.native_ptr();
        let queue = Guard::new(c::rd_kafka_queue_new(rk), c::rd_kafka_queue_destroy)?;
        let collection = Guard::new(
            c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            c::rd_kafka_TopicCollection_destroy,
        )?;
        let options = Guard::new(
            c::rd_kafka_AdminOptions_new(rk, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            c::rd_kafka_AdminOptions_destroy,
        )?;
        let set = c::rd_kafka_AdminOptions_set_request_timeout(options.get(), millis, ptr::null_mut(), 0);
        check(set)?;
        c::rd_kafka_DescribeTopics(rk, collection.get(), options.get(), queue.get());
        let event = c::rd_kafka_queue_poll(queue.get(), millis.saturating_add(1_000));
        let event =
            Guard::new(event, c::rd_kafka_event_destroy).or(Err(RDKafkaErrorCode::RequestTimedOut))?;
        check(c::rd_kafka_event_error(event.get()))?;
        let result = c::rd_kafka_event_DescribeTopics_result(event.get());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok((0..count).map(|index| description(*topics.add(index))).collect())
    }
}

/// # Safety
///
/// `topic` must be of a result that is alive.
unsafe fn description(topic: *const c::rd_kafka_TopicDescription_t) -> Description {
    // SAFETY: by the caller; what the getters give lives as long as the result.
    unsafe {
        let name = CStr::from_ptr(c::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        let error = c::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && check(c::rd_kafka_error_code(error)).is_err() {
            return Description { name, outcome: Err(c::rd_kafka_error_code(error).into()) };
        }
        let id = c::rd_kafka_TopicDescription_topic_id(topic);
        let mut count = 0;
        c::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let topic = Topic { id: topic_id(id), partitions: u32::try_from(count).unwrap_or(u32::MAX) };
        Description { name, outcome: Ok(topic) }
    }
}

/// # Safety
///
/// `id` must be null or alive.
unsafe fn topic_id(id: *const c::rd_kafka_Uuid_t) -> TopicId {
    if id.is_null() {
        return TopicId(0);
    }
    // SAFETY: by the caller.
    let (most, least) =
        unsafe { (c::rd_kafka_Uuid_most_significant_bits(id), c::rd_kafka_Uuid_least_significant_bits(id)) };
    TopicId(u128::from(most.cast_unsigned()) << 64 | u128::from(least.cast_unsigned()))
}

/// Lets the library choose the partition.
const ANY_PARTITION: i32 = -1;

/// Hands over messages without headers in one call: the topic is looked up once. What comes back was refused.
pub(crate) fn produce<'a, C: ProducerContext>(
    producer: &BaseProducer<C>,
    topic: &str,
    key: Option<&[u8]>,
    messages: impl Iterator<Item = (&'a [u8], C::DeliveryOpaque)>,
) -> Vec<(RDKafkaErrorCode, C::DeliveryOpaque)> {
    let refuse = |(_, opaque)| (RDKafkaErrorCode::UnknownTopic, opaque);
    let Ok(name) = CString::new(topic) else { return messages.map(refuse).collect() };
    // SAFETY: the producer is alive; the reference to its topic is given back by the guard.
    let topic = unsafe {
        let topic = c::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut());
        Guard::new(topic, c::rd_kafka_topic_destroy)
    };
    let Ok(topic) = topic else { return messages.map(refuse).collect() };
    let (key, key_len) = key.map_or((ptr::null_mut(), 0), |key| (key.as_ptr().cast_mut().cast(), key.len()));
    let message = |(payload, opaque): (&'a [u8], C::DeliveryOpaque)| c::rd_kafka_message_t {
        err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: ANY_PARTITION,
        payload: payload.as_ptr().cast_mut().cast(),
        len: payload.len(),
        key,
        key_len,
        offset: 0,
        _private: opaque.into_ptr(),
    };
    let mut messages: Vec<_> = messages.map(message).collect();
    let count = c_int::try_from(messages.len()).unwrap_or(c_int::MAX);
    // SAFETY: payloads and key outlive the call, which copies them and writes to the array only. An opaque that
    // the library took comes back with the delivery report, once; the others are taken back here.
    unsafe {
        let copy = c::RD_KAFKA_MSG_F_COPY;
        c::rd_kafka_produce_batch(topic.get(), ANY_PARTITION, copy, messages.as_mut_ptr(), count);
        let refused =
            messages.iter().filter_map(|message| Some((check(message.err).err()?, message._private)));
        refused.map(|(error, opaque)| (error, C::DeliveryOpaque::from_ptr(opaque))).collect()
    }
}

/// Tells a client of brokers, `a:9092,b:9092`; those that it knows already count for nothing.
pub(crate) fn add_brokers<C: ClientContext>(client: &Client<C>, addresses: &str) {
    let Ok(addresses) = CString::new(addresses) else { return };
    // SAFETY: the client outlives the call, and the text is copied.
    let added = unsafe { c::rd_kafka_brokers_add(client.native_ptr(), addresses.as_ptr()) };
    tracing::debug!(added, "told a client of brokers");
}

/// What is known of a message whose delivery was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    NotStored,
    MaybeStored,
    Stored,
}

pub(crate) fn persistence(message: &BorrowedMessage<'_>) -> Persistence {
    use c::rd_kafka_msg_status_t as status;
    // SAFETY: the message is alive.
    match unsafe { c::rd_kafka_message_status(message.ptr()) } {
        status::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::NotStored,
        status::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Persistence::MaybeStored,
        status::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Stored,
    }
}

/// The messages of those partitions of a consumer that were [taken over](Self::take_over), in one queue, while
/// the consumer's own queue has its callbacks. librdkafka fetches until this queue is full and then waits, so
/// that nobody has to pause partitions, and a member that is slow still answers its group.
pub(crate) struct FetchQueue<C: ConsumerContext + 'static> {
    queue: NonNull<c::rd_kafka_queue_t>,
    messages: Vec<*mut c::rd_kafka_message_t>,
    // Destroyed after the queue, which is a part of it.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; the messages are empty between calls.
unsafe impl<C: ConsumerContext + 'static> Send for FetchQueue<C> {}

/// How many messages one call takes at most.
const TAKE: usize = 1_000;

impl<C: ConsumerContext + 'static> FetchQueue<C> {
    pub(crate) fn new(consumer: &Arc<BaseConsumer<C>>) -> Result<Self, RDKafkaErrorCode> {
        // SAFETY: the consumer is alive, and is kept alive by the field.
        let queue = unsafe { c::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or(RDKafkaErrorCode::Fail)?;
        Ok(Self { queue, messages: vec![ptr::null_mut(); TAKE], consumer: Arc::clone(consumer) })
    }

    /// From now on the messages of the partition come here.
    pub(crate) fn take_over(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: the consumer and this queue are alive; the reference to the partition's queue is given back.
        unsafe {
            let rk = self.consumer.client().native_ptr();
            let of_partition = c::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition);
            if !of_partition.is_null() {
                c::rd_kafka_queue_forward(of_partition, self.queue.as_ptr());
                c::rd_kafka_queue_destroy(of_partition);
            }
        }
    }

    /// Waits for a message and shows all that are there; gives their number.
    pub(crate) fn take(&mut self, timeout: Duration, mut each: impl FnMut(Fetched<'_>)) -> usize {
        // The library waits until the array is full: for one, then for none.
        let mut taken = self.fill(timeout, 0, 1);
        if taken == 1 {
            taken += self.fill(Duration::ZERO, 1, TAKE - 1);
        }
        for message in self.messages.iter_mut().take(taken) {
            let message = std::mem::replace(message, ptr::null_mut());
            // SAFETY: the message belongs to this call, is shown while it is alive and destroyed once.
            unsafe {
                each(Fetched { message, _alive: PhantomData });
                c::rd_kafka_message_destroy(message);
            }
        }
        taken
    }

    /// Puts at most `count` messages into the array.
    fn fill(&mut self, timeout: Duration, from: usize, count: usize) -> usize {
        let Some(places) = self.messages.get_mut(from..from + count) else { return 0 };
        // SAFETY: the array has room for as many as it is said to have; what is put there belongs to it.
        let taken = unsafe {
            c::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                millis(timeout),
                places.as_mut_ptr(),
                places.len(),
            )
        };
        usize::try_from(taken).unwrap_or(0)
    }
}

impl<C: ConsumerContext + 'static> Drop for FetchQueue<C> {
    fn drop(&mut self) {
        // SAFETY: nobody else has this reference, and the consumer is still alive.
        unsafe { c::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for FetchQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchQueue").finish_non_exhaustive()
    }
}

/// A message, or an error of a partition.
pub(crate) struct Fetched<'a> {
    message: *mut c::rd_kafka_message_t,
    _alive: PhantomData<&'a ()>,
}

impl<'a> Fetched<'a> {
    fn message(&self) -> &'a c::rd_kafka_message_t {
        // SAFETY: it is alive for 'a.
        unsafe { &*self.message }
    }

    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        check(self.message().err).err()
    }

    /// Empty for what is no topic's.
    pub(crate) fn topic(&self) -> &'a str {
        let topic = self.message().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: the message holds its topic; names of topics are ASCII with a null at the end.
        unsafe { CStr::from_ptr(c::rd_kafka_topic_name(topic)) }.to_str().unwrap_or("")
    }

    pub(crate) fn partition(&self) -> i32 {
        self.message().partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.message().offset
    }

    pub(crate) fn payload(&self) -> &'a [u8] {
        let message = self.message();
        if message.payload.is_null() {
            return &[];
        }
        // SAFETY: the library says that so many bytes are there.
        unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) }
    }

    /// Milliseconds since 1970, if the message has a time.
    pub(crate) fn timestamp(&self) -> Option<i64> {
        let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let millis = unsafe { c::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (millis >= 0).then_some(millis)
    }

    pub(crate) fn headers(&self, mut each: impl FnMut(&str, &[u8])) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive, and its headers are its own; names end with a null, values have the
        // length that is given and may be null.
        unsafe {
            if check(c::rd_kafka_message_headers(self.message, &raw mut headers)).is_err() {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let got =
                    c::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
                if check(got).is_err() {
                    return;
                }
                let value: &[u8] =
                    if value.is_null() { &[] } else { std::slice::from_raw_parts(value.cast::<u8>(), size) };
                if let Ok(name) = CStr::from_ptr(name).to_str() {
                    each(name, value);
                }
            }
        }
    }
}

fn check(error: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(error.into()),
    }
}

fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// An object of the library that is destroyed when dropped.
struct Guard<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Guard<T> {
    /// # Safety
    ///
    /// `object` must be null, or nobody else's and right for `destroy`.
    unsafe fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, RDKafkaErrorCode> {
        let object = NonNull::new(object).ok_or(RDKafkaErrorCode::Fail)?;
        Ok(Self { object, destroy })
    }

    fn get(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: by the one who made it.
        unsafe { (self.destroy)(self.object.as_ptr()) }
    }
}
