//! Size, age and memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::RngExt as _;
use weir_agent::WhenFull;
use weir_foundation::clock::{Clock as _, SystemClock};
use weir_model::ByteSize;
use weir_testkit::{CableState, FastClock};

use super::{Life, Node, Source, eventually, is_stuck};
use crate::door::Mood;

/// Three times as much as there is room for.
const MANY: u64 = 24_000;

/// Keeps and looks at the disk until everything is kept.
async fn keeps_many(node: &Node, life: &Life, source: &mut Source) {
    let end = source.next + MANY;
    while source.next < end {
        source.keep(&life.spool, 100, 100).await;
        node.is_within_bounds();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_keeps_waits_until_the_server_has_taken_something() {
    let node = Node::new().await;
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let mut source = Source::new(1_000);
    let server = async {
        is_stuck(&life).await;
        let stuck = life.report();
        assert!(stuck.kept < MANY && stuck.kept > 1_000, "{stuck:?}");
        assert_eq!((stuck.sent, stuck.dropped.total(), stuck.waiting), (0, 0, stuck.kept));
        node.cable.becomes(CableState::Whole);
    };
    tokio::join!(keeps_many(&node, &life, &mut source), server);
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..MANY));
    assert_eq!(life.report().dropped.total(), 0);
    // What was sent is not kept: there is room for as much again.
    keeps_many(&node, &life, &mut source).await;
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..2 * MANY));
    life.drains().await;
}

/// Neither is anything lost nor anybody else kept from waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_may_go_away() {
    let node = Node::new().await;
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let mut source = Source::new(1_000);
    tokio::select! {
        () = source.keep(&life.spool, MANY, 100) => unreachable!("there is no room"),
        () = is_stuck(&life) => {}
    }
    let kept = life.report().kept;
    for _ in 0..50 {
        assert!(life.spool.keep(source.events(200)).now_or_never().is_none());
    }
    assert_eq!(life.report().kept, kept);
    source.next = kept;
    tokio::join!(source.keep(&life.spool, 1_000, 100), async { node.cable.becomes(CableState::Whole) });
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..kept + 1_000));
    life.drains().await;
}

/// Who is cancelled at any point does not know whether it was kept; the counts do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keep_at_once_and_some_go_away() {
    let node = Node::new().await;
    let life = node.open().await;
    let (callers, calls) = (8_u64, 150_u64);
    let keeping = (0..callers).map(|caller| {
        let spool = life.spool.clone();
        async move {
            let mut source = Source::new(2_000);
            let mut kept = Vec::new();
            for call in 0..calls {
                source.next = (caller * calls + call) * 10;
                let first = source.next;
                let patience = Duration::from_micros(source.rng.random_range(0..20_000));
                let keeping = spool.keep(source.events(10));
                tokio::select! {
                    done = keeping => {
                        done.expect("there is room");
                        kept.extend(first..first + 10);
                    }
                    () = SystemClock.sleep(patience) => {}
                }
            }
            kept
        }
    });
    let kept = futures_util::future::join_all(keeping).await;
    // One more, behind all that may still be on their way.
    let mut last = Source::new(10);
    last.next = callers * calls * 10;
    last.keep(&life.spool, 1, 1).await;
    life.is_empty().await;
    let (report, numbers) = (life.report(), node.numbers());
    assert_eq!((report.kept, report.sent), (numbers.len() as u64, numbers.len() as u64));
    for (caller, kept) in (0..callers).zip(kept) {
        let range = caller * calls * 10..(caller + 1) * calls * 10;
        let arrived: Vec<u64> = numbers.iter().copied().filter(|number| range.contains(number)).collect();
        assert!(arrived.is_sorted_by(|one, other| one < other), "once and in order");
        assert!(kept.iter().all(|number| arrived.binary_search(number).is_ok()));
        assert!(kept.len() > 100, "of caller {caller}: {}", kept.len());
    }
    life.drains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_oldest_goes_while_the_server_is_away() {
    let mut node = Node::new().await;
    node.settings.when_full = WhenFull::DropOldest;
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let mut source = Source::new(1_000);
    keeps_many(&node, &life, &mut source).await;
    let report = life.report();
    assert_eq!((report.kept, report.sent, report.dropped.full), (MANY, 0, report.dropped.total()));
    assert_eq!(report.waiting + report.dropped.full, MANY);
    assert!(report.waiting > 1_000, "{report:?}");
    // The next process goes on where this one was.
    life.drains().await;
    let life = node.open().await;
    assert_eq!(life.report().waiting, report.waiting);
    node.cable.becomes(CableState::Whole);
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(report.dropped.full..MANY), "the newest, in order");
    assert_eq!((life.report().sent, life.report().dropped.total()), (report.waiting, 0));
    life.drains().await;
}

