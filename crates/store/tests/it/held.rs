//! Searches that are held in the middle of their course: what ends them, and what waits for them.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tempfile::TempDir;
use weir_foundation::clock::{Clock, ManualClock};
use weir_foundation::supervise::Supervisor;
use weir_model::Day;
use weir_store::conformance::fixture::{
    RECEIVED, Recording, at, numbered, numbers, numbers_in, partition, request, search, write,
};
use weir_store::segment::{SegmentStore, StoreSection};
use weir_store::{Count, IndexStore as _, SearchError, SearchRequest, SearchResponse};

use crate::segment::{eventually, files_of, start_by};

/// A clock that stands still and counts who looks at it. A search looks when it begins, and at every page.
#[derive(Debug)]
struct Gate {
    time: ManualClock,
    looks: Mutex<Looks>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct Looks {
    count: usize,
    /// The look that is held until this is taken away.
    held: Option<usize>,
}

impl Gate {
    fn new() -> Arc<Self> {
        let time = ManualClock::new(SystemTime::UNIX_EPOCH);
        Arc::new(Self { time, looks: Mutex::default(), opened: Condvar::new() })
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.looks().count
    }

    /// Counts from 0 again, and holds whoever has the look of this number.
    fn hold(&self, look: usize) {
        *self.looks() = Looks { count: 0, held: Some(look) };
    }

    fn open(&self) {
        self.looks().held = None;
        self.opened.notify_all();
    }
}

#[async_trait]
impl Clock for Gate {
    fn now(&self) -> SystemTime {
        self.time.now()
    }

    fn monotonic(&self) -> Instant {
        if std::thread::current().name() != Some("index.worker") {
            let mut looks = self.looks();
            looks.count += 1;
            let number = looks.count;
            let waits = |looks: &mut Looks| looks.held == Some(number);
            drop(self.opened.wait_while(looks, waits).unwrap_or_else(PoisonError::into_inner));
        }
        self.time.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.time.sleep(duration).await;
    }
}

/// Lets go of whoever is held, also when a test fails.
#[derive(Debug)]
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A store that goes by a gate, in a directory of its own.
struct Held {
    gate: Arc<Gate>,
    store: SegmentStore,
    supervisor: Supervisor,
    directory: TempDir,
    _opener: Opener,
}

impl Held {
    fn new() -> Self {
        let gate = Gate::new();
        let clock: Arc<dyn Clock> = Arc::<Gate>::clone(&gate);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (store, supervisor) = start_by(clock, directory.path(), &StoreSection::default())
            .expect("nobody else has the directory");
        let _opener = Opener(Arc::clone(&gate));
        Self { gate, store, supervisor, directory, _opener }
    }

    /// Begins a search, and goes on with the test when it is held at its look of this number.
    async fn search_until(&self, look: usize, request: SearchRequest) -> Running<'_> {
        self.gate.hold(look);
        let mut running = self.store.search(request);
        tokio::select! {
            answer = &mut running => panic!("the search ended before its look {look}: {answer:?}"),
            () = eventually("the search is held", || self.gate.count() == look) => {}
        }
        running
    }

