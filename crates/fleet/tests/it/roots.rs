use weir_auth::pki::Identity;
use weir_fleet::{
    AgentsToo, Finish, Fleet, KeySpec, Missing, MissingReason, RotationError, RotationStage, ServerIdentity,
    Uses,
};
use weir_foundation::clock::Clock;
use weir_foundation::failure::Failure;

use crate::support::{DAY, HOUR, MINUTE, Node, World, admin, operator, spec, world, would_join};

/// What a server of the fleet shows, which is issued anew when it has to be.
struct Server(Option<ServerIdentity>);

impl Server {
    fn shown(&mut self, fleet: &Fleet) -> &Identity {
        if !self.0.as_ref().is_some_and(|server| fleet.is_current(server)) {
            self.0 = Some(fleet.server_identity(&[]).expect("issued"));
        }
        &self.0.as_ref().expect("it was issued").identity
    }
}

fn reasons(fleet: &Fleet) -> Vec<(String, MissingReason)> {
    let missing = fleet.rotation_status().missing.into_iter();
    missing.map(|Missing { agent, reason, .. }| (agent.to_string(), reason)).collect()
}

async fn renewed(world: &World, node: &mut Node) {
    node.renew(&world.fleet).await.expect("it may");
    world.fleet.check_certificate(node.shown()).await.expect("it is good");
}

/// Agents in every stage of a change: each connects at every time, and new ones join.
#[tokio::test]
async fn nobody_is_cut_off() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut server = Server(None);
    let key = world.key(KeySpec { uses: Uses::Unlimited, life: Some(365 * DAY), ..spec() }).await;
    let mut nodes = Vec::new();
    for name in ["early", "late"] {
        nodes.push(Node::join(fleet, &key.key, name).await.expect("welcome"));
    }
    let old = fleet.instance();
    fleet.begin_rotation(&admin()).await.expect("begun");
    let mut all = |nodes: &[Node], what: &str| {
        // What a server shows that runs all the time, and one that was just started.
        for shown in [server.shown(fleet), Server(None).shown(fleet)] {
            for node in nodes {
                assert!(node.connects(fleet, shown, &world.clock), "{what}: {}", node.name);
            }
            assert!(would_join(&key.key, shown, &world.clock), "{what}: somebody new");
        }
    };
    let begun = fleet.instance();
    assert_eq!((begun.roots.len(), begun.bundle, begun.pins[0]), (2, 2, old.pins[0]));
    all(&nodes, "begun");
    nodes.push(Node::join(fleet, &key.key, "between").await.expect("welcome"));
    world.pass(2 * HOUR).await;
    renewed(&world, &mut nodes[0]).await;
    assert_eq!(nodes[0].roots.len(), 2);
    all(&nodes, "some have the new root");

    fleet.switch_rotation(&admin()).await.expect("switched");
    all(&nodes, "switched");
    nodes.push(Node::join(fleet, &key.key, "behind").await.expect("welcome"));
    world.pass(2 * HOUR).await;
    renewed(&world, &mut nodes[0]).await;
    all(&nodes, "some have new certificates");
    for node in &mut nodes[1..] {
        world.pass(HOUR).await;
        renewed(&world, node).await;
    }
    all(&nodes, "all have new certificates");

    let status = fleet.rotation_status();
    assert_eq!((status.ready, status.missing, status.keys), (4, vec![], vec![key.id.clone()]));
    let refused =
        fleet.finish_rotation(Finish::WhenReady, &admin()).await.expect_err("a key knows the old root");
    assert!(matches!(refused, RotationError::NotReady { agents: 0, keys: 1 }));
    fleet.revoke_key(&key.id, AgentsToo::Stay, &admin()).await.expect("revoked");
    let new_key = world.key(spec()).await;
    fleet.finish_rotation(Finish::WhenReady, &admin()).await.expect("everybody is ready");
    let finished = fleet.instance();
    assert_eq!((finished.pins.as_slice(), finished.bundle), (&begun.pins[1..], 3));
    let shown = server.shown(fleet);
    assert!(would_join(&new_key.key, shown, &world.clock));
    assert!(!would_join(&key.key, shown, &world.clock), "the old root is gone");
    for node in &nodes {
        assert!(node.connects(fleet, shown, &world.clock), "finished: {}", node.name);
    }
    // Life goes on.
    world.pass(14 * HOUR).await;
    for node in &mut nodes {
        renewed(&world, node).await;
        assert_eq!(node.roots.len(), 1);
        assert!(node.connects(fleet, server.shown(fleet), &world.clock));
    }
    assert_eq!(fleet.rotation_status().stage, RotationStage::Idle);
}

