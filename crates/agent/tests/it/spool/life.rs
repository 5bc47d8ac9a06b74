//! Sending, ending, and beginning again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use weir_agent::{KeepError, SpoolError};
use weir_testkit::{CableState, FastClock};

use super::{Life, NAME, Node, Source, eventually, files, is_stuck};
use crate::door::{Door, Mood};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_arrives_once_and_in_order() {
    let node = Node::new().await;
    let life = node.open().await;
    let mut source = Source::new(100);
    for at_once in [1, 7, 1_000, 3_000] {
        source.keep(&life.spool, at_once * 3, at_once).await;
    }
    life.spool.keep(source.events(0)).await.expect("nothing needs no room");
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..source.next));
    let report = life.report();
    assert_eq!((report.kept, report.sent, report.dropped.total()), (source.next, source.next, 0));
    eventually("nothing waits", || life.report().oldest.is_none()).await;
    for name in ["kept", "sent"] {
        let name = format!("weir_agent_spool_{name}_events_total{{input=\"{NAME}\"}}");
        assert_eq!(life.metric(&name), source.next, "{name}");
    }
    assert!(node.door.batches() < 60, "records are merged: {}", node.door.batches());
    life.drains().await;
}

/// The time of an event is not that of its arrival.
#[tokio::test]
async fn what_has_no_time_is_from_when_it_was_kept() {
    let node = Node::new().await;
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let before = node.clock.now();
    Source::new(10).keep(&life.spool, 3, 3).await;
    let after = node.clock.now();
    node.cable.becomes(CableState::Whole);
    life.is_empty().await;
    let events = node.door.events();
    assert_eq!(events.len(), 3);
    for event in events {
        assert!(event.time >= before.into() && event.time <= after.into(), "{}", event.time);
    }
    life.drains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_is_sent_by_the_next_process() {
    let node = Node::new().await;
    let mut source = Source::new(100);
    for round in 0..4 {
        let life = node.open().await;
        assert_eq!(life.report().waiting, if round == 0 { 0 } else { 500 });
        node.cable.becomes(CableState::Whole);
        life.is_empty().await;
        node.cable.becomes(CableState::Cut);
        source.keep(&life.spool, 500, 50).await;
        life.drains().await;
    }
    node.cable.becomes(CableState::Whole);
    let life = node.open().await;
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..source.next));
    assert_eq!((life.report().kept, life.report().sent), (0, 500));
    life.drains().await;
}

/// The drain waits for what is under way, and what was stored is known by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_hears_what_became_of_what_is_under_way() {
    let node = Node::new().await;
    node.door.set(Mood::Slow);
    let life = node.open().await;
    let mut source = Source::new(100);
    source.keep(&life.spool, 500, 50).await;
    eventually("something is under way", || node.door.batches() > 0).await;
    let mut draining = Box::pin(life.drains());
    assert!(draining.as_mut().now_or_never().is_none());
    node.door.set(Mood::Good);
    draining.await;
    let arrived = node.numbers();
    assert!(!arrived.is_empty() && arrived.iter().copied().eq(0..arrived.len() as u64));
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    assert_eq!(life.report().waiting, 500 - arrived.len() as u64);
    life.drains().await;
}

/// Positions begin again in a folder that is made anew: what comes is not taken for what is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_was_lost_is_another_source() {
    let node = Node::new().await;
    let mut source = Source::new(100);
    let life = node.open().await;
    source.keep(&life.spool, 300, 10).await;
    life.is_empty().await;
    life.drains().await;
    std::fs::remove_dir_all(node.folder()).expect("it is there");
    let life = node.open().await;
    source.keep(&life.spool, 100, 10).await;
    life.is_empty().await;
    assert_eq!((life.report().sent, node.numbers().len()), (100, 400));
    assert!(node.numbers().into_iter().eq(0..400));
    life.drains().await;
}

/// A machine that was put back to an older state gives places again that the server knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_was_put_back_from_a_copy_is_another_source() {
    let node = Node::new().await;
    let copy = tempfile::tempdir().expect("there is space");
    let mut source = Source::new(100);
    for round in 0..2 {
        let life = node.open().await;
        source.keep(&life.spool, 300, 10).await;
        life.is_empty().await;
        life.drains().await;
        for file in files(&node.folder()).into_iter().filter(|_| round == 0) {
            let to = copy.path().join(file.file_name().expect("it has a name"));
            std::fs::copy(file, to).expect("there is space");
        }
    }
    std::fs::remove_dir_all(node.folder()).expect("it is there");
    std::fs::create_dir(node.folder()).expect("there is space");
    for file in files(copy.path()) {
        let to = node.folder().join(file.file_name().expect("it has a name"));
        std::fs::copy(file, to).expect("there is space");
    }
    for _ in 0..2 {
        let life = node.open().await;
        source.keep(&life.spool, 100, 10).await;
        life.is_empty().await;
        assert_eq!((life.report().sent, life.report().dropped.total()), (100, 0));
        life.drains().await;
    }
    assert!(node.numbers().into_iter().eq(0..800));
}