    fn files(&self) -> Vec<PathBuf> {
        ["parquet", "filter"].iter().flat_map(|of| files_of(self.directory.path(), "shop", of)).collect()
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<SearchResponse, SearchError>> + Send + 'a>>;

/// Two segments of two pages each: rows of a page and some more.
const SEGMENTS: u64 = 2;
const ROWS: u64 = 9_000;
const MATCHES: u64 = SEGMENTS * ROWS / 1_000;

/// Texts of which every page has one with the phrase, and all have its words.
async fn texts() -> Held {
    let held = Held::new();
    for segment in 0..SEGMENTS {
        let mut record = Recording::new("shop");
        for row in 0..ROWS {
            let n = segment * ROWS + row;
            let words = if n.is_multiple_of(1_000) { "timed out" } else { "out, timed" };
            let seconds = i64::try_from(n).expect("a small number");
            record = record.event(at(seconds), &format!(r#"{{"message":"request {n} {words}"}}"#));
        }
        write(&held.store, &partition(0), vec![record.at_offset(segment)]).await;
        held.store.flush().await.expect("flushes");
    }
    held
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// Searches that look through all pages: one for its hits, one to count.
fn scans() -> [SearchRequest; 2] {
    let mut hits = SearchRequest { count: Count::No, ..request("shop", r#""timed out""#) };
    hits.limits.timeout = TIMEOUT;
    [SearchRequest { limit: 0, count: Count::Exact, ..hits.clone() }, hits]
}

/// How many looks a search has that nobody stops: at every page at least.
async fn undisturbed(held: &Held, request: SearchRequest) -> usize {
    held.gate.hold(usize::MAX);
    let found = search(&held.store, request).await;
    assert_eq!(found.total.unwrap_or(found.hits.len() as u64), MATCHES);
    assert_eq!(found.stats.rows_scanned, SEGMENTS * ROWS);
    let looks = held.gate.count();
    assert!(looks >= 2 * 2 + 2, "{looks} looks");
    looks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_ends_at_the_page_where_its_caller_leaves() {
    for request in scans() {
        let held = texts().await;
        let middle = undisturbed(&held, request.clone()).await - 2;
        let running = held.search_until(middle, request).await;
        drop(running);
        held.gate.open();
        // Waits for the thread of the search.
        held.supervisor.run_until(async {}).await;
        assert_eq!(held.gate.count(), middle, "it looks at no other page");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_ends_at_the_page_where_its_time_is_up() {
    for request in scans() {
        let held = texts().await;
        let middle = undisturbed(&held, request.clone()).await - 2;
        let running = held.search_until(middle, request).await;
        held.gate.time.advance(TIMEOUT);
        held.gate.open();
        let answer = running.await;
        assert!(matches!(answer, Err(SearchError::TimedOut { limit: TIMEOUT })), "{answer:?}");
        assert_eq!(held.gate.count(), middle, "it looks at no other page");
        held.supervisor.run_until(async {}).await;
    }
}

/// A search has its segments at this look, and has opened none of them.
const BEFORE_THE_FIRST: usize = 3;

/// Segments of one day that are merged when there is one more.
const UNMERGED: u64 = 7;

async fn numbered_segments() -> Held {
    let held = Held::new();
    for n in 0..UNMERGED {
        write(&held.store, &partition(0), vec![numbered("shop", n)]).await;
        held.store.flush().await.expect("flushes");
    }
    assert_eq!(held.files().len() as u64, 2 * UNMERGED);
    held
}

/// The search has all rows of the segments that it began with; with its end their files are gone.
async fn check_reads_on(held: &Held, running: Running<'_>, files: &[PathBuf]) {
    assert!(files.iter().all(|file| file.exists()), "a search needs them");
    held.gate.open();
    let found = running.await.expect("has an answer");
    assert_eq!(found.unreadable, []);
    assert_eq!(numbers_in(&found.hits), [6, 5, 4, 3, 2, 1, 0]);
    eventually("their files are gone", || !files.iter().any(|file| file.exists())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_segments_stay_while_a_search_reads_them() {
    let held = numbered_segments().await;
    let files = held.files();
    let running = held.search_until(BEFORE_THE_FIRST, request("shop", "*")).await;
    write(&held.store, &partition(0), vec![numbered("shop", UNMERGED)]).await;
    held.store.flush().await.expect("flushes");
    eventually("they are merged", || held.store.stats().merged == 1).await;
    eventually("the file of the last, which nobody reads, is gone", || {
        held.files().len() as u64 == 2 * UNMERGED + 2
    })
    .await;
    check_reads_on(&held, running, &files).await;
    assert_eq!(held.files().len(), 2, "the merged one");
    assert_eq!(numbers(&held.store, "shop", "*").await, [7, 6, 5, 4, 3, 2, 1, 0]);
    held.supervisor.run_until(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_segments_stay_while_a_search_reads_them() {
    let held = numbered_segments().await;
    let files = held.files();
    let running = held.search_until(BEFORE_THE_FIRST, request("shop", "*")).await;
    let tomorrow = Day::from_number(RECEIVED.day().number() + 1);
    assert_eq!(held.store.drop_before(None, tomorrow).await.expect("drops"), UNMERGED);
    check_reads_on(&held, running, &files).await;
    assert_eq!(held.files(), [] as [PathBuf; 0]);
    assert!(numbers(&held.store, "shop", "*").await.is_empty());
    held.supervisor.run_until(async {}).await;
}
