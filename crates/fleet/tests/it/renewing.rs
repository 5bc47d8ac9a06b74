use std::sync::Arc;

use futures_util::future::join;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_auth::pki::{Certificate, PrivateKey};
use weir_fleet::{AgentState, RenewError, RenewRequest, RevocationReason};
use weir_foundation::clock::Clock;
use weir_foundation::failure::{Disposition, Failure};

use weir_state::{Kind, State};

use crate::support::{DAY, HOUR, MINUTE, Node, World, admin, agent, out, world};

#[track_caller]
fn is_clone(refused: &RenewError) {
    assert!(matches!(refused, RenewError::Cloned(_)), "{refused:?}");
    assert_eq!((refused.code(), refused.disposition()), ("clone-detected", Disposition::GiveUp));
}

fn is_locked(fleet: &weir_fleet::Fleet, name: &str) -> bool {
    matches!(out(fleet, &agent(name)), Some(RevocationReason::Cloned { .. }))
}

/// Years of renewals, each of them used for a connection; authorities and signing keys come and go meanwhile.
#[tokio::test]
async fn an_agent_goes_on_for_years() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let world = world().await;
    let fleet = &world.fleet;
    let mut node = world.node("node").await;
    let mut server = fleet.server_identity(&[]).expect("issued");
    let (first_authority, began) = (fleet.instance().issuing_until, world.clock.now());
    for life in 2..=900 {
        // At six tenths of the life and some chance.
        let wait = node.renew_at.duration_since(world.clock.now()).expect("it is to come");
        world.pass(wait + MINUTE * random.random_range(0..120)).await;
        if !fleet.is_current(&server) {
            server = fleet.server_identity(&[]).expect("issued");
        }
        assert!(node.connects(fleet, &server.identity, &world.clock), "life {life}");
        node.renew(fleet).await.expect("it is time");
        assert_eq!(node.generation, life);
        assert!(node.connects(fleet, &server.identity, &world.clock), "life {life}");
        fleet.check_certificate(node.shown()).await.expect("it is good");
    }
    assert!(world.clock.now().duration_since(began).expect("time passed") > 500 * DAY);
    assert!(fleet.instance().issuing_until > first_authority + 400 * DAY);
    assert_eq!(fleet.agent(&node.name).map(|view| view.state), Some(AgentState::Good));
    // What is kept of it does not grow.
    assert!(kept(&world).await < 4_000);
}

/// The answer is lost again and again; in the end it comes.
#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut node = world.node("node").await;
    for round in 1..=5_u64 {
        world.clock.advance(14 * HOUR);
        let next = PrivateKey::generate();
        let mut last = None;
        for _ in 0..20 {
            let member = node.ask(fleet, &next).await.expect("it is time");
            assert_eq!((member.generation, member.chain[0].pin()), (round + 1, next.pin()));
            world.clock.advance(5 * MINUTE);
            last = Some(member);
        }
        node = Node::of(last.expect("it was asked for"), &next);
        fleet.check_certificate(node.shown()).await.expect("it is good");
        assert!(kept(&world).await < 4_000);
    }
    assert_eq!(out(fleet, &node.name), None);
}

/// Bytes that are kept of the agent.
async fn kept(world: &World) -> usize {
    let entry = world.state.get(Kind::new("agent"), "node").await.expect("read").expect("it is there");
    entry.value.len()
}

/// The same question on two connections at once is one renewal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_question_twice_at_once_is_one_renewal() {
    let world = world().await;
    let other = world.another().await;
    let mut node = world.node("node").await;
    for round in 2..=20 {
        world.clock.advance(14 * HOUR);
        let next = PrivateKey::generate();
        let (one, two) = join(node.ask(&world.fleet, &next), node.ask(&other, &next)).await;
        let (one, two) = (one.expect("it is time"), two.expect("it is the same"));
        assert_eq!((one.generation, two.generation), (round, round));
        node = Node::of(if round % 2 == 0 { one } else { two }, &next);
    }
    assert_eq!(out(&world.fleet, &node.name), None);
}

