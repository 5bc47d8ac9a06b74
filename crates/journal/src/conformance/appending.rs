use std::collections::HashSet;

use futures_util::future::join_all;
use weir_model::{Mark, Offset, SourceId};

use super::Factory;
use super::fixtures::{append, counted, create, name, partition, read_all, record, texts};
use crate::error::{AppendError, CreateStreamError};
use crate::seam::{Creation, IfMissing, Origin, StreamSpec};

/// Offsets are 0, 1, 2, …, events are counted on, and reading gives the order of the appends.
pub async fn appends_are_dense_and_ordered(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    for index in 0..20 {
        let appended = append(&*journal, "shop_logs", record(&index.to_string(), 1 + index % 3)).await;
        assert_eq!(appended.offset, Offset(u64::from(index)));
        assert_eq!(appended.partition, partition(&info, 0));
    }
    let batch = read_all(&*journal, &partition(&info, 0)).await;
    assert_eq!(texts(&batch.records), (0..20).map(|index| index.to_string()).collect::<Vec<_>>());
    let mut events = 0;
    for (index, stored) in batch.records.iter().enumerate() {
        assert_eq!(stored.offset, Offset(index as u64));
        assert_eq!(stored.first_event, counted(make.nature(), events));
        events += u64::from(stored.record.events.unwrap_or(0));
    }
    let streams = journal.streams().await.expect("streams can be listed");
    let bounds = streams.first().and_then(|stream| stream.partitions.first()).expect("the stream is there");
    assert_eq!((bounds.start, bounds.end), (Offset::ZERO, Offset(20)));
    let expected = (counted(make.nature(), 0), counted(make.nature(), events));
    assert_eq!((bounds.start_event, bounds.end_event), expected);
}

/// Records that are given together are stored together, in their order, and those of a key in one partition.
pub async fn several_records_are_appended_at_once(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 3).await;
    let none = journal.append(&name("shop_logs"), Origin::Any, Vec::new()).await;
    assert_eq!(none.expect("nothing is no failure"), []);
    let records: Vec<_> = (0..50).map(|index| record(&index.to_string(), 2)).collect();
    let appended = journal.append(&name("shop_logs"), Origin::Key(b"key"), records.clone()).await;
    let appended = appended.expect("records can be appended");
    let offsets: Vec<_> = appended.iter().map(|appended| appended.offset.0).collect();
    assert_eq!(offsets, (0..50).collect::<Vec<_>>());
    let place = &appended.first().expect("fifty were given").partition;
    let batch = read_all(&*journal, place).await;
    assert_eq!(batch.records.into_iter().map(|stored| stored.record).collect::<Vec<_>>(), records);
    let keyless =
        journal.append(&name("shop_logs"), Origin::Any, records).await.expect("records can be appended");
    for (index, appended) in keyless.iter().enumerate() {
        let batch = read_all(&*journal, &appended.partition).await;
        let found = batch.records.iter().find(|stored| stored.offset == appended.offset);
        assert_eq!(found.map(|stored| stored.record.value.to_vec()), Some(index.to_string().into_bytes()));
    }
    assert_eq!(info.partitions.len(), 3);
}

/// All records of a key are in one partition, in the order of their appends; keys use all partitions.
pub async fn a_key_stays_in_one_partition_in_order(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 4).await;
    let keys: Vec<String> = (0..40).map(|key| format!("key {key}")).collect();
    for round in 0..5 {
        for key in &keys {
            let text = format!("{key}/{round}");
            let appended =
                journal.append(&name("shop_logs"), Origin::Key(key.as_bytes()), vec![record(&text, 1)]).await;
            appended.expect("a record can be appended");
        }
    }
    let mut used = 0;
    let mut seen = HashSet::new();
    for bounds in &info.partitions {
        let all = texts(&read_all(&*journal, &bounds.partition).await.records);
        used += usize::from(!all.is_empty());
        for key in &keys {
            let of_key: Vec<_> = all.iter().filter(|text| text.starts_with(&format!("{key}/"))).collect();
            let expected: Vec<_> = (0..5).map(|round| format!("{key}/{round}")).collect();
            assert!(of_key.is_empty() || of_key.iter().copied().eq(&expected), "{key}: {of_key:?}");
            assert!(of_key.is_empty() || seen.insert(key.clone()), "{key} is in two partitions");
        }
    }
    assert_eq!(seen.len(), keys.len());
    assert_eq!(used, 4, "forty keys are spread over four partitions");
}

