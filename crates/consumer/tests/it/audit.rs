//! The proofs see what is wrong.

use std::collections::BTreeMap;

use weir_consumer::audit::{Verdict, audit_shared};
use weir_consumer::verify::{Fates, verify, verify_by_id};
use weir_journal::{Journal, StreamPattern};
use weir_model::{Day, EventBatchBuilder, EventId, IndexPrefix, Offset, StreamName};
use weir_store::memory::Durability;
use weir_store::{DeadLetterStore, IndexStore, PositionRun, WriteBatch, WriteRecord};
use weir_testkit::Faults;

use crate::world::{RECEIVED, World};

async fn delivered_world() -> (World, StreamName) {
    let world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 1).await;
    for _ in 0..5 {
        world.send(&stream, "shop", &[r#"{"a":1}"#, r#"{"a":2}"#, "{}"]).await;
    }
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.drain().await;
    (world, stream)
}

/// A record that nobody sent, with so many events.
async fn invent(world: &World, offset: u64, events: usize) {
    let mut builder = EventBatchBuilder::with_capacity(events, 0);
    for _ in 0..events {
        builder.begin_event();
        builder.start_object().expect("is shallow");
        builder.key("invented").expect("is short");
        builder.bool(true);
        builder.end().expect("was started");
        builder.finish_event(RECEIVED, 0..0);
    }
    let partition = world.journal.streams().await.expect("lists")[0].partitions[0].partition.clone();
    let events = builder.build(IndexPrefix::new("shop").expect("is legal"), bytes::Bytes::new());
    let record = WriteRecord { offset: Offset(offset), received: RECEIVED, events };
    let batch = WriteBatch {
        partition,
        from: Offset(offset),
        records: vec![record],
        next: Offset(offset + 1),
        more: false,
    };
    world.store.write(batch).await.expect("takes");
}

#[tokio::test]
async fn a_sound_store_is_proved() {
    let (world, stream) = delivered_world().await;
    world.check_proofs().await;
    let proofs = verify(&world.journal, &*world.store, &*world.store, &stream).await.expect("compares");
    assert_eq!(proofs.iter().map(|proof| proof.found).sum::<u64>(), 15);
    assert_eq!(world.report(&stream).await.total().verdict(), Verdict::Balanced);
    let nobody = StreamName::new("nobody_logs").expect("is legal");
    assert_eq!(verify(&world.journal, &*world.store, &*world.store, &nobody).await.expect("compares"), []);
}

#[tokio::test]
async fn an_invented_row_is_surplus() {
    let (world, stream) = delivered_world().await;
    invent(&world, 5, 2).await;
    assert_eq!(world.report(&stream).await.total().verdict(), Verdict::Surplus(2));
    let proofs = verify(&world.journal, &*world.store, &*world.store, &stream).await.expect("compares");
    let run = PositionRun { offset: Offset(5), first_index: 0, count: 2 };
    assert_eq!((proofs[0].surplus.events, proofs[0].surplus.first.as_slice()), (2, [run].as_slice()));
    assert!(!proofs[0].holds());
}

/// Three records with two events each, of which the store has none of the first and one of the second.
async fn leave_out(world: &World, stream: &StreamName) {
    for _ in 0..3 {
        world.send(stream, "shop", &[r#"{"a":1}"#, r#"{"a":2}"#]).await;
    }
    let partition = world.journal.streams().await.expect("lists")[0].partitions[0].partition.clone();
    let skipped =
        WriteBatch { partition, from: Offset(0), records: Vec::new(), next: Offset(1), more: false };
    world.store.write(skipped).await.expect("takes");
    invent(world, 1, 1).await;
}

/// The store passed offsets that the journal has, without their events.
#[tokio::test]
async fn a_row_that_is_not_there_is_missing() {
    let world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 1).await;
    leave_out(&world, &stream).await;
    assert_eq!(world.report(&stream).await.total().verdict(), Verdict::Missing(3));
    let proofs = verify(&world.journal, &*world.store, &*world.store, &stream).await.expect("compares");
    let run = |offset, first_index, count| PositionRun { offset: Offset(offset), first_index, count };
    assert_eq!(proofs[0].missing.first, [run(0, 0, 2), run(1, 1, 1)]);
    assert_eq!((proofs[0].found, proofs[0].explained), (1, 0));
    assert!(!proofs[0].holds());
}

/// Retention and purging explain what is missing, and change no account.
#[tokio::test]
async fn what_was_removed_on_purpose_is_explained() {
    let (world, stream) = delivered_world().await;
    let letters = world.letters().await;
    let ids: Vec<EventId> = letters.iter().take(2).map(|letter| EventId(letter.position.clone())).collect();
    assert_eq!(world.store.purge(&ids).await.expect("purges"), 2);
    let proofs = verify(&world.journal, &*world.store, &*world.store, &stream).await.expect("compares");
    assert_eq!((proofs[0].missing.events, proofs[0].explained, proofs[0].holds()), (2, 2, true));
    let tomorrow = Day::from_number(RECEIVED.day().number() + 1);
    assert_eq!(world.store.drop_before(None, tomorrow).await.expect("drops"), 10);
    let proofs = verify(&world.journal, &*world.store, &*world.store, &stream).await.expect("compares");
    assert_eq!((proofs[0].missing.events, proofs[0].explained, proofs[0].holds()), (12, 12, true));
    let total = world.report(&stream).await.total();
    assert_eq!((total.verdict(), total.delivered, total.dropped, total.dead), (Verdict::Balanced, 10, 10, 5));
}

/// A store that keeps no list of its rows.
async fn asked(world: &World, stream: &StreamName, passed: &[u64]) -> Vec<Fates> {
    let partitions = world.journal.streams().await.expect("lists").remove(0).partitions;
    let partitions = partitions.into_iter().map(|bounds| bounds.partition);
    let passed: BTreeMap<_, _> = partitions.zip(passed.iter().copied().map(Offset)).collect();
    let fates = verify_by_id(&world.journal, &*world.store, &*world.store, stream, &passed).await;
    fates.expect("compares")
}

#[tokio::test]
async fn every_event_is_asked_for_as_far_as_the_group_has_come() {
    let (world, stream) = delivered_world().await;
    let fates = asked(&world, &stream, &[5]).await;
    assert_eq!((fates[0].proof.found, fates[0].proof.dead, fates[0].waiting), (15, 5, 0));
    assert!(fates[0].proof.holds());
    let fates = asked(&world, &stream, &[2]).await;
    assert_eq!((fates[0].proof.found, fates[0].proof.dead, fates[0].waiting), (6, 2, 9));
    // Never committed: all of it is still on its way.
    let fates = asked(&world, &stream, &[]).await;
    assert_eq!((fates[0].proof.found, fates[0].waiting, fates[0].proof.holds()), (0, 15, true));
}

#[tokio::test]
async fn what_is_asked_for_and_not_there_is_missing() {
    let world = World::new(Durability::Immediate);
    let stream = world.stream("shop_logs", 1).await;
    leave_out(&world, &stream).await;
    // The record at 2 has two events, the store three of it.
    invent(&world, 2, 3).await;
    let fates = asked(&world, &stream, &[2]).await;
    let proof = &fates[0].proof;
    let run = |offset, first_index, count| PositionRun { offset: Offset(offset), first_index, count };
    assert_eq!(proof.missing.first, [run(0, 0, 2), run(1, 1, 1)]);
    assert_eq!((proof.found, proof.surplus.events, fates[0].waiting, proof.holds()), (1, 0, 2, false));
    let fates = asked(&world, &stream, &[3]).await;
    assert_eq!(fates[0].proof.surplus.first, [run(2, 2, 1)]);
}

#[tokio::test]
async fn a_purged_letter_explains_what_is_asked_for_in_vain() {
    let (world, stream) = delivered_world().await;
    let letters = world.letters().await;
    let ids: Vec<EventId> = letters.iter().take(2).map(|letter| EventId(letter.position.clone())).collect();
    assert_eq!(world.store.purge(&ids).await.expect("purges"), 2);
    let proof = &asked(&world, &stream, &[5]).await[0].proof;
    assert_eq!((proof.missing.events, proof.explained, proof.dead, proof.holds()), (2, 2, 3, true));
}

/// As over Kafka, where others write too.
#[tokio::test]
async fn without_counts_it_is_told_what_is_dead_and_whether_all_is_done() {
    let (world, stream) = delivered_world().await;
    world.stream("other", 1).await;
    let pattern = StreamPattern { prefix: String::new(), suffix: "_logs".to_owned() };
    let report = async |group: &str| {
        let group_of = |_: &StreamName| group.to_owned();
        let reports = audit_shared(&world.journal, &*world.store, &pattern, group_of).await.expect("audits");
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.into_iter().next().expect("it is there")
    };
    let found = report("weir-index").await;
    assert_eq!(
        (&found.stream, found.dead, found.expired, found.lost, found.is_done),
        (&stream, 5, 0, 0, true)
    );
    assert_eq!(found.passed.values().collect::<Vec<_>>(), [&Offset(5)]);
    let found = report("nobody").await;
    assert_eq!((found.passed.len(), found.is_done), (0, false));
}