/// A copy that renews after the agent did, and one that was faster.
#[tokio::test]
async fn a_copy_that_renews_locks_both() {
    for copy_is_first in [true, false] {
        let world = world().await;
        let fleet = &world.fleet;
        let mut node = world.node("node").await;
        world.clock.advance(14 * HOUR);
        node.renew(fleet).await.expect("it is time");
        let mut copy = node.copy();
        world.clock.advance(14 * HOUR);
        let (first, second) = if copy_is_first { (&mut copy, &mut node) } else { (&mut node, &mut copy) };
        first.renew(fleet).await.expect("nothing shows yet");
        assert_eq!(out(fleet, &first.name), None);
        is_clone(&second.renew(fleet).await.expect_err("it was renewed by another"));
        assert!(is_locked(fleet, "node"));
        for one in [first, second] {
            let refused = one.renew(fleet).await.expect_err("both are out");
            assert!(matches!(refused, RenewError::Revoked(RevocationReason::Cloned { .. })), "{refused:?}");
            let refused = fleet.check_certificate(one.shown()).await.expect_err("both are out");
            assert_eq!(refused.code(), "agent-revoked");
        }
    }
}

/// They ask at the same moment, with keys of their own, at two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_renew_at_once_are_both_out() {
    for _ in 0..20 {
        let world = world().await;
        let other = world.another().await;
        let node = world.node("node").await;
        let copy = node.copy();
        world.clock.advance(14 * HOUR);
        let keys = [PrivateKey::generate(), PrivateKey::generate()];
        let (one, two) = join(node.ask(&world.fleet, &keys[0]), copy.ask(&other, &keys[1])).await;
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        is_clone(&one.and(two).expect_err("one of them is"));
        world.fleet.refresh().await.expect("read");
        assert!(is_locked(&world.fleet, "node"));
    }
}

/// A copy of long ago whose certificate is still good, and which is not noted any more.
#[tokio::test]
async fn a_copy_of_long_ago_locks_too() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut node = world.node("node").await;
    let mut copies = vec![node.copy()];
    for _ in 0..7 {
        world.clock.advance(2 * HOUR);
        node.renew(fleet).await.expect("it may");
        copies.push(node.copy());
    }
    let (mut first, mut last) = (copies.remove(0), copies.pop().expect("there are several"));
    is_clone(&first.renew(fleet).await.expect_err("it is a copy"));
    assert!(is_locked(fleet, "node"));
    assert!(matches!(last.renew(fleet).await, Err(RenewError::Revoked(_))), "the right one is out too");
}

/// Whoever says another generation than its certificate has put it together from two machines.
#[tokio::test]
async fn a_wrong_generation_locks() {
    for said in [0, 1, 3, u64::MAX] {
        let world = world().await;
        let mut node = world.node("node").await;
        world.clock.advance(14 * HOUR);
        node.renew(&world.fleet).await.expect("it is time");
        assert_eq!(node.generation, 2);
        world.clock.advance(14 * HOUR);
        node.generation = said;
        is_clone(&node.renew(&world.fleet).await.expect_err("it does not fit"));
        assert!(is_locked(&world.fleet, "node"));
    }
}

#[tokio::test]
async fn bad_questions_change_nothing() {
    let world = world().await;
    let (fleet, node) = (&world.fleet, world.node("node").await);
    let elsewhere = crate::support::world().await;
    let foreign = elsewhere.node("node").await;
    let fresh = PrivateKey::generate().request();
    let check = async |shown: &Certificate, csr: &[u8], code: &str| {
        let refused = fleet.renew(RenewRequest { shown, generation: 1, csr }).await.expect_err("it is bad");
        assert_eq!(refused.code(), code, "{refused}");
    };
    let same = PrivateKey::from_pkcs8(&node.key).expect("it is a key").request();
    check(node.shown(), &fresh, "too-early").await;
    check(node.shown(), &same, "bad-csr").await;
    world.clock.advance(14 * HOUR);
    check(node.shown(), b"", "bad-csr").await;
    check(node.shown(), &fresh[..fresh.len() - 1], "bad-csr").await;
    check(node.shown(), &same, "bad-csr").await;
    check(foreign.shown(), &fresh, "unknown-certificate").await;
    check(&node.roots[0], &fresh, "unknown-certificate").await;
    let server = fleet.server_identity(&[]).expect("issued").identity;
    check(server.certificate(), &fresh, "unknown-certificate").await;
    assert_eq!(
        fleet.agent(&node.name).map(|view| (view.state, view.generation)),
        Some((AgentState::Good, 1))
    );
    world.clock.advance(11 * HOUR);
    check(node.shown(), &fresh, "certificate-expired").await;
    assert_eq!(out(fleet, &node.name), None);
    world.pass(31 * DAY).await;
    check(node.shown(), &fresh, "unknown-agent").await;
}

