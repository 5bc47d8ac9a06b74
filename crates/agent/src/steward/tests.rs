use std::time::SystemTime;

use tokio::runtime::Handle;
use weir_foundation::clock::ManualClock;
use weir_foundation::supervise::{DrainDeadlines, DrainPhase, Policy, Supervisor};
use weir_uplink::Outcome;

use super::*;
use crate::files::Feed;
use crate::section::InputKind;

const PROBATION: Duration = Duration::from_secs(10);

/// A steward between a server that offers and a worker that reports, both by hand.
struct World {
    folder: tempfile::TempDir,
    clock: ManualClock,
    offers: watch::Sender<Option<Arc<Offer>>>,
    feed: Feed,
    inputs: Inputs,
    condition: watch::Receiver<Condition>,
    supervisor: Option<Supervisor>,
}

fn offer(revision: u64, text: &str) -> Offer {
    Offer { revision, hash: format!("hash of {text}"), text: text.to_owned() }
}

fn text(path: &str) -> String {
    format!("inputs: [{{paths: [{path}]}}]")
}

impl World {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().expect("there is space"))
    }

    fn in_folder(folder: tempfile::TempDir) -> Self {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&shared), DrainDeadlines::default());
        let (inputs, feed) = Inputs::new(Vec::new());
        let (offers, offered) = watch::channel(None);
        let (tell, condition) = watch::channel(Condition::default());
        let steward = Steward {
            configurations: Configurations::open(folder.path()).expect("it can be read"),
            inputs: inputs.clone(),
            offers: Some(offered),
            condition: tell,
            terms: Terms { apps: vec!["shop".to_owned()], paths: None },
            clock: shared,
            probation: PROBATION,
            trouble: None,
        };
        let policy = Policy::essential(DrainPhase::StopIntake);
        supervisor.spawner().spawn("steward", policy, |drain| async move {
            steward.run(&drain).await;
            Ok::<(), std::convert::Infallible>(())
        });
        Self { folder, clock, offers, feed, inputs, condition, supervisor: Some(supervisor) }
    }

    fn offers(&self, revision: u64, text: &str) {
        self.offers.send_replace(Some(Arc::new(offer(revision, text))));
    }

    /// What is read by now.
    fn reads(&self) -> Vec<String> {
        self.inputs.current().iter().flat_map(|input| input.paths.clone()).collect()
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(
            waited.is_ok(),
            "waited in vain until {what}: {:?} {:?}",
            self.reads(),
            self.condition.borrow()
        );
    }

    async fn reads_soon(&mut self, path: &str) {
        self.until("it is read", |world| world.reads() == [path]).await;
    }

    /// The worker says that it has looked for what it is to read.
    fn has_looked(&self, files: u64, errors: u64) {
        let generation = self.feed.generation();
        let input = InputReport {
            kind: InputKind::Files,
            app: "shop".to_owned(),
            paths: self.reads(),
            files,
            lag_bytes: 0,
            lag_age: None,
            lines: 0,
            stored_bytes: 0,
            errors,
            last_error: (errors > 0).then(|| "permission denied".to_owned()),
            left_out: 0,
            unfit: 0,
        };
        let scan = if errors > 0 { Scan::Partial } else { Scan::Whole };
        self.feed.tell(Report { generation, scan, inputs: vec![input], ..Report::default() });
    }

    /// Offers that `path` is read, and waits until its probation begins.
    async fn tries(&mut self, revision: u64, path: &str) {
        self.offers(revision, &text(path));
        self.reads_soon(path).await;
    }

    /// Makes what is tried good.
    async fn is_good(&mut self, revision: u64) {
        self.has_looked(1, 0);
        self.clock.advance(PROBATION);
        assert_eq!(self.outcome(revision).await, None);
    }

    async fn outcome(&mut self, revision: u64) -> Option<String> {
        let is_it =
            |outcome: &Option<Outcome>| outcome.as_ref().is_some_and(|found| found.revision == revision);
        self.until("it is known", |world| is_it(&world.condition.borrow().outcome)).await;
        let outcome = self.condition.borrow().outcome.clone();
        outcome.expect("it is known").error
    }

    /// The same, while time passes.
    async fn outcome_in_time(&mut self, revision: u64) -> Option<String> {
        let clock = self.clock.clone();
        let mut outcome = std::pin::pin!(self.outcome(revision));
        loop {
            tokio::select! {
                biased;
                outcome = outcome.as_mut() => return outcome,
                () = tokio::task::yield_now() => clock.advance(Duration::from_secs(1)),
            }
        }
    }

    async fn end(mut self) -> tempfile::TempDir {
        let supervisor = self.supervisor.take().expect("it runs");
        supervisor.run_until(async {}).await;
        self.folder
    }
}

#[tokio::test]
async fn what_works_is_applied_and_kept() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.has_looked(0, 0);
    world
        .until("it is on probation", |world| {
            world.condition.borrow().running == "hash of inputs: [{paths: [/a]}]"
        })
        .await;
    assert_eq!(world.condition.borrow().outcome, None);
    world.clock.advance(PROBATION);
    assert_eq!(world.outcome(1).await, None);
    // Started again it reads the same before any server has said something.
    let mut again = World::in_folder(world.end().await);
    again.reads_soon("/a").await;
}

