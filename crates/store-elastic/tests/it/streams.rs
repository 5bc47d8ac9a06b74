//! Data streams, whose ids are unique in each of their indices only.

use weir_model::Offset;
use weir_services::Engine;
use weir_store::IndexStore;
use weir_store::conformance::fixture::{hits, numbered, partition, write};
use weir_store_elastic::{ElasticSection, IndexMode};

use crate::world::{World, ask, documents, node, section};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_a_rollover_is_not_written_again() {
    let node = node(Engine::OpenSearch2);
    let section = ElasticSection { mode: Some(IndexMode::DataStream), ..section(node) };
    let stream = format!("{}shop", section.namespace.clone().unwrap_or_default());
    let records = |range: std::ops::Range<u64>| range.map(|n| numbered("shop", n)).collect::<Vec<_>>();
    let first = World::open(&section);
    first.store.resume(&partition(0), Offset(0));
    write(&first.store, &partition(0), records(0..20)).await;
    let template = ask(node, "GET", &format!("_index_template/{stream}-template"), "").await;
    let found = &template["index_templates"][0]["index_template"];
    assert_eq!(
        (&found["priority"], &found["index_patterns"][0]),
        (&200.into(), &stream.as_str().into()),
        "{template}"
    );

    let rolled = ask(node, "POST", &format!("{stream}/_rollover"), "").await;
    assert_eq!(rolled["rolled_over"], true, "{rolled}");
    let second = World::open(&section);
    second.store.resume(&partition(0), Offset(5));
    write(&second.store, &partition(0), records(5..15)).await;
    write(&second.store, &partition(0), records(15..30)).await;
    assert_eq!(documents(node, &stream).await.len(), 30);
    let found = hits(&second.store, "*").await;
    assert_eq!(found.len(), 30);
    let indices = second.store.indices().await.expect("lists");
    let events: u64 =
        indices.iter().filter(|index| index.prefix.as_str() == "shop").map(|index| index.events).sum();
    assert_eq!(events, 30, "{indices:?}");
    assert_eq!(
        second.store.drop_before(None, weir_model::Day::from_number(1 << 20)).await.expect("leaves it"),
        0
    );
}
