use std::time::Duration;

use weir_auth::access_key::{AccessKey, KeyId};
use weir_fleet::{AgentsToo, CreateKeyError, EnrolError, KeySpec, KeyState, RevokeKeyError, Uses};
use weir_foundation::failure::Failure;
use weir_state::{Kind, State};

use crate::support::{DAY, HOUR, MINUTE, Node, admin, app, labels, out, spec, times, world};

#[tokio::test]
async fn a_key_says_what_a_node_needs() {
    let world = world().await;
    let created = world.key(KeySpec { seal: true, ..spec() }).await;
    let key: AccessKey = created.key.reveal().parse().expect("it is an access key");
    let instance = world.fleet.instance();
    assert_eq!(key.enrol, ["weir.example:8084"]);
    assert_eq!(
        (key.id.clone(), key.pins, key.seal),
        (created.id.clone(), instance.pins, Some(instance.seal))
    );
    let plain: AccessKey = world.key(spec()).await.key.reveal().parse().expect("it is an access key");
    assert_eq!(plain.seal, None);
    assert_ne!(plain.id, key.id);
    let view = world.fleet.key(&created.id).expect("it is listed");
    assert_eq!(
        (view.title.as_str(), view.apps, view.labels),
        ("nodes", vec![app("shop")], labels("zone=eu"))
    );
    assert_eq!((view.uses, view.used, view.state, view.made_by), (times(1), 0, KeyState::Usable, admin()));
    assert_eq!((view.expires, view.seal), (created.expires, true));
    assert_eq!(world.fleet.keys().len(), 2);
    for entry in world.state.list(Kind::new("access-key")).await.expect("listed") {
        let text = String::from_utf8(entry.value).expect("it is JSON");
        assert!(!text.contains(key.secret.reveal()) && !text.contains(plain.secret.reveal()), "{text}");
    }
}

#[tokio::test]
async fn keys_of_no_use_are_not_made() {
    let world = world().await;
    let check = async |change: fn(&mut KeySpec), code: &str| {
        let mut spec = spec();
        change(&mut spec);
        let error = world.fleet.create_key(&spec, &admin()).await.expect_err("it is of no use");
        assert_eq!(error.code(), code, "{error}");
    };
    check(|spec| spec.apps.clear(), "bad-key-spec").await;
    check(|spec| spec.apps.push(app("shop")), "bad-key-spec").await;
    check(|spec| spec.apps = (0..17).map(|n| app(&format!("app-{n}"))).collect(), "bad-key-spec").await;
    check(|spec| spec.apps.push(app("none")), "unknown-app").await;
    check(|spec| spec.life = Some(Duration::ZERO), "bad-key-spec").await;
    check(|spec| spec.life = Some(Duration::MAX), "bad-key-spec").await;
    assert!(matches!(
        world.fleet.create_key(&KeySpec { apps: vec![app("none")], ..spec() }, &admin()).await,
        Err(CreateKeyError::UnknownApp(none)) if none == app("none")
    ));
    assert_eq!(world.fleet.keys(), []);
}

#[tokio::test]
async fn a_key_ends_in_three_ways() {
    let world = world().await;
    let state = |id: &KeyId| world.fleet.key(id).map(|view| view.state);
    let join = async |key: &weir_fleet::CreatedKey| Node::join(&world.fleet, &key.key, "node").await;

    let short = world.key(KeySpec { life: Some(MINUTE), ..spec() }).await;
    world.clock.advance(MINUTE - Duration::from_micros(1));
    assert_eq!(state(&short.id), Some(KeyState::Usable));
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(state(&short.id), Some(KeyState::Expired));
    let expired = join(&short).await.expect_err("its time is over");
    assert!(matches!(expired, EnrolError::Expired) && expired.code() == "key-expired");

    let twice = world.key(KeySpec { uses: times(2), ..spec() }).await;
    for used in 0..2 {
        assert_eq!(world.fleet.key(&twice.id).map(|view| view.used), Some(used));
        join(&twice).await.expect("welcome");
    }
    assert_eq!(state(&twice.id), Some(KeyState::UsedUp));
    let used_up = join(&twice).await.expect_err("two have joined");
    assert!(matches!(used_up, EnrolError::UsedUp) && used_up.code() == "key-used-up");

    let revoked = world.key(spec()).await;
    assert_eq!(world.fleet.revoke_key(&revoked.id, AgentsToo::Stay, &admin()).await.expect("revoked"), 0);
    assert_eq!(state(&revoked.id), Some(KeyState::Revoked));
    let refused = join(&revoked).await.expect_err("it was revoked");
    assert!(matches!(refused, EnrolError::Revoked) && refused.code() == "key-revoked");
}

#[tokio::test]
async fn unlimited_keys_are_counted() {
    let world = world().await;
    let key = world.key(KeySpec { uses: Uses::Unlimited, life: None, ..spec() }).await;
    for _ in 0..20 {
        Node::join(&world.fleet, &key.key, "node").await.expect("welcome");
    }
    world.pass(DAY).await;
    Node::join(&world.fleet, &key.key, "node").await.expect("welcome");
    let view = world.fleet.key(&key.id).expect("it is listed");
    assert_eq!(
        (view.uses, view.used, view.state, view.expires),
        (Uses::Unlimited, 21, KeyState::Usable, None)
    );
}

#[tokio::test]
async fn agents_go_with_their_key_if_asked_for() {
    let world = world().await;
    let fleet = &world.fleet;
    let key = world.key(KeySpec { uses: times(4), ..spec() }).await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::join(fleet, &key.key, "node").await.expect("welcome"));
    }
    let other = world.node("other").await;
    fleet.revoke_agent(&nodes[0].name, "lost", &admin()).await.expect("revoked");
    assert_eq!(fleet.revoke_key(&key.id, AgentsToo::Stay, &admin()).await.expect("revoked"), 0);
    assert_eq!(out(fleet, &nodes[1].name), None);
    assert_eq!(fleet.revoke_key(&key.id, AgentsToo::Revoke, &admin()).await.expect("again"), 2);
    for node in &nodes {
        assert!(out(fleet, &node.name).is_some(), "{}", node.name);
    }
    assert_eq!(out(fleet, &other.name), None);
    let unknown = fleet.revoke_key(&KeyId::random(), AgentsToo::Revoke, &admin()).await;
    assert!(matches!(unknown, Err(RevokeKeyError::Unknown(_))));
}

/// Ended keys are listed for a while, then nothing is left of them.
#[tokio::test]
async fn ended_keys_are_removed_in_the_end() {
    let world = world().await;
    let expired = world.key(spec()).await;
    let used = world.key(spec()).await;
    Node::join(&world.fleet, &used.key, "node").await.expect("welcome");
    let stays = world.key(KeySpec { life: None, ..spec() }).await;
    for _ in 0..30 {
        world.pass(DAY).await;
    }
    assert_eq!(world.fleet.keys().len(), 3, "thirty days and a quarter of an hour");
    world.pass(HOUR).await;
    let left: Vec<_> = world.fleet.keys().into_iter().map(|view| view.id).collect();
    assert_eq!(left, [stays.id]);
    assert_ne!(left[0], expired.id);
}