#[tokio::test]
async fn too_early_says_when() {
    let world = world().await;
    let mut node = world.node("node").await;
    let refused = node.renew(&world.fleet).await.expect_err("it has one");
    let Disposition::RetryAfter(wait) = refused.disposition() else {
        unreachable!("it may, later: {refused:?}")
    };
    assert!(wait <= 2 * MINUTE, "{wait:?}");
    world.clock.advance(wait);
    node.renew(&world.fleet).await.expect("it is time");
}

#[tokio::test]
async fn who_was_revoked_does_not_renew() {
    let world = world().await;
    let (fleet, mut node) = (&world.fleet, world.node("node").await);
    world.clock.advance(14 * HOUR);
    let long = "ä".repeat(1000);
    fleet.revoke_agent(&node.name, &long, &admin()).await.expect("revoked");
    let refused = node.renew(fleet).await.expect_err("it is out");
    let RenewError::Revoked(RevocationReason::Operator { by, note }) = refused else {
        unreachable!("{refused:?}")
    };
    assert_eq!((by, note.len()), (admin(), 500), "notes are cut");
    fleet.revoke_agent(&node.name, "again", &admin()).await.expect("it is out already");
    assert!(
        matches!(out(fleet, &node.name), Some(RevocationReason::Operator { note, .. }) if note != "again")
    );
}

/// Random lives with lost answers, two processes and copies: the agent is locked as soon as both it and a copy renewed
/// the same certificate, and never without a copy.
#[tokio::test]
async fn only_copies_lock() {
    for round in 0..40_u64 {
        let seed: u64 = rand::random();
        eprintln!("round {round} seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let world = world().await;
        let fleets = [world.fleet.clone(), world.another().await];
        let mut node = world.node("node").await;
        let mut copy: Option<Node> = None;
        let (mut copied, mut caught) = (false, false);
        for _ in 0..30 {
            world.pass(HOUR * random.random_range(1..20)).await;
            if node.shown().not_after() < world.clock.now() {
                break;
            }
            let fleet = &fleets[random.random_range(0..2)];
            match random.random_range(0..10) {
                0 if copy.is_none() && !copied => copy = Some(node.copy()),
                1 if copy.as_ref().is_some_and(|copy| copy.shown().not_after() >= world.clock.now()) => {
                    let mut copy = copy.take().expect("it was looked at");
                    let is_behind = copy.generation < node.generation;
                    let renewed = copy.renew(fleet).await;
                    assert_eq!(renewed.is_err(), is_behind, "{renewed:?}");
                    copied = true;
                    if is_behind {
                        caught = true;
                        break;
                    }
                }
                lost => {
                    let next = Arc::new(PrivateKey::generate());
                    for _ in 0..lost / 3 {
                        drop(node.ask(fleet, &next).await);
                        world.clock.advance(MINUTE);
                    }
                    match node.ask(fleet, &next).await {
                        Ok(member) => node = Node::of(member, &next),
                        Err(RenewError::Expired) => break,
                        Err(refused) => {
                            is_clone_or_out(&refused);
                            assert!(copied, "nobody copied it: {refused:?}");
                            caught = true;
                            break;
                        }
                    }
                }
            }
        }
        world.fleet.refresh().await.expect("read");
        assert_eq!(is_locked(&world.fleet, "node"), caught);
    }
}

#[track_caller]
fn is_clone_or_out(refused: &RenewError) {
    assert!(matches!(refused, RenewError::Cloned(_) | RenewError::Revoked(_)), "{refused:?}");
}
