use std::time::Duration;

use futures_util::future::join_all;
use weir_auth::pki::PrivateKey;
use weir_auth::token::Audience;
use weir_fleet::MaintainError;
use weir_foundation::clock::{Clock, ManualClock};
use weir_foundation::failure::Failure;

use crate::recovering::recover;
use crate::support::{DAY, HOUR, admin, open, settings, world};

/// Processes that find at the same time that something is due do it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_does_the_others_find_done() {
    let world = world().await;
    let fleets = [world.fleet.clone(), world.another().await, world.another().await];
    for _ in 0..10 {
        world.clock.advance(31 * DAY);
        let now = world.clock.now();
        for maintained in join_all(fleets.iter().map(|fleet| fleet.maintain(now))).await {
            maintained.expect("one of them does it");
        }
        let mut seen = Vec::new();
        for fleet in &fleets {
            fleet.refresh().await.expect("read");
            let instance = fleet.instance();
            assert!(instance.signing_keys.len() <= 2, "{:?}", instance.signing_keys);
            assert_eq!(instance.signing_keys.iter().filter(|key| key.made == now).count(), 1);
            seen.push((instance.issuing_until, instance.signing_keys));
        }
        assert!(seen.iter().all(|of| *of == seen[0]));
    }
}

/// A process that was away for a year goes on as soon as it is opened.
#[tokio::test]
async fn a_long_sleep_does_no_harm() {
    let world = world().await;
    world.clock.advance(365 * DAY);
    world.fleet.server_identity(&[]).expect_err("nobody renewed anything");
    let (fleet, _) = open(world.state.clone(), &world.clock).await;
    let server = fleet.server_identity(&[]).expect("it was renewed");
    assert!(fleet.is_current(&server));
    let key = fleet.create_key(&crate::support::spec(), &admin()).await.expect("created");
    let node = crate::support::Node::join(&fleet, &key.key, "node").await.expect("welcome");
    assert!(node.connects(&fleet, &server.identity, &world.clock));
    let (token, _) = fleet.token(node.shown()).await.expect("it is welcome");
    fleet.admit(&token, Audience::Ingest, None).expect("it is good");
}

/// At the end of a root's life certificates end with it, nothing else stops, and a change of the root helps.
#[tokio::test]
async fn a_root_that_ends_is_told_and_can_be_changed() {
    let world = world().await;
    let fleet = &world.fleet;
    let end = world.clock.now() + settings().root_life;
    while end.duration_since(world.clock.now()).expect("it is to come") > 20 * DAY {
        world.pass(10 * DAY).await;
    }
    assert_eq!(fleet.instance().issuing_until, end);
    let left = |time: std::time::SystemTime| end.duration_since(time).expect("not beyond the end");
    while left(world.clock.now()) > 12 * HOUR {
        world.pass(6 * HOUR).await;
    }
    let mut node = world.node("node").await;
    assert_eq!(left(node.shown().not_after()), Duration::ZERO);
    fleet.begin_rotation(&admin()).await.expect("begun");
    fleet.switch_rotation(&admin()).await.expect("switched");
    world.pass(HOUR).await;
    node.renew(fleet).await.expect("it may");
    fleet.check_certificate(node.shown()).await.expect("it is good");
    // Nobody finished it in time.
    world.clock.advance(20 * HOUR);
    node.renew(fleet).await.expect("it may");
    world.clock.advance(40 * DAY);
    let signing = fleet.instance().signing_keys;
    let failed = fleet.maintain(world.clock.now()).await.expect_err("the old root has ended");
    assert!(matches!(failed, MaintainError::Issue(_)) && failed.code() == "instance-keys", "{failed}");
    assert_ne!(fleet.instance().signing_keys, signing, "the rest is done");
    assert!(fleet.instance().issuing_until > world.clock.now());
    fleet.finish_rotation(weir_fleet::Finish::WhenReady, &admin()).await.expect("nobody needs it");
    fleet.maintain(world.clock.now()).await.expect("all is well");
    let server = fleet.server_identity(&[]).expect("issued").identity;
    assert!(world.node("another").await.connects(fleet, &server, &world.clock));
}

/// What was made while a clock was ahead is made anew when it has come back, for nobody accepts it.
#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_breaks_nothing() {
    for ahead in [DAY, 20 * DAY, 60 * DAY, 400 * DAY] {
        let world = world().await;
        let before = world.node("before").await;
        world.pass(ahead).await;
        world.fleet.maintain(world.clock.now()).await.expect("maintained");
        let shown_ahead = world.fleet.server_identity(&[]).expect("issued");
        let meanwhile = world.node("meanwhile").await;
        let clock = ManualClock::new(world.clock.now() - ahead + HOUR);
        let (fleet, _) = open(world.state.clone(), &clock).await;
        fleet.maintain(clock.now()).await.expect("maintained");
        assert!(!fleet.is_current(&shown_ahead), "{ahead:?}");
        let server = fleet.server_identity(&[]).expect("issued").identity;
        // Who could not have come back in that time was forgotten.
        if ahead < 30 * DAY {
            assert!(before.connects(&fleet, &server, &clock), "{ahead:?}");
            let (token, _) = fleet.token(before.shown()).await.expect("issued");
            fleet.admit(&token, Audience::Ingest, None).expect("it is good");
        }
        assert!(!meanwhile.connects(&fleet, &server, &clock), "its certificate is of a time to come");
        let recovered = recover(&fleet, &meanwhile, &PrivateKey::generate()).await.expect("it has the key");
        assert!(recovered.connects(&fleet, &server, &clock), "{ahead:?}");
    }
}
