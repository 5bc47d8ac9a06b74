//! What an Elasticsearch user finds, and what goes over the wire.

use serde_json::json;
use weir_model::Timestamp;
use weir_services::Engine;
use weir_store::IndexStore;
use weir_store::conformance::fixture::{RECEIVED, Recording, hits, partition, write_of};
use weir_store_elastic::{Documents, ElasticSection, IndexMode};
use weir_testkit::Proxy;

use crate::world::{World, documents, node, section};

const YESTERDAY: Timestamp = Timestamp::from_micros(RECEIVED.micros() - 86_400_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_compat_documents_are_where_barito_flow_would_have_put_them() {
    let node = node(Engine::Elasticsearch8);
    let proxy = Proxy::start(node).await.expect("starts");
    let section = ElasticSection {
        documents: Some(Documents::Barito),
        gzip_level: Some(9),
        ..section(proxy.address())
    };
    let world = World::open(&section);
    let records = vec![
        Recording::new("shop")
            .event(YESTERDAY, r#"{"a":1,"@timestamp":"2026-11-20T12:00:00Z"}"#)
            .at_offset(0),
        Recording::new("shop").event(RECEIVED, r#"{"weir":"mine","n":1.5}"#).at_offset(1),
    ];
    world.store.write(write_of(&partition(0), records)).await.expect("is answered");
    let name = section.namespace.unwrap_or_default();
    let found = documents(node, &format!("{name}shop-2026.11.21")).await;
    let expected = [
        json!({ "a": 1, "@timestamp": "2026-11-20T12:00:00Z" }),
        json!({ "weir": "mine", "n": 1.5, "@timestamp": "2026-11-21T12:00:00Z" }),
    ];
    assert_eq!(found.into_iter().map(|(_, source)| source).collect::<Vec<_>>(), expected);

    let (bulk, _) = proxy.seen("_bulk").remove(0);
    let body = format!(
        r#"{{"create":{{"_index":"{name}shop-2026.11.21","_id":"shop_logs-0000000000000001-0-0.0"}}}}
{{"a":1,"@timestamp":"2026-11-20T12:00:00Z"}}
{{"create":{{"_index":"{name}shop-2026.11.21","_id":"shop_logs-0000000000000001-0-1.0"}}}}
{{"weir":"mine","n":1.5,"@timestamp":"2026-11-21T12:00:00Z"}}
"#
    );
    assert_eq!(String::from_utf8_lossy(&bulk.body), body);
    let headers = ["content-type", "content-encoding", "authorization"].map(|name| bulk.header(name));
    assert_eq!(headers, [Some("application/x-ndjson"), Some("gzip"), None]);
    assert_eq!((bulk.method.as_str(), bulk.path.split('?').next()), ("POST", Some("/_bulk")));
    let found = hits(&world.store, "a:1 OR n:>1").await;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].time, found[1].time), (RECEIVED, YESTERDAY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_says_where_it_is_from() {
    let node = node(Engine::OpenSearch2);
    let section = section(node);
    let world = World::open(&section);
    let record = Recording::new("shop").event(YESTERDAY, r#"{"status":500,"ratio":1.0}"#).at_offset(7);
    world.store.write(write_of(&partition(2), vec![record])).await.expect("is answered");
    let name = section.namespace.unwrap_or_default();
    let found = documents(node, &format!("{name}shop-2026.11.20")).await;
    let expected = json!({
        "status": 500,
        "ratio": 1.0,
        "weir": {
            "stream": "shop_logs",
            "received": "2026-11-21T12:00:00Z",
            "id": "shop_logs-0000000000000001-2-7.0",
            "time": YESTERDAY.micros(),
            "order": "shop_logs!0000000000000001a2a7a0",
        },
        "@timestamp": "2026-11-20T12:00:00Z",
    });
    assert_eq!(found, [("shop_logs-0000000000000001-2-7.0".to_owned(), expected)]);
    // Without the template too.
    assert_eq!(hits(&world.store, "status:500").await[0].content, r#"{"status":500,"ratio":1.0}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_inserts_are_one_request_each() {
    let node = node(Engine::Elasticsearch8);
    let proxy = Proxy::start(node).await.expect("starts");
    let section = ElasticSection { mode: Some(IndexMode::Single), ..section(proxy.address()) };
    let world = World::open(&section);
    for _ in ["once", "again"] {
        let records =
            (0..3).map(|n| Recording::new("shop").event(RECEIVED, r#"{"a":1}"#).at_offset(n)).collect();
        world.store.write(write_of(&partition(0), records)).await.expect("is answered");
        world.store.release(&[partition(0)]);
    }
    let name = section.namespace.unwrap_or_default();
    let seen = proxy.seen(&name);
    assert_eq!(seen.len(), 6);
    let mut paths: Vec<_> =
        seen.iter().map(|(request, _)| (request.method.as_str(), request.path.as_str())).collect();
    paths.sort_unstable();
    paths.dedup();
    let path = format!("/{name}shop-2026.11.21/_create/shop_logs-0000000000000001-0-0.0");
    assert_eq!((paths.len(), paths[0]), (3, ("PUT", path.as_str())));
    assert!(seen[0].0.body.starts_with(br#"{"a":1,"weir":{"#));
    assert_eq!(documents(node, &format!("{name}shop-*")).await.len(), 3);
    assert_eq!(world.metric(r#"weir_elastic_documents_total{verdict="known",error=""}"#), Some(3.0));
}
