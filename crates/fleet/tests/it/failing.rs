//! A state that does not do what it should.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use weir_auth::pki::PrivateKey;
use weir_fleet::{CODES, Fleet, Report};
use weir_foundation::failure::{Audience, Disposition, Failure};
use weir_state::memory::MemoryState;
use weir_state::{Changes, CommitError, Entry, Kind, State, StateError, Write};

use crate::support::{HOUR, MINUTE, Node, admin, clock, enrol, open, operator, settings, spec, world};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Mood {
    Good,
    Full,
    /// It is stored, and nobody is told.
    Lost,
    /// Nobody knows, and it is not stored.
    Unknown,
    Closing,
    Unreadable,
    /// Somebody else is always faster.
    Busy,
    /// It is stored, and then nothing can be read.
    Blinded,
}

const MOODS: [Mood; 8] = [
    Mood::Good,
    Mood::Full,
    Mood::Lost,
    Mood::Unknown,
    Mood::Closing,
    Mood::Unreadable,
    Mood::Busy,
    Mood::Blinded,
];

#[derive(Debug, Clone)]
struct Moody {
    inner: MemoryState,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn mood(&self) -> Mood {
        MOODS[usize::from(self.mood.load(Ordering::SeqCst))]
    }

    fn readable(&self) -> Result<(), StateError> {
        match self.mood() {
            Mood::Unreadable => Err(StateError::Failed("the disk is on fire".into())),
            Mood::Closing => Err(StateError::Closing),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl State for Moody {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError> {
        self.readable()?;
        self.inner.get(kind, name).await
    }

    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError> {
        self.readable()?;
        self.inner.changes(kinds, since).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError> {
        match self.mood() {
            Mood::Full => Err(CommitError::Full("no space".into())),
            Mood::Closing => Err(CommitError::Closing),
            Mood::Unknown | Mood::Unreadable => Err(CommitError::Failed("the disk is on fire".into())),
            Mood::Busy => Err(CommitError::Conflict { key: writes[0].key.clone() }),
            Mood::Lost => {
                self.inner.commit(writes).await?;
                Err(CommitError::Failed("the disk is on fire".into()))
            }
            Mood::Blinded => {
                self.be(Mood::Unreadable);
                self.inner.commit(writes).await
            }
            Mood::Good => self.inner.commit(writes).await,
        }
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.inner.revision()
    }
}

/// In which nothing is.
fn empty() -> Moody {
    Moody { inner: MemoryState::default(), mood: Arc::default() }
}

async fn moody() -> (Moody, Fleet, weir_foundation::clock::ManualClock) {
    let (state, clock) = (empty(), clock());
    let (fleet, _) = open(state.clone(), &clock).await;
    fleet
        .create_app(&crate::support::app("shop"), &weir_fleet::AppLimits::default(), None, &admin())
        .await
        .expect("created");
    (state, fleet, clock)
}

/// Every operation says what the state said, and changes nothing.
#[tokio::test]
async fn failures_of_the_state_have_codes() {
    let check = async |mood: Mood, code: &str, retries: bool| {
        let (state, fleet, _clock) = moody().await;
        let key = fleet.create_key(&spec(), &admin()).await.expect("created");
        state.be(mood);
        let failed = |failure: &dyn Failure| {
            assert_eq!((failure.code(), failure.audience()), (code, Audience::Ours), "{mood:?} {failure}");
            let again = !matches!(failure.disposition(), Disposition::GiveUp);
            assert_eq!(again, retries, "{mood:?} {failure}");
            assert!(CODES.iter().any(|(listed, _)| *listed == code), "{code} is listed");
            assert!(!failure.to_string().contains("fire"), "our insides are in the chain only");
        };
        failed(&Node::join(&fleet, &key.key, "node").await.expect_err("the state fails"));
        failed(&fleet.create_operator(&operator("ann"), None, None).await.expect_err("the state fails"));
        failed(&fleet.create_key(&spec(), &admin()).await.expect_err("the state fails"));
        failed(&fleet.begin_rotation(&admin()).await.expect_err("the state fails"));
        let nothing = |_: &str| Ok(());
        let all = weir_fleet::Selector::everybody();
        failed(&fleet.configure(&all, "text", "", &nothing, &admin()).await.expect_err("the state fails"));
        state.be(Mood::Good);
        fleet.refresh().await.expect("read");
        assert_eq!((fleet.agents().len(), fleet.operators().len(), fleet.keys().len()), (0, 1, 1));
        assert_eq!((fleet.instance().roots.len(), fleet.configurations().len()), (1, 0));
        Node::join(&fleet, &key.key, "node").await.expect("nothing was used up");
    };
    check(Mood::Full, "state-full", true).await;
    check(Mood::Unknown, "state-outcome-unknown", true).await;
    check(Mood::Closing, "closing", true).await;
    check(Mood::Unreadable, "state-unavailable", true).await;
    check(Mood::Busy, "state-unavailable", true).await;
}

/// What was stored without an answer is found when it is asked for again.
#[tokio::test]
async fn what_was_stored_unknowingly_is_not_done_twice() {
    let (state, fleet, clock) = moody().await;
    let key = fleet.create_key(&spec(), &admin()).await.expect("created");
    let private = PrivateKey::generate();
    state.be(Mood::Lost);
    let lost = enrol(&fleet, &key.key, "node", &private).await.expect_err("nobody knows");
    assert_eq!(lost.code(), "state-outcome-unknown");
    state.be(Mood::Good);
    let member = enrol(&fleet, &key.key, "node", &private).await.expect("it has joined");
    assert_eq!((member.agent.as_str(), fleet.key(&key.id).map(|view| view.used)), ("node", Some(1)));
    let mut node = Node::of(member, &private);
    clock.advance(14 * HOUR);
    let next = PrivateKey::generate();
    state.be(Mood::Lost);
    node.ask(&fleet, &next).await.expect_err("nobody knows");
    state.be(Mood::Good);
    node = Node::of(node.ask(&fleet, &next).await.expect("it has renewed"), &next);
    assert_eq!(node.generation, 2);
    clock.advance(14 * HOUR);
    node.renew(&fleet).await.expect("it goes on");
}

/// An instance that nobody has a token of says how to get one; what was not made says nothing of that.
#[tokio::test]
async fn who_loses_the_first_token_is_told_what_to_do() {
    let check = async |mood: Mood, code: &str, may_be_made: bool, is_made: bool| {
        let (state, clock) = (empty(), clock());
        state.be(mood);
        let opened = Fleet::open(Arc::new(state.clone()), Arc::new(clock.clone()), settings()).await;
        let error = opened.expect_err("nobody has a token");
        assert_eq!(error.code(), code, "{mood:?}");
        let told = format!("{error}");
        assert_eq!(
            told.contains("`weir operator create NAME --config FILE`"),
            may_be_made,
            "{mood:?} {told}"
        );
        state.be(Mood::Good);
        let (fleet, first) = open(state, &clock).await;
        assert_eq!(first.is_none(), is_made, "{mood:?}");
        // As that command does.
        let created = fleet.create_operator(&operator("ann"), None, None).await.expect("created");
        assert_eq!(fleet.check_operator(&created.token), Ok(operator("ann")));
    };
    check(Mood::Lost, "state-outcome-unknown", true, true).await;
    check(Mood::Unknown, "state-outcome-unknown", true, false).await;
    check(Mood::Blinded, "state-unavailable", true, true).await;
    check(Mood::Full, "state-full", false, false).await;
    check(Mood::Unreadable, "state-unavailable", false, false).await;
}

/// Decisions go on without the state, and what is due is done when it is back.
#[tokio::test]
async fn decisions_do_not_need_the_state() {
    let (state, fleet, clock) = moody().await;
    let key = fleet.create_key(&spec(), &admin()).await.expect("created");
    let node = Node::join(&fleet, &key.key, "node").await.expect("welcome");
    state.be(Mood::Unreadable);
    let (token, _) = fleet.token(node.shown()).await.expect("it is welcome");
    fleet.admit(&token, weir_auth::token::Audience::Ingest, None).expect("it is good");
    fleet.report(&node.name, Report::default());
    clock.advance(60 * 24 * HOUR);
    let failed =
        fleet.maintain(weir_foundation::clock::Clock::now(&clock)).await.expect_err("the state fails");
    assert_eq!(failed.code(), "state-unavailable");
    assert_eq!(fleet.instance().signing_keys.len(), 1);
    state.be(Mood::Good);
    let until = fleet.instance().issuing_until;
    fleet.maintain(weir_foundation::clock::Clock::now(&clock)).await.expect("maintained");
    assert_eq!(fleet.instance().signing_keys.len(), 2);
    assert!(fleet.instance().issuing_until > until);
}

/// Following goes on after the state could not be read for a while.
#[tokio::test]
async fn following_outlives_failures() {
    let (state, fleet, clock) = moody().await;
    let (other, _) = open(state.inner.clone(), &clock).await;
    state.be(Mood::Unreadable);
    let test = async {
        other.create_operator(&operator("ann"), None, None).await.expect("created");
        clock.sleepers(1).await;
        clock.advance(MINUTE);
        clock.sleepers(1).await;
        assert_eq!(fleet.operators().len(), 1);
        state.be(Mood::Good);
        clock.advance(MINUTE);
        let mut changes = fleet.changes();
        changes.wait_for(|_| fleet.operators().len() == 2).await.expect("the fleet lives");
    };
    let (follow, test) = (std::pin::pin!(fleet.follow()), std::pin::pin!(test));
    let ended = futures_util::future::select(follow, test).await;
    assert!(matches!(ended, futures_util::future::Either::Right(_)));
}

/// A process that was not there for very long, and missed more than the state remembers.
#[tokio::test]
async fn who_missed_much_is_told_everything() {
    let world = world().await;
    let other = world.another().await;
    let node = world.node("node").await;
    let shelf = Kind::new("report");
    for number in 0..weir_state::TOMBSTONES + 10 {
        let key = shelf.key(format!("nobody-{number}"));
        world.state.commit(&[key.clone().put(weir_state::Expect::Any, Vec::new())]).await.expect("written");
        world.state.commit(&[key.delete(weir_state::Expect::Any)]).await.expect("written");
    }
    assert!(other.agent(&node.name).is_none());
    other.refresh().await.expect("read");
    assert!(other.agent(&node.name).is_some());
    assert_eq!((other.apps(), other.keys()), (world.fleet.apps(), world.fleet.keys()));
}
