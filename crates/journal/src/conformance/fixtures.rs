use bytes::Bytes;
use weir_model::{
    BatchTag, Offset, PartitionIndex, Record, RecordFormat, StreamName, StreamPartition, Timestamp,
};

use super::Nature;
use crate::seam::{
    Appended, Commit, Journal, Origin, ReadBatch, ReadBudget, StoredRecord, StreamInfo, StreamPattern,
    StreamSpec, Subscription, SubscriptionEvent,
};

pub(super) const NO_LIMIT: ReadBudget = ReadBudget { bytes: usize::MAX, records: usize::MAX };

pub(super) fn name(text: &str) -> StreamName {
    StreamName::new(text).expect("the suite uses legal names")
}

/// What a journal of that nature says of a number of events.
pub(super) fn counted(nature: Nature, events: u64) -> Option<u64> {
    match nature {
        Nature::Embedded => Some(events),
        Nature::Shared => None,
    }
}

pub(super) fn everything() -> StreamPattern {
    StreamPattern::default()
}

/// A record of `events` events that says `text`.
pub(super) fn record(text: &str, events: u32) -> Record {
    Record {
        format: RecordFormat::Events,
        events: Some(events),
        received: Timestamp::from_micros(1_700_000_000_000_000),
        batch: None,
        value: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(super) fn tagged(id: u128, received: i64) -> Record {
    let batch = Some(BatchTag { id, digest: !id });
    Record { batch, received: Timestamp::from_micros(received), ..record("tagged", 1) }
}

pub(super) async fn create(journal: &dyn Journal, stream: &str, partitions: u32) -> StreamInfo {
    let spec = StreamSpec { partitions: Some(partitions), ..StreamSpec::new(name(stream)) };
    journal.create_stream(spec).await.expect("a stream can be created").info().clone()
}

pub(super) async fn append(journal: &dyn Journal, stream: &str, record: Record) -> Appended {
    let appended = journal.append(&name(stream), Origin::Any, vec![record]).await;
    appended.expect("a record can be appended").pop().expect("one record was given")
}

pub(super) fn partition(info: &StreamInfo, index: u32) -> StreamPartition {
    info.partition(PartitionIndex(index)).expect("the stream has the partition").partition.clone()
}

pub(super) async fn read_all(journal: &dyn Journal, partition: &StreamPartition) -> ReadBatch {
    let batch = journal.read(partition, Offset::ZERO, NO_LIMIT).await.expect("the partition can be read");
    let rest = journal.read(partition, batch.next, NO_LIMIT).await.expect("the end can be read");
    assert!(rest.records.is_empty(), "a read without a limit reaches the end");
    batch
}

pub(super) fn text(stored: &StoredRecord) -> String {
    String::from_utf8_lossy(&stored.record.value).into_owned()
}

pub(super) fn texts(records: &[StoredRecord]) -> Vec<String> {
    records.iter().map(text).collect()
}

/// The next batch, past assignments.
pub(super) async fn next_batch(subscription: &mut dyn Subscription) -> ReadBatch {
    loop {
        match subscription.next().await.expect("the subscription is open") {
            SubscriptionEvent::Batch(batch) => return batch,
            SubscriptionEvent::Assigned(_) => {}
            SubscriptionEvent::Revoked(_) => unreachable!("one member keeps what it has"),
        }
    }
}

/// Batches until `count` records have come.
pub(super) async fn receive(
    subscription: &mut dyn Subscription,
    count: usize,
) -> Vec<(StreamPartition, StoredRecord)> {
    let mut received = Vec::new();
    while received.len() < count {
        let batch = next_batch(subscription).await;
        received.extend(batch.records.into_iter().map(|record| (batch.partition.clone(), record)));
    }
    received
}

pub(super) fn commit(partition: &StreamPartition, offset: u64) -> Commit {
    Commit { partition: partition.clone(), offset: Offset(offset) }
}
