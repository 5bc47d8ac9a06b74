//! The embedded journal and stores, with the deliverer on its thread, over several lives of the process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use weir_consumer::audit::audit;
use weir_consumer::delivery::{Delivery, Dependencies};
use weir_consumer::metrics::ConsumerMetrics;
use weir_consumer::section::{ConsumerSection, ConsumerSettings};
use weir_consumer::verify::verify;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::metrics::Builder;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_journal::sqlite::{Settings as JournalSettings, SqliteJournal};
use weir_journal::{Journal, Origin, StreamSpec};
use weir_model::{IndexPrefix, Record, RecordFormat, StreamName};
use weir_redaction::Redactor;
use weir_store::query::{Query, TimeRange};
use weir_store::segment::{SegmentParts, SegmentStore, Settings as StoreSettings, StoreSection};
use weir_store::{Count, IndexStore, SearchLimits, SearchRequest};
use weir_wire::EventsBuilder;

use crate::world::eventually;

struct Process {
    supervisor: Supervisor,
    journal: Arc<SqliteJournal>,
    store: SegmentStore,
    stream: StreamName,
}

impl Process {
    async fn start(directory: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let (spawner, health) = (supervisor.spawner(), Health::new(Arc::clone(&clock)));
        let settings = JournalSettings::new(directory.join("journal"));
        let journal = SqliteJournal::open(settings, Arc::clone(&clock), &spawner).expect("opens");
        let settings =
            StoreSettings::validate(&StoreSection::default(), directory.join("index")).expect("are valid");
        let parts =
            SegmentParts { clock: Arc::clone(&clock), spawner: spawner.clone(), health: health.clone() };
        let store = SegmentStore::open(settings, parts).expect("opens");
        let dependencies = Dependencies {
            journal: Arc::<SqliteJournal>::clone(&journal),
            store: Arc::new(store.clone()),
            dead_letters: Arc::new(store.clone()),
            redactor: Redactor::off(),
            clock,
            health,
            metrics: ConsumerMetrics::register(&mut Builder::new()),
        };
        let settings = ConsumerSettings::validate(&ConsumerSection::default()).expect("are valid");
        let delivery = Delivery::subscribe(dependencies, &settings).await.expect("subscribes");
        delivery.start(&spawner).expect("there are threads");
        let stream = StreamName::new("shop_logs").expect("is legal");
        let spec = StreamSpec { partitions: Some(3), ..StreamSpec::new(stream.clone()) };
        journal.create_stream(spec).await.expect("creates");
        Self { supervisor, journal, store, stream }
    }

    /// Records of twenty events, one of which can not be stored.
    async fn send(&self, records: u32) {
        let prefix = IndexPrefix::new("shop").expect("is legal");
        for number in 0..records {
            let mut events = EventsBuilder::new(&prefix);
            for event in 0..19 {
                events.push_json(&format!(r#"{{"record":{number},"event":{event},"level":"info"}}"#), None);
            }
            events.push_json("{}", None);
            let (value, events) = events.finish();
            // A week after its receipt the journal may forget a record.
            let received = SystemClock.now().into();
            let events = Some(events);
            let record = Record { format: RecordFormat::Events, events, received, batch: None, value };
            self.journal.append(&self.stream, Origin::Any, vec![record]).await.expect("appends");
        }
    }

    async fn count(&self) -> u64 {
        let request = SearchRequest {
            prefix: IndexPrefix::new("shop").expect("is legal"),
            query: Query::parse("level:info").expect("is a query"),
            range: TimeRange::ALL,
            limit: 0,
            after: None,
            count: Count::Exact,
            histogram: None,
            top: None,
            limits: SearchLimits { timeout: Duration::from_secs(60), memory: 1 << 30 },
        };
        self.store.search(request).await.expect("searches").total.expect("was asked for")
    }

    async fn check(&self, events: u64, dead: u64) {
        eventually("all is searchable", async || self.count().await == events).await;
        eventually("the audit is balanced", async || {
            let reports = audit(&*self.journal, &self.store, &self.store, None).await.expect("audits");
            reports[0].is_balanced() && reports[0].total().waiting == Some(0)
        })
        .await;
        let reports = audit(&*self.journal, &self.store, &self.store, None).await.expect("audits");
        let total = reports[0].total();
        assert_eq!((total.accepted, total.delivered, total.dead), (Some(events + dead), events, dead));
        let proofs = verify(&*self.journal, &self.store, &self.store, &self.stream).await.expect("compares");
        assert_eq!(proofs.iter().map(|proof| proof.found).sum::<u64>(), events + dead, "{proofs:#?}");
        assert!(proofs.iter().all(|proof| proof.holds() && proof.missing.events == 0), "{proofs:#?}");
    }

    async fn drain(self) {
        self.supervisor.run_until(async {}).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_over_several_lives() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for life in 1..=4 {
        let process = Process::start(directory.path()).await;
        process.check((life - 1) * 100 * 19, (life - 1) * 100).await;
        process.send(50).await;
        process.check((life * 100 - 50) * 19, life * 100 - 50).await;
        process.send(50).await;
        // With deliveries under way.
        process.drain().await;
    }
    let process = Process::start(directory.path()).await;
    process.check(400 * 19, 400).await;
    process.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_thrown_away_is_filled_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let process = Process::start(directory.path()).await;
    process.send(100).await;
    process.check(100 * 19, 100).await;
    process.drain().await;
    std::fs::remove_dir_all(directory.path().join("index")).expect("removes");
    let process = Process::start(directory.path()).await;
    process.check(100 * 19, 100).await;
    process.drain().await;
}
