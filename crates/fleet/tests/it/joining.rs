use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use weir_auth::access_key::{AccessKey, KeyId};
use weir_auth::pki::PrivateKey;
use weir_auth::secret::random_text;
use weir_fleet::{AgentState, AppLimits, EnrolError, EnrolRequest, Fleet, KeySpec, RevocationReason, Uses};
use weir_foundation::clock::Clock;
use weir_foundation::failure::Failure;
use weir_foundation::settings::Secret;
use weir_state::{Kind, State};

use crate::support::{
    DAY, HOUR, MINUTE, Node, admin, agent, app, enrol, labels, out, spec, times, world, would_join,
};

#[tokio::test]
async fn a_node_joins_and_connects() {
    let world = world().await;
    let fleet = &world.fleet;
    let key = world.key(KeySpec { seal: true, ..spec() }).await;
    let server = fleet.server_identity(&["weir.example".to_owned()]).expect("issued").identity;
    assert!(would_join(&key.key, &server, &world.clock));
    let private = PrivateKey::generate();
    let member = enrol(fleet, &key.key, "node-7", &private).await.expect("welcome");
    assert_eq!((member.agent.as_str(), member.generation, member.bundle), ("node-7", 1, 1));
    assert_eq!((member.apps.as_slice(), &member.labels), (&[app("shop")][..], &labels("zone=eu")));
    assert_eq!(member.seal, Some(fleet.instance().seal));
    assert_eq!(member.chain[0].pin(), private.pin());
    assert_eq!(member.chain[0].agent().expect("it is an agent's").agent, agent("node-7"));
    assert_eq!(member.chain.len(), 2, "without the root");
    let life = member.chain[0].not_after().duration_since(world.clock.now());
    assert_eq!(life.expect("it is good"), DAY);
    assert!(Node::of(member, &private).connects(fleet, &server, &world.clock));
    let view = fleet.agent(&agent("node-7")).expect("it is listed");
    assert_eq!(
        (view.state, view.generation, view.seal, view.access_key),
        (AgentState::Good, 1, true, key.id)
    );
    let certificate = view.certificate.expect("it has one");
    assert_eq!(certificate.pin, private.pin());
    assert_eq!(view.report, None, "it was not seen yet");
    assert_eq!(fleet.agents().len(), 1);
}

/// Of many that race for the last uses exactly as many join as there are uses, whatever process they ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_for_the_last_use_has_one_winner() {
    let world = world().await;
    let fleets: Vec<Fleet> = [world.fleet.clone(), world.another().await, world.another().await].into();
    for uses in [1_u32, 3] {
        let key = Arc::new(world.key(KeySpec { uses: times(uses), ..spec() }).await);
        let racers = (0..24).map(|racer| {
            let (fleet, key) = (fleets[racer % fleets.len()].clone(), Arc::clone(&key));
            tokio_task(async move { Node::join(&fleet, &key.key, "racer").await })
        });
        let outcomes = join_all(racers).await;
        let names: BTreeSet<_> =
            outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().ok()?.name.clone())).collect();
        assert_eq!(names.len(), uses as usize, "each with a name of its own");
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(matches!(refused, EnrolError::UsedUp), "{refused:?}");
        }
        world.fleet.refresh().await.expect("read");
        assert_eq!(world.fleet.key(&key.id).map(|view| view.used), Some(uses));
    }
    world.fleet.refresh().await.expect("read");
    assert_eq!(world.fleet.agents().len(), 4);
}

/// On threads of the runtime, so that they race.
#[expect(clippy::disallowed_methods, reason = "tests race")]
async fn tokio_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(work).await.expect("it does not panic")
}

/// A node that did not get its answer asks again and again with the same key.
#[tokio::test]
async fn a_lost_answer_costs_no_use() {
    let world = world().await;
    let fleet = &world.fleet;
    let key = world.key(spec()).await;
    let private = PrivateKey::generate();
    let first = enrol(fleet, &key.key, "node", &private).await.expect("welcome");
    for _ in 0..10 {
        world.clock.advance(MINUTE);
        let again = enrol(fleet, &key.key, "node", &private).await.expect("it is the same");
        assert_eq!((again.agent.as_str(), again.generation), ("node", 1));
        assert_eq!(again.chain[0].pin(), first.chain[0].pin());
        fleet.check_certificate(&again.chain[0]).await.expect("it is good");
    }
    assert_eq!(fleet.agents().len(), 1);
    assert_eq!(fleet.key(&key.id).map(|view| view.used), Some(1));
    let other = enrol(fleet, &key.key, "node", &PrivateKey::generate()).await;
    assert!(matches!(other, Err(EnrolError::UsedUp)), "another key is another node");
    world.clock.advance(10 * MINUTE);
    let late = enrol(fleet, &key.key, "node", &private).await;
    assert!(matches!(late, Err(EnrolError::Expired)), "not for ever: {late:?}");
}

