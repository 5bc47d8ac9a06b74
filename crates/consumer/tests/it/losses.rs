//! What the journal loses is counted, reported, passed over, and counted once.

use weir_consumer::ledger::{LOST_DAMAGED, LOST_EXPIRED, is_loss};
use weir_journal::Journal;
use weir_model::{Offset, StreamName, StreamPartition};
use weir_store::Inventory as _;
use weir_store::memory::Durability;
use weir_testkit::Faults;

use crate::world::World;

async fn partition(world: &World) -> StreamPartition {
    world.journal.streams().await.expect("lists")[0].partitions[0].partition.clone()
}

/// Ten records with three events each.
async fn ten_records(world: &World) -> StreamName {
    let stream = world.stream("shop_logs", 1).await;
    for _ in 0..10 {
        world.send(&stream, "shop", &[r#"{"a":1}"#, r#"{"a":2}"#, "{}"]).await;
    }
    stream
}

async fn live(world: &World) {
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.drain().await;
}

#[tokio::test]
async fn damaged_records_are_passed_and_counted() {
    let world = World::new(Durability::OnFlush);
    let stream = ten_records(&world).await;
    let place = partition(&world).await;
    for offset in [0, 4, 5, 9] {
        world.journal.damage(&place, Offset(offset));
    }
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    let lost = r#"weir_consumer_lost_events_total{stream="shop_logs",reason="damaged"}"#;
    assert_eq!(life.metric(lost), Some(12.0));
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 12);
    let letters = world.letters().await;
    let (losses, dead): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| is_loss(letter));
    assert_eq!(dead.len(), 6);
    assert!(losses.iter().all(|letter| letter.reason.code == LOST_DAMAGED && letter.original.is_empty()));
    assert_eq!(losses.iter().map(|letter| letter.events).sum::<u32>(), 12);
    let total = world.report(&stream).await.total();
    assert_eq!((total.accepted, total.delivered, total.dead, total.lost), (Some(30), 12, 6, 12));
    world.check_proofs().await;
    world.check_committed().await;
}

#[tokio::test]
async fn what_expired_undelivered_is_counted() {
    let world = World::new(Durability::OnFlush);
    let stream = ten_records(&world).await;
    world.journal.expire(&partition(&world).await, Offset(7));
    live(&world).await;
    assert_eq!(world.rows("shop").await.len(), 6);
    let total = world.report(&stream).await.total();
    assert_eq!((total.accepted, total.delivered, total.dead, total.expired), (Some(30), 6, 3, 21));
    let letters = world.letters().await;
    assert_eq!(letters.iter().filter(|letter| letter.reason.code == LOST_EXPIRED).count(), 1);
    world.check_proofs().await;
    world.check_committed().await;
}

/// What expires after it was delivered is no loss.
#[tokio::test]
async fn what_expired_delivered_is_not_lost() {
    let world = World::new(Durability::OnFlush);
    let stream = ten_records(&world).await;
    live(&world).await;
    world.journal.expire(&partition(&world).await, Offset(10));
    world.send(&stream, "shop", &[r#"{"a":3}"#]).await;
    live(&world).await;
    let total = world.report(&stream).await.total();
    assert_eq!((total.accepted, total.delivered, total.dead, total.expired), (Some(31), 21, 10, 0));
    world.check_proofs().await;
}

/// Rows that were taken and not durable, and dead letters among them, whose records expire before they can be
/// delivered again: the rows are lost, the letters are dead, and nothing counts twice.
#[tokio::test]
async fn a_crash_before_expiry_loses_what_was_not_durable() {
    let mut world = World::new(Durability::OnFlush);
    let stream = ten_records(&world).await;
    let place = partition(&world).await;
    world.journal.expire(&place, Offset(2));
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.die().await;
    world.crash();
    world.journal.expire(&place, Offset(6));
    live(&world).await;
    let total = world.report(&stream).await.total();
    // Of offsets 2 to 5 there are four letters; the other eight events are lost with those of 0 and 1.
    assert_eq!((total.accepted, total.delivered, total.dead, total.expired), (Some(30), 8, 8, 14));
    assert!(world.report(&stream).await.is_balanced());
    world.check_committed().await;
}

/// The store was durable half-way; the rest expired while nobody delivered, and the journal does not know how
/// many events lie between.
#[tokio::test]
async fn a_loss_of_unknown_size_is_counted_by_what_is_there() {
    let mut world = World::new(Durability::OnFlush);
    let stream = world.stream("shop_logs", 1).await;
    for _ in 0..4 {
        world.send(&stream, "shop", &[r#"{"a":1}"#, "{}"]).await;
    }
    live(&world).await;
    for _ in 0..4 {
        world.send(&stream, "shop", &[r#"{"a":1}"#, r#"{"a":2}"#, "{}"]).await;
    }
    // Delivered and committed by another store, so that this one begins behind the commit.
    let durable = world.store.after_crash();
    live(&world).await;
    world.store = std::sync::Arc::new(durable);
    world.journal.expire(&partition(&world).await, Offset(7));
    world.crash();
    live(&world).await;
    let report = world.report(&stream).await;
    let total = report.total();
    assert_eq!(
        (total.accepted, total.delivered, total.dead, total.expired),
        (Some(20), 6, 5, 9),
        "{report:?}"
    );
    assert!(report.is_balanced());
    assert_eq!(world.store.audit(&stream).await.expect("audits")[0].next, Offset(8));
}