/// What is under way when more comes than there is room for is neither dropped nor sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_not_dropped() {
    for answers in [Mood::Good, Mood::Rude, Mood::Full] {
        let mut node = Node::new().await;
        node.settings.when_full = WhenFull::DropOldest;
        node.door.set(Mood::Slow);
        let life = node.open().await;
        let mut source = Source::new(1_000);
        source.keep(&life.spool, 500, 100).await;
        eventually("something is under way", || node.door.batches() > 0).await;
        keeps_many(&node, &life, &mut source).await;
        assert!(life.report().dropped.full > MANY / 2, "{:?}", life.report());
        let batches = node.door.batches();
        node.door.set(answers.clone());
        // One that is rude stores what it never answers for.
        eventually("more is sent", || node.door.batches() > batches + 4).await;
        keeps_many(&node, &life, &mut source).await;
        node.door.set(Mood::Good);
        life.is_empty().await;
        let (report, numbers) = (life.report(), node.numbers());
        assert_eq!(report.sent, numbers.len() as u64, "{answers:?}");
        assert_eq!(report.sent + report.dropped.full, source.next, "{answers:?}");
        assert!(numbers.is_sorted_by(|one, other| one < other), "{answers:?}");
        assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&(source.next - 1))), "{answers:?}");
        life.drains().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_goes_while_the_server_is_away() {
    let mut node = Node::new().await;
    node.settings.max_age = Some(Duration::from_secs(100));
    node.clock = Arc::new(FastClock::new(100));
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let mut source = Source::new(100);
    source.keep(&life.spool, 3_000, 100).await;
    assert!(life.report().oldest.is_none_or(|age| age < Duration::from_secs(100)));
    eventually("it is too old", || life.report().dropped.expired == 3_000).await;
    assert_eq!((life.report().waiting, life.report().dropped.total()), (0, 3_000));
    source.keep(&life.spool, 500, 100).await;
    node.cable.becomes(CableState::Whole);
    life.is_empty().await;
    let (report, numbers) = (life.report(), node.numbers());
    assert_eq!(report.sent + report.dropped.expired, 3_500);
    assert!(numbers.into_iter().eq(3_500 - report.sent..3_500), "the newest, in order");
    life.drains().await;
}

/// What is in memory does not grow with what is on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_whatever_waits() {
    let mut node = Node::new().await;
    node.settings.max_size = ByteSize::mib(64);
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let mut source = Source::new(1_000);
    source.keep(&life.spool, 30_000, 500).await;
    assert_eq!(life.report().memory_bytes, 0, "nobody takes it");
    node.door.set(Mood::Slow);
    node.cable.becomes(CableState::Whole);
    eventually("all that may be is under way", || node.door.batches() == 4).await;
    let most = life.report().memory_bytes;
    assert!(most > 2 << 20 && most <= 4 << 20, "{most}");
    source.keep(&life.spool, 2_000, 500).await;
    assert_eq!((life.report().memory_bytes, node.door.batches()), (most, 4), "nothing more is read");
    node.door.set(Mood::Good);
    eventually("everything is sent", || {
        assert!(life.report().memory_bytes <= 4 << 20);
        life.report().waiting == 0
    })
    .await;
    assert!(node.numbers().into_iter().eq(0..32_000));
    life.drains().await;
}
