//! Taking, durability, idempotence.

use weir_model::Offset;

use super::Subject;
use super::fixture::{Recording, at, hits, id, numbered, numbers, partition, partition_of, write, write_of};
use crate::error::WriteError;
use crate::seam::WriteBatch;

/// Before the first write a partition has no durable offset, no rows and no audit.
pub async fn nothing_is_known_of_a_new_partition(subject: &mut dyn Subject) {
    let store = subject.index();
    assert_eq!(store.durable(&partition(0)), None);
    if let Some(inventory) = store.inventory() {
        assert_eq!(inventory.audit(&partition(0).stream).await.expect("audits"), []);
        assert_eq!(inventory.positions(&partition(0), Offset::ZERO).await.expect("answers"), []);
    }
    assert_eq!(store.indices().await.expect("answers"), []);
    store.flush().await.expect("flushes nothing");
}

/// Written again as a whole, in part, or with more behind it, a record is found once.
pub async fn a_record_written_again_changes_nothing(subject: &mut dyn Subject) {
    let store = subject.index();
    let numbered = |range: std::ops::Range<u64>| range.map(|n| numbered("shop", n)).collect::<Vec<_>>();
    write(&*store, &partition(0), numbered(0..6)).await;
    write(&*store, &partition(0), numbered(0..6)).await;
    write(&*store, &partition(0), numbered(2..4)).await;
    write(&*store, &partition(0), numbered(4..9)).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    store.flush().await.expect("flushes");
    write(&*store, &partition(0), numbered(3..11)).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    let committed = store.durable(&partition(0)).expect("was flushed");
    assert!(committed >= Offset(9), "a flush made everything durable, not {committed}");
    subject.reopen().await;
    let store = subject.index();
    let start = store.resume(&partition(0), committed);
    assert!(start >= committed, "what was durable is, beyond {start}");
    write(&*store, &partition(0), numbered(0..11)).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

/// Records that start behind what the store expects are not taken, and the store says what it expects.
pub async fn a_gap_is_refused(subject: &mut dyn Subject) {
    let store = subject.index();
    write(&*store, &partition(0), vec![numbered("shop", 0), numbered("shop", 1)]).await;
    let outcome = store.write(write_of(&partition(0), vec![numbered("shop", 3)])).await;
    match outcome {
        Err(WriteError::Gap { expected, got }) => assert_eq!((expected, got), (Offset(2), Offset(3))),
        other => panic!("a gap is refused, not answered with {other:?}"),
    }
    assert_eq!(numbers(&*store, "shop", "*").await, [1, 0]);
    write(&*store, &partition(0), vec![numbered("shop", 2), numbered("shop", 3)]).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [3, 2, 1, 0]);
}

/// Offsets that hold nothing any more are passed, before, between and behind records.
pub async fn losses_are_passed(subject: &mut dyn Subject) {
    let store = subject.index();
    let pass = async |from: u64, records: Vec<u64>, next: u64| {
        let records = records.into_iter().map(|n| numbered("shop", n)).collect();
        let batch = WriteBatch {
            partition: partition(0),
            from: Offset(from),
            records,
            next: Offset(next),
            more: false,
        };
        store.write(batch).await.expect("is taken");
    };
    pass(0, vec![], 5).await;
    pass(5, vec![6, 9], 12).await;
    pass(12, vec![12], 13).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [12, 9, 6]);
    store.flush().await.expect("flushes");
    assert_eq!(store.durable(&partition(0)), Some(Offset(13)));
    pass(13, vec![], 20).await;
    store.flush().await.expect("flushes");
    assert_eq!(store.durable(&partition(0)), Some(Offset(20)));
    subject.reopen().await;
    assert_eq!(subject.index().resume(&partition(0), Offset(20)), Offset(20));
    assert_eq!(subject.index().durable(&partition(0)), Some(Offset(20)));
}

/// What is durable never goes back, is all there after a restart, and covers what a flush covered.
pub async fn durable_is_contiguous_and_survives(subject: &mut dyn Subject) {
    let mut least = Offset::ZERO;
    for round in 0..4_u64 {
        let store = subject.index();
        let start = store.durable(&partition(0)).unwrap_or(Offset::ZERO);
        assert!(start >= least, "durable went back from {least} to {start}");
        write(&*store, &partition(0), (start.0..start.0 + 5).map(|n| numbered("shop", n)).collect()).await;
        if round % 2 == 0 {
            store.flush().await.expect("flushes");
            assert_eq!(store.durable(&partition(0)), Some(Offset(start.0 + 5)));
        }
        let before = store.durable(&partition(0)).unwrap_or(Offset::ZERO);
        subject.reopen().await;
        let store = subject.index();
        least = store.resume(&partition(0), before);
        assert!(least >= before, "a restart took durable back from {before} to {least}");
        let expected: Vec<u64> = (0..least.0).rev().collect();
        let found = numbers(&*store, "shop", "*").await;
        assert_eq!(found, expected, "exactly what is durable is there after a restart");
    }
}

