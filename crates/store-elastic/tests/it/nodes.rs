use std::net::{SocketAddr, TcpListener};

use weir_foundation::settings::DurationText;
use weir_services::Engine;
use weir_store::IndexStore;
use weir_store::conformance::fixture::partition;
use weir_store_elastic::ElasticSection;
use weir_testkit::{Action, Proxy};

use crate::world::{World, batch, documents, eventually, node, section};

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("has a port");
    listener.local_addr().expect("has an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dead_is_left_out() {
    let node = node(Engine::OpenSearch2);
    let (one, other) = (Proxy::start(node).await.expect("starts"), Proxy::start(node).await.expect("starts"));
    let urls = [nobody(), one.address(), other.address()].map(|address| format!("http://{address}"));
    let section = ElasticSection {
        urls: Some(urls.to_vec()),
        bulk_documents: Some(10),
        request_timeout: Some(DurationText::from_secs(5)),
        ..section(node)
    };
    let world = World::open(&section);
    for index in 0..20 {
        world.store.write(batch(&partition(index), "shop", 50)).await.expect("is answered");
    }
    let bulks = [&one, &other].map(|proxy| proxy.seen("_bulk").len());
    assert!(bulks.iter().all(|count| *count > 10), "both that live are asked: {bulks:?}");
    let failed = world.metric(r#"barito_consumer_elasticsearch_client_failed{phase="retry"}"#);
    assert!(failed.is_some_and(|count| (1.0..20.0).contains(&count)), "{failed:?}");

    one.rule(|_| Action::Close);
    world.store.write(batch(&partition(30), "shop", 50)).await.expect("is answered");
    let before = one.seen("_bulk").len();
    one.heal();
    eventually("it is asked again", async || {
        world.store.write(batch(&partition(31), "shop", 10)).await.expect("is answered");
        world.store.release(&[partition(31)]);
        one.seen("_bulk").len() > before
    })
    .await;
    let name = section.namespace.unwrap_or_default();
    assert_eq!(documents(node, &format!("{name}shop-*")).await.len(), 20 * 50 + 50 + 10);
}