/// The place of the sender is in a file of its own, without which the server knows how far it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_the_sender_may_be_lost() {
    let node = Node::new().await;
    let mut source = Source::new(100);
    let life = node.open().await;
    source.keep(&life.spool, 300, 10).await;
    life.is_empty().await;
    life.drains().await;
    std::fs::write(node.folder().join("groups.db"), b"what is this?").expect("there is space");
    let life = node.open().await;
    source.keep(&life.spool, 100, 10).await;
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..400));
    assert_eq!(life.report().dropped.total(), 0);
    life.drains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_is_held_until_it_does_not() {
    let mut node = Node::new().await;
    node.clock = Arc::new(FastClock::new(100));
    node.door.set(Mood::Refusing("shop"));
    let life = node.open().await;
    let mut source = Source::new(100);
    source.keep(&life.spool, 500, 10).await;
    eventually("it says so", || life.report().trouble.is_some()).await;
    let trouble = life.report().trouble.expect("it was there");
    assert!(trouble.contains("bad-app-name"), "{trouble}");
    let batches = node.door.batches();
    eventually("it tries again", || node.door.batches() > batches).await;
    assert_eq!((life.report().waiting, life.report().dropped.total()), (500, 0));
    node.door.set(Mood::Good);
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..500));
    assert_eq!(life.report().trouble, None);
    life.drains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_server_can_not_take_is_counted_and_passed() {
    let node = Node::before(Door::taking(64 << 10).await).await;
    let life = node.open().await;
    let mut source = Source::new(1_000);
    source.keep(&life.spool, 200, 50).await;
    source.text = 100_000;
    source.keep(&life.spool, 1, 1).await;
    source.text = 1_000;
    source.keep(&life.spool, 200, 200).await;
    life.is_empty().await;
    let expected: Vec<u64> = (0..401).filter(|number| *number != 200).collect();
    assert_eq!(node.numbers(), expected);
    assert_eq!((life.report().dropped.too_large, life.report().dropped.total()), (1, 1));
    let name = format!("weir_agent_spool_dropped_events_total{{input=\"{NAME}\",reason=\"too_large\"}}");
    assert_eq!(life.metric(&name), 1);
    life.drains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_kept_is_refused() {
    let node = Node::new().await;
    let life = node.open().await;
    let keep = async |text: usize, events: u64| -> KeepError {
        let mut source = Source::new(text);
        let error = life.spool.keep(source.events(events)).await.expect_err("it can not be kept");
        assert_eq!((error.retry_after(), error.outcome_unknown()), (None, false));
        error
    };
    assert!(matches!(keep((1 << 20) + 1, 1).await, KeepError::EventTooLarge { limit: 1_048_576, .. }));
    assert!(matches!(keep(1_000, 1_100).await, KeepError::TooMuch { limit: 1_048_576, .. }));
    assert_eq!(life.report().kept, 0);
    life.drains().await;
}

#[tokio::test]
async fn a_spool_has_one_owner_and_a_name() {
    let mut node = Node::new().await;
    let life: Life = node.open().await;
    assert!(matches!(node.try_open().await, Err(SpoolError::Open(_))));
    life.drains().await;
    node.settings.name = "../etc".to_owned();
    assert!(matches!(node.try_open().await, Err(SpoolError::Name(_))));
}

/// Whoever waits when the process drains is told; what there is room for is kept all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_when_the_process_drains_is_told() {
    let node = Node::new().await;
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let spool = life.spool.clone();
    let keeping = async {
        let mut source = Source::new(1_000);
        loop {
            if let Err(error) = spool.keep(source.events(500)).await {
                return (error, source.next - 500);
            }
        }
    };
    let draining = async {
        is_stuck(&life).await;
        life.drains().await;
    };
    let ((error, kept), ()) = tokio::join!(keeping, draining);
    assert!(matches!(error, KeepError::Closing) && error.retry_after() > Some(Duration::ZERO));
    node.cable.becomes(CableState::Whole);
    let life = node.open().await;
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..kept));
    life.drains().await;
}