/// Rows that a restart took are written again from `durable`, next to rows that it left, of several prefixes.
pub async fn what_was_not_durable_can_be_written_again(subject: &mut dyn Subject) {
    let record = |n: u64| numbered(if n.is_multiple_of(2) { "even" } else { "odd" }, n);
    write(&*subject.index(), &partition(0), (0..4).map(record).collect()).await;
    subject.index().flush().await.expect("flushes");
    let committed = subject.index().durable(&partition(0)).expect("was flushed");
    write(&*subject.index(), &partition(0), (4..9).map(record).collect()).await;
    subject.reopen().await;
    let store = subject.index();
    let durable = store.resume(&partition(0), committed);
    write(&*store, &partition(0), (durable.0..9).map(record).collect()).await;
    for when in ["in memory", "durable"] {
        assert_eq!(numbers(&*store, "even", "*").await, [8, 6, 4, 2, 0], "{when}");
        assert_eq!(numbers(&*store, "odd", "*").await, [7, 5, 3, 1], "{when}");
        store.flush().await.expect("flushes");
    }
}

/// Who waits for progress hears of it.
pub async fn progress_is_announced(subject: &mut dyn Subject) {
    let store = subject.index();
    let mut progress = store.progress();
    progress.borrow_and_update();
    write(&*store, &partition(0), vec![numbered("shop", 0)]).await;
    store.flush().await.expect("flushes");
    progress.changed().await.expect("the store lives");
    assert_eq!(store.durable(&partition(0)), Some(Offset(1)));
}

/// The same offsets of other partitions, lives and streams are other events.
pub async fn partitions_and_lives_are_apart(subject: &mut dyn Subject) {
    let store = subject.index();
    let places = [
        partition_of("cafe_logs", 1, 0),
        partition_of("shop_logs", 1, 0),
        partition_of("shop_logs", 1, 1),
        partition_of("shop_logs", 2, 0),
    ];
    for place in &places {
        let record = Recording::new("shop").event(at(0), r#"{"a":1}"#).at_offset(0);
        write(&*store, place, vec![record]).await;
    }
    for when in ["in memory", "durable"] {
        let found: Vec<_> = hits(&*store, "*").await.into_iter().map(|hit| hit.id).collect();
        let expected: Vec<_> = places.iter().rev().map(|place| id(place, 0, 0)).collect();
        assert_eq!(found, expected, "{when}");
        store.flush().await.expect("flushes");
    }
    for place in &places {
        assert_eq!(store.durable(place), Some(Offset(1)));
    }
}

/// An event with a fault has a position and no row; its neighbours keep theirs.
pub async fn faulty_events_are_passed_over(subject: &mut dyn Subject) {
    let store = subject.index();
    let mixed = Recording::new("shop").fault().event(at(1), r#"{"n":1}"#).fault().event(at(3), r#"{"n":3}"#);
    let faults = Recording::new("shop").fault().fault();
    write(&*store, &partition(0), vec![mixed.at_offset(0), faults.at_offset(1)]).await;
    let found: Vec<_> = hits(&*store, "*").await.into_iter().map(|hit| hit.id).collect();
    assert_eq!(found, [id(&partition(0), 0, 3), id(&partition(0), 0, 1)]);
    store.flush().await.expect("flushes");
    assert_eq!(store.durable(&partition(0)), Some(Offset(2)));
}

/// Two hundred partitions with rows of their own.
pub async fn many_partitions_are_kept_apart(subject: &mut dyn Subject) {
    let store = subject.index();
    for round in 0..3_u64 {
        for index in 0..200 {
            write(&*store, &partition(index), vec![numbered("shop", round)]).await;
        }
    }
    store.flush().await.expect("flushes");
    subject.reopen().await;
    let store = subject.index();
    assert_eq!(hits(&*store, "*").await.len(), 600);
    assert_eq!(hits(&*store, "n:2").await.len(), 200);
    assert!((0..200).all(|index| store.resume(&partition(index), Offset(3)) == Offset(3)));
    assert!((0..200).all(|index| store.durable(&partition(index)) == Some(Offset(3))));
    if let Some(inventory) = store.inventory() {
        assert_eq!(inventory.audit(&partition(0).stream).await.expect("audits").len(), 200);
    }
}