/// The answer got lost, and the same is asked at once by several connections and processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_key_at_once_is_one_agent() {
    let world = world().await;
    let other = world.another().await;
    for round in 0..10 {
        let key = world.key(spec()).await;
        let private = PrivateKey::generate();
        let attempts = (0..6).map(|n| {
            let fleet = if n % 2 == 0 { world.fleet.clone() } else { other.clone() };
            let (text, private) = (key.key.clone(), PrivateKey::from_pkcs8(private.pkcs8()).expect("a key"));
            tokio_task(async move { enrol(&fleet, &text, "node", &private).await })
        });
        let members = join_all(attempts).await;
        let names: BTreeSet<_> = members.into_iter().map(|member| member.expect("it is one").agent).collect();
        assert_eq!(names.len(), 1, "round {round}");
    }
    world.fleet.refresh().await.expect("read");
    assert_eq!(world.fleet.agents().len(), 10);
}

/// Who copied the files of a node of old can not become it.
#[tokio::test]
async fn an_old_public_key_is_of_no_use() {
    let world = world().await;
    let fleet = &world.fleet;
    let key = world.key(KeySpec { uses: times(5), life: Some(30 * DAY), ..spec() }).await;
    let private = PrivateKey::generate();
    let member = enrol(fleet, &key.key, "node", &private).await.expect("welcome");
    let mut node = Node::of(member, &private);
    world.clock.advance(15 * HOUR);
    node.renew(fleet).await.expect("it is time");
    let used = enrol(fleet, &key.key, "node", &private).await.expect_err("it has gone on");
    assert!(matches!(used, EnrolError::PublicKeyUsed) && used.code() == "public-key-used");
    assert_eq!(out(fleet, &node.name), None);
    fleet.revoke_agent(&node.name, "stolen", &admin()).await.expect("revoked");
    let revoked = enrol(fleet, &key.key, "node", &private).await.expect_err("it is out");
    assert!(matches!(revoked, EnrolError::AgentRevoked(RevocationReason::Operator { .. })));
    fleet.forget_agent(&node.name, &admin()).await.expect("forgotten");
    world.clock.advance(MINUTE);
    let anew = enrol(fleet, &key.key, "node", &private).await.expect("as anybody with the access key");
    assert_eq!((anew.agent.as_str(), anew.generation), ("node", 1));
    assert_eq!(fleet.key(&key.id).map(|view| view.used), Some(2), "which costs a use");
}

/// Names that are taken get numbers.
#[tokio::test]
async fn names_get_suffixes() {
    let world = world().await;
    let fleet = &world.fleet;
    let key = world.key(KeySpec { uses: Uses::Unlimited, life: None, ..spec() }).await;
    let join = async |name: &str| Node::join(fleet, &key.key, name).await.expect("welcome").name.to_string();
    assert_eq!(join("node").await, "node");
    assert_eq!(join("node").await, "node-2");
    assert_eq!(join("node-3").await, "node-3");
    assert_eq!(join("node").await, "node-4", "the third was asked for");
    assert_eq!(join("node-2").await, "node-2-2");
    let long = "n".repeat(200);
    assert_eq!(join(&long).await, long);
    assert_eq!(join(&long).await, format!("{}-2", "n".repeat(190)));
    fleet.revoke_agent(&agent("node-2"), "lost", &admin()).await.expect("revoked");
    assert_eq!(join("node").await, "node-5", "one that was revoked is to be seen");
    fleet.forget_agent(&agent("node-2"), &admin()).await.expect("forgotten");
    assert_eq!(join("node").await, "node-6", "not in the same second");
    world.clock.advance(MINUTE);
    assert_eq!(join("node").await, "node-2", "one that was forgotten gives its name free");
    world.clock.advance(25 * HOUR);
    assert_eq!(join("node").await, "node", "and one that can not come back");
    assert_eq!(join("node").await, "node-2");
}

/// Another life of a name has nothing to do with the one before, whose certificate is still good.
#[tokio::test]
async fn another_life_of_a_name_is_another() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut old = world.node("node").await;
    world.clock.advance(14 * HOUR);
    old.renew(fleet).await.expect("it is time");
    fleet.check_certificate(old.shown()).await.expect("it is good");
    fleet.forget_agent(&old.name, &admin()).await.expect("forgotten");
    assert!(fleet.agent(&old.name).is_none());
    assert!(fleet.check_certificate(old.shown()).await.is_err());
    world.clock.advance(MINUTE);
    let mut new = world.node("node").await;
    assert_eq!(new.name, old.name);
    let refused = fleet.check_certificate(old.shown()).await.expect_err("it is of another life");
    assert_eq!(refused.code(), "unknown-certificate");
    let refused = old.renew(fleet).await.expect_err("it is of another life");
    assert_eq!(refused.code(), "unknown-certificate");
    assert_eq!(out(fleet, &new.name), None, "which is no reason to lock this one");
    let view = fleet.agent(&new.name).expect("it is there");
    assert_eq!((view.generation, view.report), (1, None));
    world.clock.advance(15 * HOUR);
    new.renew(fleet).await.expect("it goes on");
}

