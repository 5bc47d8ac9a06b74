//! Death between any two steps: whatever was acknowledged is delivered exactly once by the lives that follow.

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_consumer::section::ConsumerSection;
use weir_foundation::settings::SizeText;
use weir_model::EventId;
use weir_store::memory::Durability;
use weir_testkit::{Call, Faults};

use crate::world::World;

/// What was sent: the ids of healthy events, and of those that must die.
#[derive(Debug, Default)]
struct Sent {
    healthy: BTreeSet<EventId>,
    dying: BTreeSet<EventId>,
}

/// Two streams, three partitions, two prefixes in one partition, poison of every kind.
async fn send(world: &World) -> Sent {
    let (shop, cafe) = (world.stream("shop_logs", 2).await, world.stream("cafe_logs", 1).await);
    let mut sent = Sent::default();
    // So large that each record is a step of its own.
    let ballast = "x".repeat(40 << 10);
    for round in 0..3 {
        let numbered = format!(r#"{{"round":{round},"ballast":"{ballast}"}}"#);
        sent.healthy.extend(world.send(&shop, "shop", &[&numbered, &numbered, &numbered]).await);
        sent.healthy.extend(world.send(&shop, "other", &[&numbered]).await);
        let mixed = world.send(&cafe, "shop", &[&numbered, "{}", "no json", &numbered]).await;
        sent.healthy.extend([mixed[0].clone(), mixed[3].clone()]);
        sent.dying.extend([mixed[1].clone(), mixed[2].clone()]);
        let whole = world.send_bytes(&cafe, Bytes::from_static(b"\xff\xffnot a record"), 3).await;
        sent.dying.insert(whole[0].clone());
    }
    sent
}

async fn check(world: &World, sent: &Sent, when: &str) {
    let mut rows: BTreeSet<EventId> = world.rows("shop").await.into_keys().collect();
    rows.extend(world.rows("other").await.into_keys());
    let letters: BTreeSet<EventId> =
        world.letters().await.into_iter().map(|letter| EventId(letter.position)).collect();
    assert_eq!(letters, sent.dying, "{when}");
    assert_eq!(rows, sent.healthy, "{when}");
    world.check_proofs().await;
    world.check_committed().await;
}

/// Whether the life ended before everything was done.
async fn live(world: &World, faults: &Faults) -> bool {
    let small = ConsumerSection { batch: Some(SizeText::from_bytes(64 << 10)), ..ConsumerSection::default() };
    let life = tokio::select! {
        biased;
        () = faults.crashed() => return true,
        life = world.start_with(faults, small) => life,
    };
    tokio::select! {
        biased;
        () = faults.crashed() => {
            life.die().await;
            return true;
        }
        () = async {
            // The first answer assigns all partitions, which is done with when the second is asked for.
            faults.called(Call::Next, 2).await;
            world.delivered().await;
        } => {}
    }
    life.drain_or_die(faults).await
}

async fn sweep(durability: Durability, refuses: fn(&weir_model::Position) -> bool) {
    for crossing in 0.. {
        let mut world = World::new(durability);
        world.refuses = refuses;
        let mut sent = send(&world).await;
        let refused: Vec<EventId> = sent.healthy.iter().filter(|id| refuses(&id.0)).cloned().collect();
        sent.healthy.retain(|id| !refuses(&id.0));
        sent.dying.extend(refused);
        let crashed = live(&world, &Faults::crash_at(crossing)).await;
        if crashed {
            world.crash();
            // Dies again, at a step that the crossing's number spreads over all.
            if live(&world, &Faults::crash_at(crossing / 2)).await {
                world.crash();
            }
            assert!(!live(&world, &Faults::none()).await);
        }
        check(&world, &sent, &format!("crash at crossing {crossing}")).await;
        if !crashed {
            assert!(crossing > 30, "a life has more steps than {crossing}");
            return;
        }
    }
}

#[tokio::test]
async fn a_store_that_is_durable_at_once() {
    sweep(Durability::Immediate, |_| false).await;
}

#[tokio::test]
async fn a_store_that_is_durable_when_flushed() {
    sweep(Durability::OnFlush, |_| false).await;
}

#[tokio::test]
async fn a_store_that_refuses_events() {
    sweep(Durability::OnFlush, |position| position.offset.0 % 3 == 1 && position.index == 0).await;
}
