//! Stores and journals that fail for a while.

use weir_consumer::section::ConsumerSection;
use weir_foundation::settings::SizeText;
use weir_store::DeadLetterStore;
use weir_store::memory::Durability;
use weir_testkit::{Call, Faults};

use crate::world::{World, eventually};

/// Every call fails for a while; then delivery goes on by itself and nothing is missing or there twice.
#[tokio::test]
async fn delivery_goes_on_when_a_call_works_again() {
    for call in [Call::Write, Call::PutLetters, Call::Next, Call::Commit, Call::Streams, Call::Flush] {
        let world = World::new(Durability::Immediate);
        let shop = world.stream("shop_logs", 1).await;
        let faults = Faults::none();
        let life = world.start(&faults).await;
        faults.fail(call, 7);
        let mut sent = Vec::new();
        for _ in 0..5 {
            sent.extend(world.send(&shop, "shop", &[r#"{"a":1}"#, "{}"]).await);
        }
        world.delivered().await;
        if !matches!(call, Call::Flush | Call::Streams) {
            faults.called(call, 8).await;
        }
        life.drain().await;
        assert_eq!(world.rows("shop").await.len(), 5, "{call:?}");
        assert_eq!(world.letters().await.len(), 5, "{call:?}");
        world.check_proofs().await;
        world.check_committed().await;
    }
}

/// A failing store holds back the commit and the reading, never memory, and says why.
#[tokio::test]
async fn a_failing_store_holds_back_reading() {
    let world = World::new(Durability::Immediate);
    let shop = world.stream("shop_logs", 1).await;
    let faults = Faults::none();
    faults.fail(Call::Write, u64::MAX);
    let section = ConsumerSection {
        batch: Some(SizeText::from_bytes(64 << 10)),
        in_flight: Some(SizeText::from_bytes(64 << 10)),
        ..ConsumerSection::default()
    };
    let life = world.start_with(&faults, section).await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(60 << 10));
    for _ in 0..20 {
        world.send(&shop, "shop", &[&large]).await;
        let before = faults.calls(Call::Write);
        faults.called(Call::Write, before + 1).await;
    }
    // One batch is in hand, one waits for room; the journal is not read any further.
    assert!(faults.calls(Call::Next) < 10, "{} batches were read", faults.calls(Call::Next));
    let state = life.state("consumer.deliver");
    assert!(state.contains("failed") && state.contains("the store is not available"), "{state}");
    assert!(!life.health.ready());
    assert!(world.committed().await.values().all(|committed| *committed == 0));
    faults.heal(Call::Write);
    world.delivered().await;
    eventually("it is ready again", async || life.health.ready()).await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 20);
    world.check_committed().await;
}

/// A drain ends the attempts on a store that still fails; the next life delivers.
#[tokio::test]
async fn a_drain_does_not_wait_for_a_failing_store() {
    let world = World::new(Durability::OnFlush);
    let shop = world.stream("shop_logs", 1).await;
    world.send(&shop, "shop", &[r#"{"a":1}"#]).await;
    let faults = Faults::none();
    faults.fail(Call::Write, u64::MAX);
    let life = world.start(&faults).await;
    faults.called(Call::Write, 3).await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 0);
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    life.drain().await;
    assert_eq!(world.rows("shop").await.len(), 1);
    world.check_committed().await;
}

/// Poison is buried with its bytes and its reason, and does not stop what is behind it.
#[tokio::test]
async fn poison_becomes_dead_letters() {
    let world = World::new(Durability::Immediate);
    let shop = world.stream("shop_logs", 1).await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    let mixed = world.send(&shop, "shop", &["{}", r#"{"a":1}"#, &deep, "[1]"]).await;
    let whole = world.send_bytes(&shop, bytes::Bytes::from_static(b"\xff\xff"), 7).await;
    let behind = world.send(&shop, "shop", &[r#"{"a":2}"#]).await;
    let life = world.start(&Faults::none()).await;
    world.delivered().await;
    let rows: Vec<_> = world.rows("shop").await.into_keys().collect();
    assert_eq!(rows, [mixed[1].clone(), behind[0].clone()]);
    let letters = world.letters().await;
    let summary: Vec<_> = letters
        .iter()
        .map(|letter| (letter.reason.code.as_str(), letter.events, letter.position.index))
        .collect();
    assert_eq!(summary[0], ("empty-content", 1, 0));
    assert_eq!(summary[1], ("too-deep", 1, 2));
    assert_eq!((summary[2].1, summary[2].2), (1, 3), "an array is no content: {summary:?}");
    assert_eq!(summary[3], ("undecodable-record", 7, 0));
    assert_eq!(&letters[3].original[..], b"\xff\xff");
    let deep_letter = &letters[1].original;
    assert!(deep_letter.windows(5).any(|bytes| bytes == br#"{"a":"#), "the event's own bytes are kept");
    assert_eq!(letters[0].prefix.as_ref().map(|prefix| prefix.as_str()), Some("shop"));
    assert_eq!(letters[3].prefix, None);
    assert_eq!(world.store.get(&whole[0]).await.expect("gets").as_ref(), Some(&letters[3]));
    let dead = |code: &str| {
        life.metric(&format!(r#"weir_consumer_dead_events_total{{stream="shop_logs",code="{code}"}}"#))
    };
    assert_eq!((dead("empty-content"), dead("undecodable-record")), (Some(1.0), Some(7.0)));
    assert_eq!(life.metric(r#"barito_consumer_timber_convert_error{index="no_index"}"#), Some(7.0));
    assert_eq!(life.metric(r#"weir_consumer_delivered_events_total{stream="shop_logs"}"#), Some(2.0));
    life.drain().await;
    world.check_proofs().await;
    world.check_committed().await;
}
