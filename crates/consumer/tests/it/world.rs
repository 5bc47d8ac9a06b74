use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_consumer::audit::{StreamReport, audit};
use weir_consumer::delivery::{Delivery, Dependencies};
use weir_consumer::metrics::ConsumerMetrics;
use weir_consumer::section::{ConsumerSection, ConsumerSettings};
use weir_consumer::verify::verify;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::metrics::{Builder, Metrics};
use weir_foundation::settings::DurationText;
use weir_foundation::supervise::{DrainDeadlines, Supervisor, TaskHandle};
use weir_journal::memory::MemoryJournal;
use weir_journal::{Journal, Origin, StreamSpec};
use weir_model::{
    EventId, IndexPrefix, Offset, Position, Record, RecordFormat, StreamName, StreamPartition, Timestamp,
};
use weir_redaction::Redactor;
use weir_store::memory::{Durability, MemoryStore};
use weir_store::query::{Query, TimeRange};
use weir_store::segment::FilingWindow;
use weir_store::{
    Count, DeadLetter, DeadLetterFilter, DeadLetterStore, IndexStore, Inventory, SearchLimits, SearchRequest,
};
use weir_testkit::{Faults, FaultyJournal, FaultyStore};
use weir_wire::EventsBuilder;

/// 2026-11-21T12:00:00Z
pub(crate) const RECEIVED: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

/// What outlives a consumer.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) journal: MemoryJournal,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) refuses: fn(&Position) -> bool,
    pub(crate) redactor: Redactor,
    /// What the store says to be durable while nothing is.
    pub(crate) claims: Option<Offset>,
    /// Partitions whose writes are never answered.
    pub(crate) holds_back: fn(&StreamPartition) -> bool,
    /// Takes partitions away from a running consumer.
    pub(crate) revoke: watch::Sender<Vec<StreamPartition>>,
}

/// A running consumer.
pub(crate) struct Life {
    supervisor: Supervisor,
    tasks: [TaskHandle; 2],
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
}

impl World {
    pub(crate) fn new(durability: Durability) -> Self {
        Self {
            journal: MemoryJournal::new(Arc::new(SystemClock)),
            store: Arc::new(MemoryStore::new(durability, FilingWindow::default())),
            refuses: |_| false,
            redactor: Redactor::off(),
            claims: None,
            holds_back: |_| false,
            revoke: watch::Sender::new(Vec::new()),
        }
    }

    pub(crate) async fn stream(&self, name: &str, partitions: u32) -> StreamName {
        let name = StreamName::new(name).expect("is legal");
        let spec = StreamSpec { partitions: Some(partitions), ..StreamSpec::new(name.clone()) };
        self.journal.create_stream(spec).await.expect("creates");
        name
    }

    /// Appends a record of these contents, and answers where its events are.
    pub(crate) async fn send(&self, stream: &StreamName, prefix: &str, contents: &[&str]) -> Vec<EventId> {
        let mut events = EventsBuilder::new(&IndexPrefix::new(prefix).expect("is legal"));
        contents.iter().for_each(|content| events.push_json(content, None));
        let (value, events) = events.finish();
        self.send_bytes(stream, value, events).await
    }

    pub(crate) async fn send_bytes(&self, stream: &StreamName, value: Bytes, events: u32) -> Vec<EventId> {
        let record = Record {
            format: RecordFormat::Events,
            events: Some(events),
            received: RECEIVED,
            batch: None,
            value,
        };
        let appended =
            self.journal.append(stream, Origin::Any, vec![record]).await.expect("appends").remove(0);
        let id = |index| {
            EventId(Position { partition: appended.partition.clone(), offset: appended.offset, index })
        };
        (0..events).map(id).collect()
    }

    pub(crate) async fn start(&self, faults: &Faults) -> Life {
        self.start_with(faults, ConsumerSection::default()).await
    }

    pub(crate) async fn start_with(&self, faults: &Faults, section: ConsumerSection) -> Life {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let health = Health::new(Arc::clone(&clock));
        let mut metrics = Builder::new();
        let store = FaultyStore::new(
            Arc::<MemoryStore>::clone(&self.store),
            Arc::<MemoryStore>::clone(&self.store),
            faults.clone(),
        );
        let store =
            Arc::new(store.refusing(self.refuses).claiming(self.claims).holding_back(self.holds_back));
        let journal = FaultyJournal::new(Arc::new(self.journal.clone()), faults.clone());
        let dependencies = Dependencies {
            journal: Arc::new(journal.revoking(self.revoke.subscribe())),
            store: Arc::<FaultyStore>::clone(&store),
            dead_letters: store,
            redactor: self.redactor.clone(),
            clock: Arc::clone(&clock),
            health: health.clone(),
            metrics: ConsumerMetrics::register(&mut metrics),
        };
        let section = ConsumerSection {
            commit_interval: section.commit_interval.or(Some(DurationText::from_millis(1))),
            retry_first: Some(DurationText::from_millis(1)),
            retry_longest: Some(DurationText::from_millis(2)),
            ..section
        };
        let settings = ConsumerSettings::validate(&section).expect("are valid");
        let delivery = Delivery::subscribe(dependencies, &settings).await.expect("subscribes");
        let supervisor = Supervisor::new(Handle::current(), clock, DrainDeadlines::default());
        let tasks = delivery.start_as_tasks(&supervisor.spawner());
        Life { supervisor, tasks, health, metrics: metrics.build() }
    }

