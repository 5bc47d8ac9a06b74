//! Nodes that do not answer, or not as they should: nothing is lost, nothing is there twice, memory is bounded.

use weir_foundation::settings::{DurationText, SizeText};
use weir_services::Engine;
use weir_store::conformance::fixture::partition;
use weir_store::{IndexStore, WriteError};
use weir_store_elastic::ElasticSection;
use weir_testkit::{Action, Proxy};

use crate::world::{World, batch, batch_of, documents, eventually, node, section};

const EVENTS: u64 = 300;

/// The store fails so for a while, and a write waits until it does not.
async fn check(engine: Engine, action: Action, names: &str) {
    let node = node(engine);
    let proxy = Proxy::start(node).await.expect("starts");
    let section = ElasticSection {
        request_timeout: Some(DurationText::from_millis(2_000)),
        bulk_documents: Some(40),
        ..section(proxy.address())
    };
    let world = World::open(&section);
    proxy.rule(move |request| if request.path.starts_with("/_bulk") { action } else { Action::Forward });
    let write = world.write(batch(&partition(0), "shop", EVENTS));
    eventually("it is tried again", async || proxy.seen("_bulk").len() > 4).await;
    if !matches!(action, Action::RefuseHalf(_)) {
        assert!(!write.is_finished(), "{action:?}");
        if !names.is_empty() {
            eventually("the health says so", async || world.state().contains(names)).await;
            assert!(!world.health.ready(), "{}", world.state());
        }
    }
    proxy.heal();
    let verdicts = write.await.expect("ends");
    assert_eq!(verdicts.rejected, [], "{action:?}");
    assert_eq!(world.store.durable(&partition(0)).expect("was written").0, EVENTS);
    eventually("it is well again", async || world.health.ready()).await;
    let pattern = format!("{}shop-*", section.namespace.clone().unwrap_or_default());
    let ids: Vec<_> = documents(node, &pattern).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len() as u64, EVENTS, "{action:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_repeated() {
    check(Engine::OpenSearch2, Action::Refuse(429), "").await;
    check(Engine::OpenSearch2, Action::RefuseHalf(429), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_available_is_waited_for() {
    check(Engine::Elasticsearch8, Action::Refuse(503), "503: the proxy says 503").await;
    check(Engine::Elasticsearch8, Action::RefuseHalf(503), "").await;
    check(Engine::Elasticsearch8, Action::Refuse(404), "404").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_close_are_made_again() {
    check(Engine::OpenSearch2, Action::Close, "did not answer").await;
    check(Engine::OpenSearch2, Action::ForwardAndClose, "did not answer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_answer_is_repeated() {
    check(Engine::Elasticsearch8, Action::Hang, "did not answer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_weir_may_not_write_waits_until_it_may() {
    check(Engine::OpenSearch2, Action::Refuse(401), "401").await;
    check(Engine::OpenSearch2, Action::Refuse(403), "403").await;
    check(Engine::OpenSearch2, Action::RefuseHalf(403), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_halved() {
    let node = node(Engine::OpenSearch2);
    let proxy = Proxy::start(node).await.expect("starts");
    proxy.rule(|request| if request.body.len() > 20_000 { Action::Refuse(413) } else { Action::Forward });
    let section = section(proxy.address());
    let world = World::open(&section);
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(30_000));
    let contents: Vec<String> =
        (0..200).map(|n| if n == 77 { large.clone() } else { format!(r#"{{"n":{n}}}"#) }).collect();
    let verdicts = world.store.write(batch_of(&partition(0), "shop", &contents)).await.expect("is answered");
    let rejected: Vec<_> = verdicts.rejected.iter().map(|it| (it.offset.0, it.label)).collect();
    assert_eq!(rejected, [(77, "data_too_large")]);
    assert!(verdicts.rejected[0].reason.starts_with("413"), "{:?}", verdicts.rejected);
    let pattern = format!("{}shop-*", section.namespace.unwrap_or_default());
    assert_eq!(documents(node, &pattern).await.len(), 199);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_while_the_store_is_away() {
    let node = node(Engine::OpenSearch2);
    let proxy = Proxy::start(node).await.expect("starts");
    proxy.rule(|_| Action::Refuse(503));
    let section = ElasticSection {
        buffer: Some(SizeText::from_bytes(1 << 20)),
        bulk_bytes: Some(SizeText::from_bytes(128 << 10)),
        gzip_level: Some(0),
        ..section(proxy.address())
    };
    let world = World::open(&section);
    let writes: Vec<_> = (0..40)
        .map(|index| world.write(batch(&partition(index), &format!("app{}", index % 8), 500)))
        .collect();
    let waiting = || world.metric("weir_elastic_waiting_bytes").unwrap_or(0.0);
    eventually("the buffer is full", async || waiting() > f64::from(700 << 10)).await;
    for _ in 0..50 {
        let requests = proxy.seen("_bulk").len();
        eventually("it is tried again", async || proxy.seen("_bulk").len() > requests).await;
        assert!(waiting() <= f64::from((1 << 20) + (256 << 10)), "{} bytes wait", waiting());
    }
    assert!(writes.iter().all(|write| !write.is_finished()));
    proxy.heal();
    for write in writes {
        assert_eq!(write.await.expect("ends").rejected, []);
    }
    let pattern = format!("{}app*", section.namespace.unwrap_or_default());
    let found = crate::world::ask(node, "POST", &format!("{pattern}/_refresh"), "").await;
    assert!(found["_shards"]["failed"] == 0, "{found}");
    let found = crate::world::ask(node, "GET", &format!("{pattern}/_count"), "").await;
    assert_eq!(found["count"], 20_000);
}

/// A write that is dropped leaves the partition where it was, and what it gave may arrive or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_dropped_is_forgotten() {
    let node = node(Engine::OpenSearch2);
    let proxy = Proxy::start(node).await.expect("starts");
    proxy.rule(|_| Action::Refuse(503));
    let section = section(proxy.address());
    let world = World::open(&section);
    assert_eq!(world.store.resume(&partition(0), weir_model::Offset(0)), weir_model::Offset(0));
    let write = world.write(batch(&partition(0), "shop", 50));
    eventually("it is tried", async || proxy.seen("_bulk").len() > 2).await;
    write.abort();
    drop(write.await);
    world.store.release(&[partition(0)]);
    assert_eq!(world.store.durable(&partition(0)), None);
    eventually("nothing waits any more", async || world.metric("weir_elastic_waiting_bytes") == Some(0.0))
        .await;
    eventually("nothing is wrong any more", async || world.health.ready()).await;
    proxy.heal();
    assert_eq!(world.store.resume(&partition(0), weir_model::Offset(10)), weir_model::Offset(10));
    let gap = world
        .store
        .write(weir_store::WriteBatch { from: weir_model::Offset(11), ..batch(&partition(0), "shop", 20) });
    assert!(matches!(gap.await, Err(WriteError::Gap { .. })));
    world.store.write(batch(&partition(0), "shop", 20)).await.expect("is answered");
    let pattern = format!("{}shop-*", section.namespace.unwrap_or_default());
    assert_eq!(documents(node, &pattern).await.len(), 10, "what is below the commit is not written again");
}
