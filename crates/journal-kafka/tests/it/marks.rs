//! How far sources are stored, where several processes store them.

use bytes::Bytes;
use futures_util::future::join_all;
use weir_journal::{Journal, Origin};
use weir_journal_kafka::KafkaJournal;
use weir_model::{Mark, Record, SourceId};

use crate::broker::{World, create, name, record};

async fn store(journal: &KafkaJournal, stream: &str, source: u128, end: u64) {
    let origin = Origin::Source(Mark { source: SourceId(source), end });
    journal.append(&name(stream), origin, vec![record("stored")]).await.expect("it can be appended");
}

async fn mark(journal: &KafkaJournal, stream: &str, source: u128) -> Option<u64> {
    journal.mark(&name(stream), SourceId(source)).await.expect("it can be asked for")
}

/// An agent goes from one producer to another, and back.
pub(crate) async fn a_mark_is_found_that_another_process_set(world: &mut World) {
    let [one, other] = [world.open().await.journal, world.open().await.journal];
    create(&one, "marked_logs", 3).await;
    let sources = 1..=20_u128;
    for source in sources.clone() {
        store(&one, "marked_logs", source, 10).await;
    }
    for source in sources.clone() {
        assert_eq!(mark(&other, "marked_logs", source).await, Some(10), "{source}");
        store(&other, "marked_logs", source, 20).await;
    }
    assert_eq!(mark(&other, "marked_logs", 99).await, None);
    // The first one has marks of its own, which are old by now.
    for source in sources.clone() {
        assert_eq!(mark(&one, "marked_logs", source).await, Some(20), "{source}");
    }
    // Both at once, with others in between, and one that comes after them.
    let both = sources.clone().map(async |source| {
        store(&one, "marked_logs", source, 30).await;
        let others = vec![record("of others")];
        one.append(&name("marked_logs"), Origin::Key(b"k"), others).await.expect("it can be appended");
        store(&other, "marked_logs", source, 40).await;
        assert_eq!(mark(&one, "marked_logs", source).await, Some(40), "{source}");
    });
    join_all(both).await;
    let anew = world.open().await.journal;
    let found = sources.map(async |source| mark(&anew, "marked_logs", source).await);
    assert_eq!(join_all(found).await, vec![Some(40); 20]);
    assert_eq!(mark(&anew, "nobody_logs", 99).await, None, "there is no such stream");
}

/// Only the end of a partition is looked through: it is no matter of how much is in it.
pub(crate) async fn what_is_far_behind_is_not_looked_for(world: &mut World) {
    let [one, other] = [world.open().await.journal, world.open().await.journal];
    create(&one, "long_logs", 1).await;
    store(&one, "long_logs", 1, 10).await;
    let large = Record { value: Bytes::from(vec![b'x'; 900_000]), ..record("") };
    for _ in 0..20 {
        one.append(&name("long_logs"), Origin::Any, vec![large.clone()]).await.expect("it can be appended");
    }
    store(&one, "long_logs", 2, 10).await;
    for _ in 0..30 {
        one.append(&name("long_logs"), Origin::Any, vec![large.clone()]).await.expect("it can be appended");
    }
    assert_eq!(mark(&other, "long_logs", 1).await, None, "45 MB are behind it");
    assert_eq!(mark(&other, "long_logs", 2).await, Some(10), "27 MB are behind it");
    // What it has read it does not read again.
    store(&one, "long_logs", 1, 20).await;
    assert_eq!(mark(&other, "long_logs", 1).await, Some(20));
}

/// By bytes, of whatever sizes the records are.
pub(crate) async fn a_tail_has_records_of_all_sizes(world: &mut World) {
    let [one, other] = [world.open().await.journal, world.open().await.journal];
    create(&one, "mixed_logs", 1).await;
    let stream = name("mixed_logs");
    let append = async |bytes: usize, count: usize| {
        let record = Record { value: Bytes::from(vec![b'x'; bytes]), ..record("") };
        let appends = (0..count).map(|_| one.append(&stream, Origin::Any, vec![record.clone()]));
        join_all(appends).await.into_iter().for_each(|appended| drop(appended.expect("it can be appended")));
    };
    append(900_000, 25).await;
    // Near: 11 MB in small and large records, of which the last look large.
    store(&one, "mixed_logs", 2, 10).await;
    append(400, 5_000).await;
    append(900_000, 7).await;
    append(100, 40).await;
    append(900_000, 3).await;
    append(100, 3).await;
    assert_eq!(mark(&other, "mixed_logs", 2).await, Some(10));
    append(900_000, 16).await;
    let anew = world.open().await.journal;
    assert_eq!(mark(&anew, "mixed_logs", 2).await, Some(10));
    // Many at once look once, and find the same.
    let anew = world.open().await.journal;
    let found = join_all((0..50).map(|_| mark(&anew, "mixed_logs", 2))).await;
    assert_eq!(found, vec![Some(10); 50]);
}

/// A topic of the same name begins anew.
pub(crate) async fn a_new_topic_has_no_marks_of_the_old_one(world: &mut World) {
    let [one, other] = [world.open().await.journal, world.open().await.journal];
    create(&one, "reborn_logs", 1).await;
    for end in [10, 20, 30] {
        store(&one, "reborn_logs", 1, end).await;
    }
    assert_eq!(mark(&other, "reborn_logs", 1).await, Some(30));
    world.delete_topic("reborn_logs").await;
    create(&other, "reborn_logs", 1).await;
    store(&other, "reborn_logs", 1, 5).await;
    assert_eq!(mark(&other, "reborn_logs", 1).await, Some(5));
    assert_eq!(mark(&world.open().await.journal, "reborn_logs", 1).await, Some(5));
}