    /// The process of the stores dies with the consumer's: what was not durable is gone.
    pub(crate) fn crash(&mut self) {
        self.store = Arc::new(self.store.after_crash());
    }

    /// Whether everything that can be read from the journal was given to the store.
    pub(crate) async fn is_delivered(&self) -> bool {
        for stream in self.journal.streams().await.expect("lists") {
            let audits = self.store.audit(&stream.name).await.expect("audits");
            for bounds in stream.partitions {
                let next =
                    audits.iter().find(|audit| audit.partition == bounds.partition).map(|audit| audit.next);
                if next.unwrap_or(Offset::ZERO) < bounds.end {
                    return false;
                }
            }
        }
        true
    }

    pub(crate) async fn delivered(&self) {
        eventually("everything is delivered", async || self.is_delivered().await).await;
    }

    /// Ids and contents of all rows of an index.
    pub(crate) async fn rows(&self, prefix: &str) -> BTreeMap<EventId, String> {
        let request = SearchRequest {
            prefix: IndexPrefix::new(prefix).expect("is legal"),
            query: Query::all(),
            range: TimeRange::ALL,
            limit: 100_000,
            after: None,
            count: Count::Exact,
            histogram: None,
            top: None,
            limits: SearchLimits { timeout: Duration::from_secs(60), memory: 1 << 30 },
        };
        let response = self.store.search(request).await.expect("searches");
        let rows: BTreeMap<_, _> = response.hits.into_iter().map(|hit| (hit.id, hit.content)).collect();
        assert_eq!(Some(rows.len() as u64), response.total, "no row is there twice");
        rows
    }

    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        let letters = self.store.list(&DeadLetterFilter::default(), None, 100_000).await.expect("lists");
        let mut whole = Vec::new();
        for (_, entry) in letters {
            whole.extend(self.store.get(&EventId(entry.position)).await.expect("gets"));
        }
        whole
    }

    pub(crate) async fn committed(&self) -> BTreeMap<StreamPartition, u64> {
        let groups = self.journal.groups().await.expect("lists");
        let positions = groups.into_iter().flat_map(|group| group.positions);
        positions.map(|position| (position.partition, position.committed.0)).collect()
    }

    pub(crate) async fn report(&self, stream: &StreamName) -> StreamReport {
        let reports = audit(&self.journal, &*self.store, &*self.store, Some(stream)).await.expect("audits");
        reports.into_iter().next().expect("the stream exists")
    }

    /// Counts and positions agree that every event of every stream is where it should be.
    pub(crate) async fn check_proofs(&self) {
        for stream in self.journal.streams().await.expect("lists") {
            let report = self.report(&stream.name).await;
            assert!(report.is_balanced(), "{report:#?}");
            let proofs = verify(&self.journal, &*self.store, &*self.store, &stream.name).await;
            for proof in proofs.expect("compares") {
                assert!(proof.holds(), "{proof:#?}");
                assert_eq!(proof.missing.events, 0, "{proof:#?}");
            }
        }
    }

    /// Everything is durable and committed: nothing would be delivered again.
    pub(crate) async fn check_committed(&self) {
        let committed = self.committed().await;
        for bounds in self.journal.streams().await.expect("lists").iter().flat_map(|s| &s.partitions) {
            let found = committed.get(&bounds.partition).copied().unwrap_or(0);
            assert_eq!(found, bounds.end.0, "{} is committed to its end", bounds.partition);
        }
    }
}

impl Life {
    /// Ends as after a signal.
    pub(crate) async fn drain(self) {
        self.supervisor.run_until(async {}).await;
    }

    /// Ends as after a signal, unless the crash comes first. Whether it did.
    pub(crate) async fn drain_or_die(self, faults: &Faults) -> bool {
        let Self { supervisor, tasks, .. } = self;
        let crashed = tokio::select! {
            biased;
            () = faults.crashed() => true,
            _ = supervisor.run_until(async {}) => false,
        };
        for task in tasks {
            task.abort();
            task.finished().await;
        }
        crashed
    }

    /// Ends as after SIGKILL.
    pub(crate) async fn die(self) {
        for task in self.tasks {
            task.abort();
            task.finished().await;
        }
    }

    /// What a component says of itself.
    pub(crate) fn state(&self, component: &str) -> String {
        let states = self.health.readiness();
        let state = states.iter().find(|state| state.name == component).expect("is registered");
        state.to_string()
    }

    /// The value of a line of the metrics, which begins with `line`.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.exposition();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }
}

/// Waits for a condition, for a minute at most.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let started = SystemClock.monotonic();
    while !condition().await {
        let waited = SystemClock.monotonic().saturating_duration_since(started);
        assert!(waited < Duration::from_secs(60), "a minute passed and still not: {what}");
        SystemClock.sleep(Duration::from_millis(1)).await;
    }
}