/// Who is missing, and why, step by step.
#[tokio::test]
async fn the_status_says_who_is_missing() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut node = world.node("node").await;
    let revoked = world.node("revoked").await;
    let lost = world.node("lost").await;
    fleet.revoke_agent(&revoked.name, "gone", &admin()).await.expect("revoked");
    let idle = fleet.rotation_status();
    assert_eq!((idle.stage, idle.next, idle.missing), (RotationStage::Idle, None, vec![]));
    // Of the two that are good one is not seen any more.
    world.pass(12 * HOUR).await;
    renewed(&world, &mut node).await;
    fleet.begin_rotation(&admin()).await.expect("begun");
    let since = world.clock.now();
    assert_eq!(fleet.rotation_status().stage, RotationStage::Begun { since });
    let missing = |reason| vec![("node".to_owned(), reason)];
    let both = vec![("lost".to_owned(), MissingReason::Root), ("node".to_owned(), MissingReason::Root)];
    assert_eq!(reasons(fleet), both);
    world.pass(13 * HOUR).await;
    assert_eq!(reasons(fleet), missing(MissingReason::Root), "the lost one was not seen for a day");
    renewed(&world, &mut node).await;
    assert_eq!((reasons(fleet), fleet.rotation_status().ready), (vec![], 1));
    fleet.switch_rotation(&admin()).await.expect("switched");
    assert_eq!(reasons(fleet), missing(MissingReason::Certificate));
    let refused = fleet.finish_rotation(Finish::WhenReady, &admin()).await.expect_err("one is missing");
    assert_eq!(refused.code(), "rotation-not-ready");
    world.pass(10 * HOUR).await;
    node.renew(fleet).await.expect("it may");
    assert_eq!(reasons(fleet), missing(MissingReason::Unconfirmed), "the answer may be lost");
    fleet.check_certificate(node.shown()).await.expect("it is good");
    assert_eq!((reasons(fleet), fleet.rotation_status().ready), (vec![], 1));
    fleet.finish_rotation(Finish::WhenReady, &admin()).await.expect("everybody is ready");
    let server = fleet.server_identity(&[]).expect("issued").identity;
    assert!(node.connects(fleet, &server, &world.clock));
    assert!(!lost.connects(fleet, &server, &world.clock));
}

#[tokio::test]
async fn steps_have_an_order() {
    let world = world().await;
    let fleet = &world.fleet;
    let by = operator("ann");
    let refused = |outcome: Result<(), RotationError>| {
        let error = outcome.expect_err("it is not the next step");
        assert_eq!(error.code(), "rotation-step", "{error}");
    };
    refused(fleet.switch_rotation(&by).await);
    refused(fleet.finish_rotation(Finish::Force, &by).await);
    fleet.begin_rotation(&by).await.expect("begun");
    refused(fleet.begin_rotation(&by).await);
    refused(fleet.finish_rotation(Finish::Force, &by).await);
    fleet.switch_rotation(&by).await.expect("switched");
    refused(fleet.begin_rotation(&by).await);
    refused(fleet.switch_rotation(&by).await);
    fleet.finish_rotation(Finish::WhenReady, &by).await.expect("there is nobody");
    refused(fleet.finish_rotation(Finish::Force, &by).await);
    fleet.begin_rotation(&by).await.expect("the next change");
}

/// By force: whoever is not ready is out, and the others go on.
#[tokio::test]
async fn force_cuts_off() {
    let world = world().await;
    let fleet = &world.fleet;
    let (mut ready, slow) = (world.node("ready").await, world.node("slow").await);
    fleet.begin_rotation(&admin()).await.expect("begun");
    fleet.switch_rotation(&admin()).await.expect("switched at once");
    world.pass(HOUR).await;
    renewed(&world, &mut ready).await;
    let refused = fleet.finish_rotation(Finish::WhenReady, &admin()).await;
    assert!(matches!(refused, Err(RotationError::NotReady { agents: 1, keys: 0 })), "{refused:?}");
    fleet.finish_rotation(Finish::Force, &admin()).await.expect("by force");
    let server = fleet.server_identity(&[]).expect("issued").identity;
    assert!(ready.connects(fleet, &server, &world.clock));
    assert!(!slow.connects(fleet, &server, &world.clock));
    assert!(world.node("anew").await.connects(fleet, &server, &world.clock));
}

/// Another process issues below the right root, even if it was not told of the step yet.
#[tokio::test]
async fn no_process_issues_below_the_old_root_after_the_switch() {
    let world = world().await;
    let (other, third) = (world.another().await, world.another().await);
    let key = world.key(KeySpec { uses: Uses::Unlimited, ..spec() }).await;
    let mut node = Node::join(&third, &key.key, "node").await.expect("welcome");
    world.fleet.begin_rotation(&admin()).await.expect("begun");
    world.fleet.switch_rotation(&admin()).await.expect("switched");
    world.clock.advance(10 * MINUTE);
    let joined = Node::join(&other, &key.key, "joined").await.expect("welcome");
    node.renew(&third).await.expect("it may");
    world.fleet.refresh().await.expect("read");
    for node in [&joined, &node] {
        world.fleet.check_certificate(node.shown()).await.expect("it is good");
        assert_eq!(node.roots.len(), 2);
    }
    assert_eq!(reasons(&world.fleet), []);
    assert_eq!(world.fleet.rotation_status().ready, 2);
}

/// Changes of years: one a year, with agents that only renew.
#[tokio::test]
async fn roots_change_every_year() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut server = Server(None);
    let mut node = world.node("node").await;
    let mut pins = vec![fleet.instance().pins[0]];
    for day in 1..=4 * 365_u32 {
        for _ in 0..2 {
            world.pass(12 * HOUR).await;
            renewed(&world, &mut node).await;
            assert!(node.connects(fleet, server.shown(fleet), &world.clock), "day {day}");
        }
        match day % 365 {
            100 => fleet.begin_rotation(&admin()).await.expect("begun"),
            101 => fleet.switch_rotation(&admin()).await.expect("switched"),
            102 => {
                fleet.finish_rotation(Finish::WhenReady, &admin()).await.expect("it is ready");
                pins.extend(fleet.instance().pins);
            }
            _ => {}
        }
    }
    pins.sort_unstable();
    pins.dedup();
    assert_eq!(pins.len(), 5);
}