/// An access key that is not there and a wrong secret: the same code, text, and work.
#[tokio::test]
async fn unknown_keys_and_wrong_secrets_look_alike() {
    let world = world().await;
    let key: AccessKey = world.key(spec()).await.key.reveal().parse().expect("it is an access key");
    let expired: AccessKey = world.key(spec()).await.key.reveal().parse().expect("it is an access key");
    world.fleet.revoke_key(&expired.id, weir_fleet::AgentsToo::Stay, &admin()).await.expect("revoked");
    let csr = PrivateKey::generate().request();
    let mut told = BTreeSet::new();
    let (unknown, empty, wrong) = (KeyId::random(), Secret::new(""), random_text());
    for id in [&key.id, &expired.id, &unknown] {
        for secret in [&empty, &wrong, &Secret::new("0".repeat(64))] {
            // What else is wrong is not told either.
            for (name, csr) in [("node", csr.as_slice()), ("../node", csr.as_slice()), ("node", b"none")] {
                let request = EnrolRequest { key: id, secret, name, csr };
                let refused = world.fleet.enrol(request).await.expect_err("the secret is wrong");
                told.insert(format!(
                    "{} {} {refused:?} {:?}",
                    refused.code(),
                    refused,
                    refused.disposition()
                ));
            }
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told.iter().all(|told| told.starts_with("unknown-key")));
    let nobody = EnrolRequest { key: &unknown, secret: &key.secret, name: "node", csr: &csr };
    assert!(matches!(world.fleet.enrol(nobody).await, Err(EnrolError::UnknownKey)));
    let right = EnrolRequest { key: &key.id, secret: &key.secret, name: "node", csr: &csr };
    world.fleet.enrol(right).await.expect("nothing was used up by the attempts");
}

#[tokio::test]
async fn bad_names_and_requests_cost_no_use() {
    let world = world().await;
    let created = world.key(spec()).await;
    let key: AccessKey = created.key.reveal().parse().expect("it is an access key");
    let csr = PrivateKey::generate().request();
    let mut broken = csr.clone();
    *broken.last_mut().expect("it is not empty") ^= 1;
    let check = async |name: &str, csr: &[u8], code: &str| {
        let request = EnrolRequest { key: &key.id, secret: &key.secret, name, csr };
        let refused = world.fleet.enrol(request).await.expect_err("it is bad");
        assert_eq!(refused.code(), code, "{refused}");
    };
    for name in ["", ".", "../x", "a/b", "a b", "ä", &"x".repeat(201), "a\n"] {
        check(name, &csr, "bad-name").await;
    }
    check("node", b"", "bad-csr").await;
    check("node", &broken, "bad-csr").await;
    check("node", &vec![0x30; 100_000], "bad-csr").await;
    assert_eq!(world.fleet.key(&created.id).map(|view| view.used), Some(0));
    assert_eq!(world.fleet.agents().len(), 0);
}

#[tokio::test]
async fn an_app_that_is_off_takes_nobody() {
    let world = world().await;
    let key = world.key(spec()).await;
    let off = AppLimits { enabled: false, ..AppLimits::default() };
    world.fleet.limit_app(&app("shop"), &off, &admin()).await.expect("changed");
    let refused = Node::join(&world.fleet, &key.key, "node").await.expect_err("it is off");
    assert!(matches!(refused, EnrolError::AppDisabled(_)) && refused.code() == "app-disabled");
    world.fleet.limit_app(&app("shop"), &AppLimits::default(), &admin()).await.expect("changed");
    Node::join(&world.fleet, &key.key, "node").await.expect("nothing was used up");
}

/// Agents that nobody hears of any more leave nothing behind.
#[tokio::test]
async fn the_dead_are_forgotten_in_the_end() {
    let world = world().await;
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut nodes = Vec::new();
    for _ in 0..10 {
        nodes.push(world.node("node").await);
    }
    nodes.shuffle(&mut random);
    let mut lives = nodes.pop().expect("there are ten");
    world.fleet.revoke_agent(&nodes[0].name, "lost", &admin()).await.expect("revoked");
    world.fleet.forget_agent(&nodes[1].name, &admin()).await.expect("forgotten");
    for _ in 0..4 * 33 {
        world.pass(6 * HOUR).await;
        // Sooner or later, and before it is too late.
        if random.random_bool(0.5) || lives.renew_at < world.clock.now() {
            lives.renew(&world.fleet).await.expect("it lives");
        }
    }
    let left: Vec<_> = world.fleet.agents().into_iter().map(|view| view.name).collect();
    assert_eq!(left, [lives.name]);
    for kind in ["agent", "joined"] {
        let left = world.state.list(Kind::new(kind)).await.expect("listed").len();
        assert_eq!(left, 1, "{kind}");
    }
}
