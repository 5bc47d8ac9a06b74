use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::metrics::{Builder, Metrics};
use weir_foundation::settings::{DurationText, SizeText};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_model::{Offset, StreamPartition};
use weir_services::{Engine, Home, Search};
use weir_store::conformance::fixture::{Recording, at};
use weir_store::{IndexStore, Verdicts, WriteBatch, WriteRecord};
use weir_store_elastic::{ElasticMetrics, ElasticParts, ElasticSection, ElasticStore, Settings, Template};

/// A store in a process of its own.
pub(crate) struct World {
    pub(crate) store: ElasticStore,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    supervisor: Supervisor,
}

/// A node that all tests share.
pub(crate) fn node(engine: Engine) -> SocketAddr {
    Search::of_this_process(&Home::of_the_tree(), engine).expect("a node starts")
}

/// A namespace that no other test has.
pub(crate) fn namespace() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("t{}-", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Quick, for one node.
pub(crate) fn section(node: SocketAddr) -> ElasticSection {
    ElasticSection {
        urls: Some(vec![format!("http://{node}")]),
        namespace: Some(namespace()),
        linger: Some(DurationText::from_millis(1)),
        retry_first: Some(DurationText::from_millis(10)),
        retry_longest: Some(DurationText::from_millis(50)),
        bulk_documents: Some(500),
        bulk_bytes: Some(SizeText::from_bytes(1 << 20)),
        ..ElasticSection::default()
    }
}

impl World {
    pub(crate) fn open(section: &ElasticSection) -> Self {
        Self::open_at(section, Arc::new(SystemClock))
    }

    pub(crate) fn open_at(section: &ElasticSection, clock: Arc<dyn Clock>) -> Self {
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let health = Health::new(Arc::clone(&clock));
        let mut metrics = Builder::new();
        let parts = ElasticParts {
            clock,
            spawner: supervisor.spawner(),
            health: health.clone(),
            metrics: ElasticMetrics::register(&mut metrics),
        };
        let settings = Settings::validate(section).expect("are valid");
        let store = ElasticStore::open(settings.clone(), parts).expect("opens");
        Self { store, health, metrics: metrics.build(), settings, supervisor }
    }

    /// Removes what the settings do not keep, from now on.
    pub(crate) fn retain(&self) {
        self.store.retain(&self.supervisor.spawner());
    }

    /// Writes the index template.
    pub(crate) async fn setup(&self) {
        let template = Template::new(&self.settings, &[]);
        template.put(&self.settings, Arc::new(SystemClock)).await.expect("makes a template");
    }

    /// What the store says of itself.
    pub(crate) fn state(&self) -> String {
        let states = self.health.readiness();
        states.iter().find(|state| state.name == "elastic").expect("is registered").to_string()
    }

    /// The value of a line of the metrics, which begins with `line`.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.exposition();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// Writes, in a task.
    #[expect(clippy::disallowed_methods, reason = "a write that waits while the test goes on")]
    pub(crate) fn write(&self, batch: WriteBatch) -> tokio::task::JoinHandle<Verdicts> {
        let store = self.store.clone();
        tokio::spawn(async move { store.write(batch).await.expect("is answered") })
    }
}

/// So many records of one event each, from offset 0.
pub(crate) fn batch(partition: &StreamPartition, prefix: &str, events: u64) -> WriteBatch {
    batch_of(partition, prefix, (0..events).map(|n| format!(r#"{{"n":{n},"text":"event {n} of many"}}"#)))
}

/// Records of these contents, from offset 0.
pub(crate) fn batch_of(
    partition: &StreamPartition,
    prefix: &str,
    contents: impl IntoIterator<Item = impl AsRef<str>>,
) -> WriteBatch {
    let record = |(offset, content): (u64, _)| -> WriteRecord {
        let content: &dyn AsRef<str> = &content;
        Recording::new(prefix).event(at(1), content.as_ref()).at_offset(offset)
    };
    let records: Vec<_> = (0..).zip(contents).map(record).collect();
    let next = Offset(records.len() as u64);
    WriteBatch { partition: partition.clone(), from: Offset::ZERO, records, next, more: false }
}

/// What a node answers to this.
pub(crate) async fn ask(node: SocketAddr, method: &str, path: &str, body: &str) -> Value {
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("is a method");
    let client = reqwest::Client::builder().no_proxy().build().expect("builds");
    let request =
        client.request(method, format!("http://{node}/{path}")).header("content-type", "application/json");
    let answer = request.body(body.to_owned()).send().await.expect("is answered");
    let text = answer.text().await.expect("is whole");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// All documents of the indices, by `_id`, sorted.
pub(crate) async fn documents(node: SocketAddr, pattern: &str) -> Vec<(String, Value)> {
    ask(node, "POST", &format!("{pattern}/_refresh"), "").await;
    let found = ask(node, "POST", &format!("{pattern}/_search?size=10000"), "{}").await;
    let hits = found["hits"]["hits"].as_array();
    assert!(hits.is_some(), "no hits in {found}");
    let hits = hits.cloned().unwrap_or_default();
    let document = |hit: Value| (hit["_id"].as_str().expect("has an id").to_owned(), hit["_source"].clone());
    let mut documents: Vec<_> = hits.into_iter().map(document).collect();
    documents.sort_by(|(a, _), (b, _)| a.cmp(b));
    documents
}

/// Waits for a condition, for a minute at most.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let started = SystemClock.monotonic();
    while !condition().await {
        let waited = SystemClock.monotonic().saturating_duration_since(started);
        assert!(waited < Duration::from_secs(60), "a minute passed and still not: {what}");
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
}
