use bytes::Bytes;
use weir_model::{
    BatchTag, Incarnation, Offset, PartitionIndex, Record, RecordFormat, StreamPartition, Timestamp,
};

use super::fixtures::{append, create, partition, read_all, record, texts};
use super::{Factory, Nature};
use crate::error::ReadError;
use crate::seam::ReadBudget;

/// Every part of a record survives, and so do empty, large and incompressible values.
pub async fn records_come_back_as_they_went_in(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    let noise: Vec<u8> =
        (0..100_000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let tag = BatchTag { id: u128::MAX, digest: 7 };
    let records = [
        Record { value: Bytes::new(), ..record("", 0) },
        Record { format: RecordFormat::Timber, received: Timestamp::from_micros(-1), ..record("a", 1) },
        Record { format: RecordFormat::TimberCollection, batch: Some(tag), ..record("b", u32::MAX) },
        record(&"all the same ".repeat(make.largest_record().min(2_600_000) / 13), 100),
        Record { value: noise.into(), received: Timestamp::MAX, ..record("", 3) },
    ];
    for record in &records {
        append(&*journal, "shop_logs", record.clone()).await;
    }
    let batch = read_all(&*journal, &partition(&info, 0)).await;
    let mut back: Vec<_> = batch.records.into_iter().map(|stored| stored.record).collect();
    if let (Nature::Shared, Some(timber)) = (make.nature(), back.get_mut(1)) {
        // It may have been given the time of its append.
        timber.received = records[1].received;
    }
    assert_eq!(back, records);
    assert!(batch.losses.is_empty());
}

/// A read gives one record at least, and no more than is asked for.
pub async fn a_read_respects_its_budget(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    for index in 0..10 {
        append(&*journal, "shop_logs", record(&format!("{index:01000}"), 1)).await;
    }
    let check = async |from: u64, bytes: usize, records: usize, expected: usize| {
        let budget = ReadBudget { bytes, records };
        let batch = journal.read(&partition(&info, 0), Offset(from), budget).await.expect("it can be read");
        assert_eq!(batch.records.len(), expected, "from {from}, {bytes} bytes, {records} records");
        assert_eq!(batch.next, Offset(from + expected as u64));
        assert!(batch.losses.is_empty());
    };
    check(0, usize::MAX, usize::MAX, 10).await;
    check(0, 1, 1, 1).await;
    check(0, 1, usize::MAX, 1).await;
    check(3, 3_500, usize::MAX, 3).await;
    check(3, 3_000, usize::MAX, 3).await;
    check(8, 5_000, usize::MAX, 2).await;
    check(0, usize::MAX, 4, 4).await;
}

/// The end is an empty answer, not an error, and so is what is beyond.
pub async fn reading_at_the_end_is_empty(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    let budget = ReadBudget { bytes: 1000, records: 10 };
    for (appended, from) in [(false, 0), (true, 1), (true, 5)] {
        if appended {
            append(&*journal, "shop_logs", record("a", 1)).await;
        }
        let end = journal.streams().await.expect("streams can be listed");
        let end =
            end.first().and_then(|stream| stream.partition(PartitionIndex(0))).expect("it is there").end;
        let from = Offset(from.max(end.0));
        let batch = journal.read(&partition(&info, 0), from, budget).await.expect("the end can be read");
        assert!(batch.records.is_empty() && batch.losses.is_empty());
        assert_eq!(batch.next, from);
    }
    assert_eq!(texts(&read_all(&*journal, &partition(&info, 0)).await.records), ["a", "a"]);
}

/// Another life of a stream, or a partition that it never had, is not mistaken for this one.
pub async fn unknown_partitions_are_refused(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    let right = partition(&info, 0);
    let other_life = Incarnation(right.incarnation.0.wrapping_add(1));
    let budget = ReadBudget { bytes: 1000, records: 10 };
    for wrong in [
        StreamPartition { incarnation: other_life, ..right.clone() },
        StreamPartition { partition: PartitionIndex(9), ..right.clone() },
    ] {
        let read = journal.read(&wrong, Offset::ZERO, budget).await;
        assert!(matches!(read, Err(ReadError::UnknownPartition(place)) if place == wrong));
    }
}
