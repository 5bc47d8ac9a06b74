use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{self, Either};
use tokio::sync::watch;
use tokio::task::yield_now;
use weir_auth::token::Audience;
use weir_fleet::{AppLimits, Fleet};
use weir_foundation::clock::{SystemClock, timeout};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_state::memory::MemoryState;
use weir_state::sqlite::{SqliteSettings, SqliteState};
use weir_state::{Changes, CommitError, Entry, Expect, Kind, State, StateError, Write};

use crate::support::{admin, agent, app, clock, labels, open, out, settings, spec, world};

const DEADLINE: Duration = Duration::from_secs(20);

const APP: Kind = Kind::new("app");

/// A state in place of which another one can be put, as where a server takes over that did not have everything. What was
/// told stays.
#[derive(Debug, Clone)]
struct Replaced {
    now: Arc<Mutex<MemoryState>>,
    told: watch::Sender<u64>,
    /// How often it was asked for changes.
    reads: Arc<AtomicUsize>,
    /// What another process writes after the next read, before that is answered.
    meanwhile: Arc<Mutex<Option<Write>>>,
}

impl Replaced {
    fn of(state: MemoryState) -> Self {
        let told = watch::Sender::new(*state.revision().borrow());
        let now = Arc::new(Mutex::new(state));
        Self { now, told, reads: Arc::default(), meanwhile: Arc::default() }
    }

    fn by(&self, state: MemoryState) {
        *self.now.lock().expect("no test panics with it") = state;
    }

    fn now(&self) -> MemoryState {
        self.now.lock().expect("no test panics with it").clone()
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl State for Replaced {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError> {
        self.now().get(kind, name).await
    }

    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let changes = self.now().changes(kinds, since).await;
        yield_now().await;
        let meanwhile = self.meanwhile.lock().expect("no test panics with it").take();
        if let Some(write) = meanwhile {
            self.commit(&[write]).await.expect("written");
        }
        changes
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError> {
        let revision = self.now().commit(writes).await?;
        self.told.send_if_modified(|told| {
            let is_news = revision > *told;
            *told = revision.max(*told);
            is_news
        });
        Ok(revision)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}

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

/// It is taken as it is, and not read again and again because more had been told.
#[tokio::test]
async fn a_state_that_went_back_is_read_when_it_tells_of_something() {
    let world = world().await;
    let kinds = ["instance", "operator", "app"].map(Kind::new);
    let documents = world.state.changes(&kinds, 0).await.expect("read").changes;
    let writes: Vec<Write> = documents
        .into_iter()
        .map(|change| change.kind.key(change.name).put(Expect::Any, change.value.expect("it is there")))
        .collect();
    let copy = MemoryState::default();
    copy.commit(&writes).await.expect("written");
    world.fleet.create_app(&app("cafe"), &AppLimits::default(), None, &admin()).await.expect("created");
    let state = Replaced::of(world.state.clone());
    let (fleet, _) = open(state.clone(), &world.clock).await;
    assert!(fleet.app(&app("cafe")).is_some());
    state.by(copy);
    let before = state.reads();
    let rest = async || {
        for _ in 0..1_000 {
            yield_now().await;
        }
    };
    following(&fleet, async {
        until(&fleet, "the app was lost", |fleet| fleet.app(&app("cafe")).is_none()).await;
        rest().await;
        assert_eq!(state.reads() - before, 1, "nothing was told since");
        state.commit(&[APP.key("shop").delete(Expect::Any)]).await.expect("written");
        state.told.send_modify(|told| *told += 1);
        until(&fleet, "the other one is gone", |fleet| fleet.app(&app("shop")).is_none()).await;
        rest().await;
        assert_eq!(state.reads() - before, 2);
    })
    .await;
}

/// What was told of while it was read may not be in what was read.
#[tokio::test]
async fn what_is_written_during_a_read_is_read_next() {
    let world = world().await;
    let state = Replaced::of(world.state.clone());
    let (fleet, _) = open(state.clone(), &world.clock).await;
    *state.meanwhile.lock().expect("no test panics with it") = Some(APP.key("shop").delete(Expect::Any));
    following(&fleet, until(&fleet, "there is no app", |fleet| fleet.app(&app("shop")).is_none())).await;
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
    let kind = Kind::new("agent");
    let damaged = kind.key("node").put(Expect::Any, b"{\"apps\":[".to_vec());
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
