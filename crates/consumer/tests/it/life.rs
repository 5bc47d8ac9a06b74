//! Starting, new streams, restarts, stores that are ahead or behind.

use weir_consumer::section::ConsumerSection;
use weir_journal::Journal;
use weir_model::Offset;
use weir_store::memory::Durability;
use weir_store::{IndexStore, WriteBatch};
use weir_testkit::{Call, Faults};

use crate::world::{World, eventually};

#[tokio::test]
async fn streams_that_appear_are_delivered() {
    let world = World::new(Durability::Immediate);
    let life = world.start(&Faults::none()).await;
    for name in ["shop_logs", "cafe_logs", "tea_logs"] {
        let stream = world.stream(name, 3).await;
        for _ in 0..10 {
            world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
        }
        world.delivered().await;
    }
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 30);
    world.check_proofs().await;
    world.check_committed().await;
}

#[tokio::test]
async fn other_streams_are_left_alone() {
    let world = World::new(Durability::Immediate);
    let (logs, rows) = (world.stream("shop_logs", 1).await, world.stream("shop_rows", 1).await);
    world.send(&rows, "shop", &[r#"{"row":1}"#]).await;
    world.send(&logs, "shop", &[r#"{"log":1}"#]).await;
    let life = world.start(&Faults::none()).await;
    eventually("the log is delivered", async || !world.rows("shop").await.is_empty()).await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.into_values().collect::<Vec<_>>(), [r#"{"log":1}"#]);
    let report = world.report(&rows).await;
    assert_eq!((report.total().waiting, report.is_balanced()), (Some(1), true));
}

#[tokio::test]
async fn two_prefixes_share_a_partition() {
    let world = World::new(Durability::OnFlush);
    let stream = world.stream("shop_logs", 1).await;
    for _ in 0..10 {
        world.send(&stream, "shop", &[r#"{"a":1}"#, r#"{"a":2}"#]).await;
        world.send(&stream, "cafe", &[r#"{"a":3}"#]).await;
    }
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    assert_eq!(
        life.metric(
            r#"barito_consumer_log_stored_total{index="cafe",status="201",result="created",error=""}"#
        ),
        Some(10.0)
    );
    life.drain().await;
    assert_eq!((world.rows("shop").await.len(), world.rows("cafe").await.len()), (20, 10));
    world.check_committed().await;
}

/// What is taken is not committed before it is durable.
#[tokio::test]
async fn only_what_is_durable_is_committed() {
    let world = World::new(Durability::OnFlush);
    let stream = world.stream("shop_logs", 1).await;
    world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    let faults = Faults::none();
    let life = world.start(&faults).await;
    world.delivered().await;
    assert_eq!(faults.calls(Call::Commit), 0);
    world.store.flush().await.expect("flushes");
    eventually("it is committed", async || world.committed().await.values().any(|offset| *offset == 1)).await;
    life.die().await;
}

/// An index that was thrown away is filled again from the start of the journal.
#[tokio::test]
async fn a_store_behind_the_commit_is_filled_again() {
    let mut world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 1).await;
    for _ in 0..3 {
        world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    }
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.drain().await;
    world.check_committed().await;
    world.store = World::new(Durability::Immediate).store;
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 3);
    world.check_proofs().await;
}

/// A store that knows more than the journal: the journal's end moves first, so that no new record gets an
/// offset that the store passes over as known.
#[tokio::test]
async fn a_store_ahead_of_the_journal_moves_its_end() {
    let world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 1).await;
    world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    let partition = world.journal.streams().await.expect("lists")[0].partitions[0].partition.clone();
    let ahead = WriteBatch {
        partition: partition.clone(),
        from: Offset::ZERO,
        records: Vec::new(),
        next: Offset(5),
        more: false,
    };
    world.store.write(ahead).await.expect("takes");
    let life = world.start(&Faults::none()).await;
    let late = world.send(&stream, "shop", &[r#"{"a":2}"#]).await;
    world.delivered().await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.into_keys().collect::<Vec<_>>(), late);
    world.check_committed().await;
}

/// A store that does not have what it said to be durable refuses what is behind, and is given it again.
#[tokio::test]
async fn a_gap_is_closed() {
    let mut world = World::new(Durability::OnFlush);
    let stream = world.stream("shop_logs", 1).await;
    for _ in 0..4 {
        world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    }
    let partition = world.journal.streams().await.expect("lists")[0].partitions[0].partition.clone();
    let nothing =
        WriteBatch { partition, from: Offset::ZERO, records: Vec::new(), next: Offset::ZERO, more: false };
    world.store.write(nothing).await.expect("takes");
    world.claims = Some(Offset(2));
    let faults = Faults::none();
    let life = world.start(&faults).await;
    world.delivered().await;
    life.drain().await;
    assert!(faults.calls(Call::Write) > 1, "the first write was refused");
    assert_eq!(world.rows("shop").await.len(), 4);
    world.check_proofs().await;
    world.check_committed().await;
}

/// A group of its own delivers everything once more, to a store of its own.
#[tokio::test]
async fn groups_do_not_disturb_each_other() {
    let mut world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 2).await;
    for _ in 0..6 {
        world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    }
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.drain().await;
    world.store = World::new(Durability::Immediate).store;
    let section = ConsumerSection { group: Some("second".to_owned()), ..ConsumerSection::default() };
    let life = world.start_with(&Faults::none(), section).await;
    world.delivered().await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 6);
    assert_eq!(world.journal.groups().await.expect("lists").len(), 2);
}