#[tokio::test]
async fn what_can_not_be_read_changes_nothing() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.is_good(1).await;
    for (revision, bad) in [
        (2, "inputs: [{pathes: [/b]}]".to_owned()),
        (3, "inputs: 7".to_owned()),
        (4, "- a".to_owned()),
        (5, text("relative")),
        (6, "inputs: [{paths: [/b], app: bank}]".to_owned()),
        (7, "inputs: [{paths: [/b], multiline: {start: '(a{1000}){1000}'}}]".to_owned()),
    ] {
        world.offers(revision, &bad);
        let error = world.outcome(revision).await.expect("it is refused");
        assert!(error.starts_with("configuration:1: "), "{error}");
        assert_eq!(world.reads(), ["/a"]);
    }
    // None of them is tried again by itself, and a good one is.
    world.tries(8, "/c").await;
}

#[tokio::test]
async fn what_does_not_work_is_left_for_what_did() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.is_good(1).await;
    world.tries(2, "/b").await;
    world.has_looked(0, 1);
    world.clock.advance(PROBATION);
    let error = world.outcome(2).await.expect("it fails");
    assert_eq!(error, "the input `/b` can not start: permission denied");
    world.reads_soon("/a").await;
    // One of many files that can not be read is no reason.
    world.tries(3, "/c").await;
    world.has_looked(9, 1);
    world.clock.advance(PROBATION);
    assert_eq!(world.outcome(3).await, None);
}

#[tokio::test]
async fn a_slow_beginning_is_waited_for_and_one_that_never_comes_is_not() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    for _ in 0..4 {
        world.clock.advance(PROBATION);
        tokio::task::yield_now().await;
    }
    assert_eq!(world.condition.borrow().outcome, None);
    world.has_looked(1, 0);
    assert_eq!(world.outcome_in_time(1).await, None);
    let mut world = World::in_folder(world.end().await);
    world.tries(2, "/b").await;
    assert_eq!(world.outcome_in_time(2).await.as_deref(), Some("its inputs did not begin in time"));
}

#[tokio::test]
async fn the_last_offer_counts() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.is_good(1).await;
    world.tries(2, "/b").await;
    world.tries(3, "/c").await;
    world.is_good(3).await;
    // Nothing is to be read any more.
    world.offers(0, "");
    world.until("nothing is read", |world| world.reads().is_empty()).await;
}

/// Or a second one that does not work would leave an agent with nothing that reads.
#[tokio::test]
async fn the_first_one_is_not_left_before_it_is_known_how_it_is() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.offers(2, &text("/b"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!(world.reads(), ["/a"]);
    }
    world.has_looked(1, 0);
    world.clock.advance(PROBATION);
    world.reads_soon("/b").await;
    world.has_looked(0, 1);
    world.clock.advance(PROBATION);
    world.outcome(2).await.expect("it fails");
    world.reads_soon("/a").await;
    // One that does not work itself is left for the next.
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.offers(2, &text("/b"));
    world.has_looked(0, 1);
    world.clock.advance(PROBATION);
    world.reads_soon("/b").await;
    world.is_good(2).await;
}

#[tokio::test]
async fn a_configuration_that_ends_the_process_is_left() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.is_good(1).await;
    world.tries(2, "/crash").await;
    // Its process is killed again and again: nobody ends in good order.
    let World { folder, supervisor, .. } = world;
    drop(supervisor);
    let mut second = World::in_folder(folder);
    second.reads_soon("/crash").await;
    let World { folder, supervisor, .. } = second;
    drop(supervisor);
    let mut third = World::in_folder(folder);
    third.reads_soon("/a").await;
    let error = third.outcome(2).await.expect("it failed");
    assert_eq!(error, "the agent ended 2 times while it tried this configuration");
}

/// In place of a draft, so that nothing can be written down.
struct FullDisk(std::path::PathBuf);

impl FullDisk {
    fn of(folder: &std::path::Path) -> Self {
        let draft = folder.join("configuration.json.new");
        std::fs::create_dir_all(draft.join("in-the-way")).expect("there is space");
        Self(draft)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it is there");
    }
}

#[tokio::test]
async fn an_offer_that_can_not_be_written_down_is_looked_at_again() {
    let mut world = World::new();
    world.tries(1, "/a").await;
    world.is_good(1).await;
    let full = FullDisk::of(world.folder.path());
    world.offers(2, &text("/b"));
    world.until("it is told", |world| world.condition.borrow().error.is_some()).await;
    assert_eq!((world.reads(), &*world.condition.borrow().running), (vec!["/a".to_owned()], &*hash("/a")));
    drop(full);
    world.clock.advance(AGAIN);
    world.reads_soon("/b").await;
    world.is_good(2).await;
    assert_eq!(world.condition.borrow().running, hash("/b"));
}

#[tokio::test]
async fn what_never_ran_is_not_taken_for_good() {
    let mut world = World::new();
    world.tries(1, "/first").await;
    world.is_good(1).await;
    world.tries(2, "/a").await;
    let full = FullDisk::of(world.folder.path());
    world.offers(3, &text("/never-run"));
    world.until("it is told", |world| world.condition.borrow().error.is_some()).await;
    world.has_looked(1, 0);
    world.clock.advance(PROBATION);
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!((world.reads(), &world.condition.borrow().outcome), (vec!["/a".to_owned()], &None));
    }
    drop(full);
    world.clock.advance(PROBATION.max(AGAIN));
    world.reads_soon("/never-run").await;
    let known = Configurations::open(world.folder.path()).expect("it can be read");
    assert!(known.is_tried(), "{known:?}");
}

fn hash(path: &str) -> String {
    format!("hash of {}", text(path))
}
