//! Several partitions at once, of which some wait for the store.

use weir_consumer::section::ConsumerSection;
use weir_foundation::settings::{DurationText, SizeText};
use weir_model::{PartitionIndex, StreamPartition};
use weir_store::memory::Durability;
use weir_testkit::{Call, Faults};

use crate::world::{World, eventually};

fn is_first(partition: &StreamPartition) -> bool {
    partition.partition == PartitionIndex(0)
}

/// A partition whose write is not answered holds back itself alone, and nothing of it is committed; the next life
/// delivers it.
#[tokio::test]
async fn a_partition_that_waits_holds_back_no_other() {
    for threads in [1, 3] {
        let mut world = World::new(Durability::Immediate);
        let streams = [world.stream("shop_logs", 3).await, world.stream("cafe_logs", 3).await];
        for _ in 0..12 {
            world.send(&streams[0], "shop", &[r#"{"a":1}"#]).await;
            world.send(&streams[1], "shop", &[r#"{"a":1}"#]).await;
        }
        world.holds_back = is_first;
        let section = ConsumerSection { threads: Some(threads), ..ConsumerSection::default() };
        let life = world.start_with(&Faults::none(), section.clone()).await;
        eventually("the others are committed", async || {
            let committed = world.committed().await;
            committed.iter().filter(|(partition, offset)| !is_first(partition) && **offset == 4).count() == 4
        })
        .await;
        assert_eq!(world.rows("shop").await.len(), 16);
        let committed = world.committed().await;
        assert!(
            committed.iter().all(|(partition, offset)| !is_first(partition) || *offset == 0),
            "{committed:?}"
        );
        life.die().await;

        world.holds_back = |_| false;
        let life = world.start_with(&Faults::none(), section).await;
        world.delivered().await;
        life.drain().await;
        assert_eq!(world.rows("shop").await.len(), 24);
        world.check_proofs().await;
        world.check_committed().await;
    }
}

/// Records that come now and then in each of many streams take little room, so that none waits for the others'
/// answers.
#[tokio::test]
async fn many_streams_with_little_are_delivered_at_once() {
    const STREAMS: u64 = 500;
    let mut world = World::new(Durability::Immediate);
    for number in 0..STREAMS {
        let stream = world.stream(&format!("shop{number}_logs"), 1).await;
        world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    }
    world.holds_back = |_| true;
    let faults = Faults::none();
    let life = world.start_with(&faults, ConsumerSection::default()).await;
    eventually("all are in hand", async || faults.calls(Call::Write) == STREAMS).await;
    life.die().await;
}

/// What was done of a partition is committed before it goes to another member, however long commits may wait
/// otherwise; nothing of it is delivered any more.
#[tokio::test]
async fn a_partition_that_is_taken_away_is_committed_as_far_as_it_was_delivered() {
    let world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 1).await;
    let hour = Some(DurationText::from_secs(3600));
    let section = ConsumerSection { commit_interval: hour, ..ConsumerSection::default() };
    let life = world.start_with(&Faults::none(), section).await;
    let sent = world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    // The first commit comes at once, the next would come in an hour.
    eventually("the first is committed", async || world.committed().await.values().any(|at| *at == 1)).await;
    for _ in 0..3 {
        world.send(&stream, "shop", &[r#"{"a":1}"#]).await;
    }
    world.delivered().await;
    world.revoke.send_replace(vec![sent[0].0.partition.clone()]);
    eventually("all is committed", async || world.committed().await.values().all(|at| *at == 4)).await;
    life.drain().await;
    world.check_proofs().await;
}

/// However much of a stream is read and not taken by the store, another stream is delivered; what was left out of
/// the first comes when the store takes it.
#[tokio::test]
async fn a_stream_that_waits_leaves_room_for_others() {
    let mut world = World::new(Durability::Immediate);
    let streams = [world.stream("shop_logs", 3).await, world.stream("cafe_logs", 1).await];
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(100_000));
    for _ in 0..200 {
        world.send(&streams[0], "shop", &[&large]).await;
    }
    world.holds_back = |partition| partition.stream.as_str() == "shop_logs";
    let section =
        ConsumerSection { in_flight: Some(SizeText::from_bytes(16 << 20)), ..ConsumerSection::default() };
    let life = world.start_with(&Faults::none(), section.clone()).await;
    for _ in 0..20 {
        world.send(&streams[1], "cafe", &[&large]).await;
    }
    eventually("the other stream is delivered", async || world.rows("cafe").await.len() == 20).await;
    assert_eq!(world.rows("shop").await.len(), 0);
    life.die().await;

    world.holds_back = |_| false;
    let life = world.start_with(&Faults::none(), section).await;
    world.delivered().await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 200);
    world.check_proofs().await;
    world.check_committed().await;
}
