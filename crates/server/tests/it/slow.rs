//! Searches that take their time: the queue is bounded, waiting counts, and leaving is noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::sync::{Notify, watch};
use weir_model::{Day, IndexPrefix, Offset, StreamPartition};
use weir_server::ServerSettings;
use weir_store::{
    DropError, IndexInfo, IndexStore, InspectError, Inventory, PositionRun, SearchError, SearchRequest,
    SearchResponse, Verdicts, WriteBatch, WriteError,
};

use crate::world::{World, json as body};

/// Answers searches only when it is told to.
#[derive(Debug)]
struct SlowStore {
    inner: Arc<dyn IndexStore>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    open: Notify,
    running: AtomicUsize,
    changed: Notify,
}

impl Gate {
    async fn running(&self, count: usize) {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                if self.running.load(Ordering::SeqCst) == count {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("so many searches run");
    }

    fn enter(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        Running(self)
    }
}

/// Counted as running until dropped, which is what a caller that left looks like.
struct Running<'a>(&'a Gate);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

#[async_trait]
impl IndexStore for SlowStore {
    async fn write(&self, batch: WriteBatch) -> Result<Verdicts, WriteError> {
        self.inner.write(batch).await
    }

    fn resume(&self, partition: &StreamPartition, committed: Offset) -> Offset {
        self.inner.resume(partition, committed)
    }

    fn release(&self, partitions: &[StreamPartition]) {
        self.inner.release(partitions);
    }

    fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.inner.durable(partition)
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.inner.progress()
    }

    async fn flush(&self) -> Result<(), WriteError> {
        self.inner.flush().await
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError> {
        let _running = self.gate.enter();
        self.gate.open.notified().await;
        self.inner.search(request).await
    }

    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError> {
        self.inner.indices().await
    }

    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError> {
        self.inner.drop_before(prefix, day).await
    }

    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError> {
        self.inner.holds(partition, wanted).await
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        self.inner.inventory()
    }
}

async fn slow_world(settings: ServerSettings) -> (Arc<World>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let shared = Arc::clone(&gate);
    let world = World::with(settings, |inner| Arc::new(SlowStore { inner, gate: shared })).await;
    (Arc::new(world), gate)
}

const SEARCH: &str = "/api/v1/search?prefix=shop";

#[tokio::test]
async fn who_finds_the_queue_full_is_told_when_to_come_back() {
    let settings = ServerSettings { searches_running: 1, searches_waiting: 0, ..ServerSettings::default() };
    let (world, gate) = slow_world(settings).await;
    let asking = Arc::clone(&world);
    let first = async move { asking.get(SEARCH).await.0 };
    let others = async {
        gate.running(1).await;
        let response = world.ask(Method::GET, SEARCH, None).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let (status, answer) = body(response).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::TOO_MANY_REQUESTS, &json!("too-many-searches"))
        );
        gate.open.notify_one();
    };
    let (status, ()) = tokio::join!(first, others);
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn waiting_in_the_queue_counts_for_the_time_limit() {
    let settings = ServerSettings {
        searches_running: 1,
        searches_waiting: 1,
        search_timeout: Duration::from_millis(50),
        ..ServerSettings::default()
    };
    let (world, gate) = slow_world(settings).await;
    let asking = Arc::clone(&world);
    let first = async move { asking.get(SEARCH).await.0 };
    let second = async {
        gate.running(1).await;
        let (status, answer) = world.get(SEARCH).await;
        let code = answer["error"]["code"].clone();
        assert_eq!((status, code), (StatusCode::GATEWAY_TIMEOUT, json!("query-timed-out")), "{answer}");
        assert!(answer["error"]["message"].as_str().expect("is text").contains("0.05s"), "{answer}");
        gate.open.notify_one();
    };
    let (status, ()) = tokio::join!(first, second);
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_caller_that_leaves_ends_its_search() {
    let (world, gate) = slow_world(ServerSettings::default()).await;
    {
        let asking = world.ask(Method::GET, SEARCH, None);
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            _ = &mut asking => panic!("nobody opened the gate"),
            () = gate.running(1) => {}
        }
    }
    gate.running(0).await;
}

/// An answer that is larger than what lies on the way to the caller keeps its place until it is read.
#[tokio::test]
async fn an_answer_that_nobody_reads_keeps_its_place() {
    let settings = ServerSettings { searches_running: 1, searches_waiting: 0, ..ServerSettings::default() };
    let world = World::with(settings, |inner| inner).await;
    let partition = world.create_stream("shop_logs").await;
    let event = json!({ "text": "x".repeat(1 << 20) }).to_string();
    for second in 0..48 {
        world.append(&partition, second, std::slice::from_ref(&event)).await;
    }
    world.deliver(&partition).await;
    let small = "/api/v1/search?prefix=shop&limit=1";

    let large = world.ask(Method::GET, SEARCH, None).await;
    assert_eq!(large.status(), StatusCode::OK);
    assert_eq!(world.get(small).await.0, StatusCode::TOO_MANY_REQUESTS);
    let large = large.bytes().await.expect("the answer is whole");
    assert!(large.len() > 48 << 20);
    let free = async { while world.get(small).await.0 != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(10), free).await.expect("the place is given back");
}
