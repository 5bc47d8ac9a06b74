use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either};
use weir_auth::token::Audience;
use weir_fleet::{AppLimits, Fleet};
use weir_foundation::clock::{SystemClock, timeout};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_state::State;
use weir_state::sqlite::{SqliteSettings, SqliteState};

use crate::support::{admin, agent, app, clock, labels, open, out, settings, spec, world};

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until the fleet is as wanted, looking whenever it tells of a change.
async fn until(fleet: &Fleet, what: &str, is: impl Fn(&Fleet) -> bool) {
    let mut changes = fleet.changes();
    let wait = async {
        while !is(fleet) {
            changes.changed().await.expect("the fleet lives");
        }
    };
    timeout(&SystemClock, DEADLINE, wait)
        .await
        .unwrap_or_else(|_| unreachable!("it was never seen that {what}"));
}

/// Does the work of the test while the fleet follows.
async fn following(fleet: &Fleet, test: impl Future<Output = ()>) {
    let (follow, test) = (std::pin::pin!(fleet.follow()), std::pin::pin!(test));
    match future::select(follow, test).await {
        Either::Left(_) => unreachable!("the state is not closed"),
        Either::Right(_) => {}
    }
}

#[tokio::test]
async fn what_another_process_changes_is_seen() {
    let world = world().await;
    let other = world.another().await;
    following(&other, async {
        world.fleet.create_app(&app("cafe"), &AppLimits::default(), None, &admin()).await.expect("created");
        until(&other, "there is an app", |other| other.app(&app("cafe")).is_some()).await;
        let node = world.node("node").await;
        until(&other, "there is an agent", |other| other.agent(&node.name).is_some()).await;
        let (token, _) = other.token(node.shown()).await.expect("it is welcome");
        world.fleet.revoke_agent(&node.name, "stolen", &admin()).await.expect("revoked");
        until(&other, "it is out", |other| out(other, &agent("node")).is_some()).await;
        assert!(other.admit(&token, Audience::Ingest, None).is_err());
        world.fleet.forget_agent(&node.name, &admin()).await.expect("forgotten");
        until(&other, "it is gone", |other| other.agent(&agent("node")).is_none()).await;
        world.fleet.begin_rotation(&admin()).await.expect("begun");
        until(&other, "there is another root", |other| other.instance().roots.len() == 2).await;
        world.fleet.remove_app(&app("cafe"), &admin()).await.expect("removed");
        until(&other, "the app is gone", |other| other.app(&app("cafe")).is_none()).await;
    })
    .await;
}

/// One's own changes are seen when the call returns, without following.
#[tokio::test]
async fn own_changes_are_seen_at_once() {
    let world = world().await;
    let mut changes = world.fleet.changes();
    changes.mark_unchanged();
    let node = world.node("node").await;
    assert!(changes.has_changed().expect("the fleet lives"));
    assert_eq!(world.fleet.agent(&node.name).map(|view| view.labels), Some(labels("zone=eu")));
}

/// Two processes over one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let handle = tokio::runtime::Handle::current();
    let spawner = Supervisor::new(handle, Arc::new(SystemClock), DrainDeadlines::default()).spawner();
    let state = || {
        let settings = SqliteSettings::new(directory.path().join("state"));
        SqliteState::open(settings, Arc::new(SystemClock), &spawner).expect("it opens")
    };
    let (here, there) = (state(), state());
    let clock = clock();
    let open_on = async |state: Arc<SqliteState>| {
        let state: Arc<dyn State> = state;
        Fleet::open(state, Arc::new(clock.clone()), settings()).await.expect("it opens").fleet
    };
    let (one, other) = (open_on(Arc::clone(&here)).await, open_on(Arc::clone(&there)).await);
    assert_eq!(one.instance().id, other.instance().id);
    following(&other, async {
        one.create_app(&app("shop"), &AppLimits::default(), None, &admin()).await.expect("created");
        let key = one.create_key(&spec(), &admin()).await.expect("created");
        let node = crate::support::Node::join(&other, &key.key, "node").await.expect("welcome");
        one.check_certificate(node.shown()).await.expect("it is looked for");
        one.revoke_agent(&node.name, "stolen", &admin()).await.expect("revoked");
        until(&other, "it is out", |other| out(other, &node.name).is_some()).await;
    })
    .await;
    // Following ends with the state.
    there.close().await;
    timeout(&SystemClock, DEADLINE, other.follow()).await.expect("it ends");
    here.close().await;
    let again = open_on(state()).await;
    assert_eq!(again.instance().pins, one.instance().pins);
    assert!(out(&again, &agent("node")).is_some());
}

/// A document that can not be read is left out, and the rest is as it should be.
#[tokio::test]
async fn one_damaged_document_is_one() {
    let world = world().await;
    let (node, other) = (world.node("node").await, world.node("other").await);
    let kind = weir_state::Kind::new("agent");
    let damaged = kind.key("node").put(weir_state::Expect::Any, b"{\"apps\":[".to_vec());
    world.state.commit(&[damaged]).await.expect("written");
    let (anew, _) = open(world.state.clone(), &world.clock).await;
    for fleet in [&world.fleet, &anew] {
        fleet.refresh().await.expect("read");
        assert!(fleet.agent(&node.name).is_none());
        let refused = fleet.check_certificate(node.shown()).await.expect_err("nobody knows who it is");
        assert_eq!(weir_foundation::failure::Failure::code(&refused), "unknown-agent");
        fleet.check_certificate(other.shown()).await.expect("it is good");
    }
}