/// Many appends at once are all stored, each at an offset of its own.
pub async fn callers_at_once_all_get_their_own_offset(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 4).await;
    let appended = join_all((0..200).map(|index| {
        let journal = &journal;
        async move { append(&**journal, "shop_logs", record(&index.to_string(), 2)).await }
    }))
    .await;
    let places: HashSet<_> = appended.iter().map(|place| (place.partition.clone(), place.offset)).collect();
    assert_eq!(places.len(), 200);
    let mut all = HashSet::new();
    for bounds in &info.partitions {
        let batch = read_all(&*journal, &bounds.partition).await;
        for (index, stored) in batch.records.iter().enumerate() {
            assert_eq!(stored.offset, Offset(index as u64));
            assert_eq!(stored.first_event, counted(make.nature(), 2 * index as u64));
        }
        all.extend(texts(&batch.records));
    }
    assert_eq!(all.len(), 200);
}

/// The records of a source stay in one partition, in order, and its mark is where the last of them end.
pub async fn a_source_has_a_mark_and_stays_in_order(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "shop_logs", 4).await;
    let (source, other) = (SourceId(7 << 100), SourceId(8));
    let mark = async |source| journal.mark(&name("shop_logs"), source).await.expect("it can be asked for");
    assert_eq!(mark(source).await, None);
    let mut places = HashSet::new();
    for (number, end) in [10, 20, 15, 30].into_iter().enumerate() {
        let records = vec![record(&format!("{number}-0"), 1), record(&format!("{number}-1"), 1)];
        let origin = Origin::Source(Mark { source, end });
        let appended = journal.append(&name("shop_logs"), origin, records).await.expect("it can be appended");
        places.extend(appended.into_iter().map(|appended| appended.partition));
        assert_eq!(mark(source).await, Some(end));
    }
    assert_eq!(places.len(), 1, "{places:?}");
    let place = places.iter().next().expect("there is one");
    let batch = read_all(&*journal, place).await;
    assert_eq!(texts(&batch.records), ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]);
    assert_eq!(mark(other).await, None);
}

/// Creating a stream that exists changes nothing, whatever is asked for.
pub async fn creating_twice_is_existing(make: &dyn Factory) {
    let journal = make.make().await;
    let first = create(&*journal, "shop_logs", 2).await;
    assert_eq!(first.partitions.len(), 2);
    append(&*journal, "shop_logs", record("a", 1)).await;
    let spec = StreamSpec { partitions: Some(4), replicas: Some(3), ..StreamSpec::new(name("shop_logs")) };
    let again = journal.create_stream(spec).await.expect("a stream that exists is no failure");
    assert!(matches!(&again, Creation::Existed(info) if info.partitions.len() == 2));
    assert_eq!(partition(again.info(), 0), partition(&first, 0), "the incarnation stays");
    let only_if_there =
        |stream| StreamSpec { if_missing: IfMissing::Refuse, ..StreamSpec::new(name(stream)) };
    let found = journal.create_stream(only_if_there("shop_logs")).await;
    assert!(matches!(&found, Ok(Creation::Existed(info)) if info.partitions.len() == 2), "{found:?}");
    let missing = journal.create_stream(only_if_there("new_logs")).await;
    assert!(matches!(&missing, Err(CreateStreamError::Missing(_))), "{missing:?}");
    let at_once = join_all((0..4).map(|_| create(&*journal, "new_logs", 3))).await;
    let lives: HashSet<_> = at_once.iter().map(|info| partition(info, 0).incarnation).collect();
    assert_eq!(lives.len(), 1, "callers at once create one stream");
    let names: Vec<_> =
        journal.streams().await.expect("streams can be listed").into_iter().map(|s| s.name).collect();
    assert_eq!(names, [name("new_logs"), name("shop_logs")]);
}

/// A stream that nobody created takes nothing.
pub async fn unknown_streams_are_refused(make: &dyn Factory) {
    let journal = make.make().await;
    let refused = journal.append(&name("nobody_logs"), Origin::Any, vec![record("a", 1)]).await;
    assert!(matches!(refused, Err(AppendError::UnknownStream(stream)) if stream == name("nobody_logs")));
}
