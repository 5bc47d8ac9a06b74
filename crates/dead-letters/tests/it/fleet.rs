use std::sync::Arc;

use bytes::Bytes;
use weir_dead_letters::{DeadLetterStream, OpenView, Parts};
use weir_foundation::clock::SystemClock;
use weir_journal::memory::MemoryJournal;
use weir_journal::{Journal, Origin, ReadBudget};
use weir_model::{
    EventId, Incarnation, IndexPrefix, Offset, PartitionIndex, Position, Record, RecordFormat, StreamName,
    StreamPartition, Timestamp,
};
use weir_store::{DeadLetter, DeadLetterFilter, DeadLetterStore, DeadReason};
use weir_wire::EventsBuilder;

use crate::suite::open;

fn letter(offset: u64, original: Bytes) -> DeadLetter {
    let partition = StreamPartition {
        stream: StreamName::new("shop_logs").expect("is legal"),
        incarnation: Incarnation(7),
        partition: PartitionIndex(0),
    };
    DeadLetter {
        position: Position { partition, offset: Offset(offset), index: 0 },
        events: 1,
        received: Timestamp::from_micros(1),
        died: Timestamp::from_micros(2),
        prefix: Some(IndexPrefix::new("shop").expect("is legal")),
        format: RecordFormat::Events,
        reason: DeadReason { code: "rejected".to_owned(), message: "why".to_owned() },
        original,
    }
}

fn id(offset: u64) -> EventId {
    EventId(letter(offset, Bytes::new()).position)
}

async fn offsets(store: &dyn DeadLetterStore) -> Vec<u64> {
    let page = store.list(&DeadLetterFilter::default(), None, 100).await.expect("lists");
    page.into_iter().map(|(_, entry)| entry.position.offset.0).collect()
}

#[tokio::test]
async fn what_one_process_buries_and_purges_all_see() {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let (consumer, other, server) = (open(&journal).await, open(&journal).await, open(&journal).await);
    consumer.put(vec![letter(1, Bytes::from_static(b"one"))]).await.expect("puts");
    other.put(vec![letter(2, Bytes::from_static(b"two"))]).await.expect("puts");
    assert_eq!(offsets(&*server).await, [1, 2]);
    assert_eq!(server.purge(&[id(1), id(9)]).await.expect("purges"), 1);
    assert_eq!(offsets(&*consumer).await, [2]);
    // A redelivery buries it again, which changes nothing.
    other.put(vec![letter(1, Bytes::from_static(b"one"))]).await.expect("puts");
    for store in [&consumer, &other, &server, &open(&journal).await] {
        assert_eq!(offsets(&**store).await, [2]);
        let counts = store.counts(&StreamName::new("shop_logs").expect("is legal")).await.expect("counts");
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 2);
    }
}

/// As in a consumer, unless it has to count a loss.
#[tokio::test]
async fn who_only_buries_opens_no_view() {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let view: OpenView = Box::new(|| Err("there is no place for a view".into()));
    let parts = Parts { journal: Arc::<MemoryJournal>::clone(&journal), view, clock: Arc::new(SystemClock) };
    let consumer = DeadLetterStream::open("weir-index", parts).await.expect("it can be opened");
    consumer.put(vec![letter(1, Bytes::from_static(b"one"))]).await.expect("puts");
    consumer.get(&id(1)).await.expect_err("it would be looked up in a view");
    assert_eq!(offsets(&*open(&journal).await).await, [1]);
}

#[tokio::test]
async fn a_letter_beyond_one_record_comes_back_whole() {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let large: Bytes = (0..3_000_000u32).map(|at| (at % 253) as u8).collect::<Vec<_>>().into();
    open(&journal).await.put(vec![letter(1, large.clone())]).await.expect("puts");
    let found = open(&journal).await.get(&id(1)).await.expect("gets").expect("is there");
    assert_eq!(found.original, large);
    let streams = journal.streams().await.expect("lists");
    let partition = &streams[0].partitions[0].partition;
    let budget = ReadBudget { bytes: usize::MAX, records: usize::MAX };
    let read = journal.read(partition, Offset::ZERO, budget).await.expect("reads");
    assert!(read.records.iter().all(|stored| stored.record.value.len() < 1_000_000));
}

#[tokio::test]
async fn what_is_no_note_is_passed() {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let store = open(&journal).await;
    let mut events = EventsBuilder::new(&IndexPrefix::new("x").expect("is legal"));
    events.push_json(r#"{"purged":"all"}"#, None);
    events.push_line("a line", None);
    let (value, count) = events.finish();
    for (format, value) in
        [(RecordFormat::Events, value), (RecordFormat::TimberCollection, Bytes::from_static(&[0xff]))]
    {
        let record =
            Record { format, events: Some(count), received: Timestamp::from_micros(0), batch: None, value };
        let stream = StreamName::new("weir-index-dead").expect("is legal");
        journal.append(&stream, Origin::Any, vec![record]).await.expect("appends");
    }
    store.put(vec![letter(1, Bytes::new())]).await.expect("puts");
    assert_eq!(offsets(&*store).await, [1]);
}
