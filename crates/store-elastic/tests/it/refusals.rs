//! What the store refuses for good, and only that.

use weir_services::Engine;
use weir_store::IndexStore;
use weir_store::conformance::fixture::partition;
use weir_store_elastic::{ElasticSection, IndexMode};
use weir_testkit::{Action, Proxy};

use crate::world::{World, ask, batch_of, documents, node, section};

const CONTENTS: [&str; 6] = [
    r#"{"n":1}"#,
    r#"{"n":{"object":true}}"#,
    r#"{"n":2}"#,
    r#"{"":"no name"}"#,
    r#"{"weir":"mine"}"#,
    r#"{"n":3}"#,
];

async fn check(engine: Engine, mode: IndexMode) {
    let node = node(engine);
    let section = ElasticSection { mode: Some(mode), ..section(node) };
    let world = World::open(&section);
    let name = section.namespace.clone().unwrap_or_default();
    // The first event says what `n` is; of one bulk that need not be the first.
    world.store.write(batch_of(&partition(1), "shop", [r#"{"n":0}"#])).await.expect("is answered");
    let verdicts = world.store.write(batch_of(&partition(0), "shop", CONTENTS)).await.expect("is answered");
    let rejected: Vec<_> = verdicts.rejected.iter().map(|it| (it.offset.0, it.label)).collect();
    assert_eq!(rejected[0], (1, "mapping_failed"), "{verdicts:?}");
    assert_eq!(rejected.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 3, 4], "{verdicts:?}");
    assert!(
        verdicts.rejected[0].reason.contains("400") && verdicts.rejected[0].reason.contains("[n]"),
        "{verdicts:?}"
    );
    let found = documents(node, &format!("{name}shop-*")).await;
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(world.store.durable(&partition(0)).expect("was written").0, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_do_not_fit_are_rejected_alone() {
    check(Engine::OpenSearch2, IndexMode::Daily).await;
    check(Engine::Elasticsearch8, IndexMode::Daily).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_do_not_fit_are_rejected_one_by_one_too() {
    check(Engine::OpenSearch2, IndexMode::Single).await;
    check(Engine::Elasticsearch8, IndexMode::Single).await;
}

/// A bulk that is refused as a whole is taken apart until the broken document is alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_document_does_not_take_its_neighbours_with_it() {
    let node = node(Engine::Elasticsearch8);
    let proxy = Proxy::start(node).await.expect("starts");
    proxy.rule(|request| if request.mentions("poison") { Action::Refuse(400) } else { Action::Forward });
    let section = section(proxy.address());
    let world = World::open(&section);
    let content =
        |n: u32| if n % 50 == 7 { r#"{"text":"poison"}"#.to_owned() } else { format!(r#"{{"n":{n}}}"#) };
    let contents: Vec<String> = (0..120).map(content).collect();
    let verdicts = world.store.write(batch_of(&partition(0), "shop", &contents)).await.expect("is answered");
    let rejected: Vec<_> = verdicts.rejected.iter().map(|it| it.offset.0).collect();
    assert_eq!(rejected, [7, 57, 107]);
    let name = section.namespace.unwrap_or_default();
    assert_eq!(documents(node, &format!("{name}shop-*")).await.len(), 117);
}

/// An index that is closed to writes is a thing for an operator, and no reason to lose events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_index_is_waited_for() {
    let node = node(Engine::OpenSearch2);
    let section = section(node);
    let world = World::open(&section);
    let index = format!("{}shop-2026.11.21", section.namespace.clone().unwrap_or_default());
    ask(node, "PUT", &index, "").await;
    ask(node, "PUT", &format!("{index}/_settings"), r#"{"index.blocks.write":true}"#).await;
    let write = world.write(batch_of(&partition(0), "shop", [r#"{"n":1}"#]));
    let denied = || world.metric("weir_elastic_denied_total").unwrap_or(0.0);
    crate::world::eventually("the alarm is raised", async || denied() >= 2.0).await;
    assert!(!write.is_finished() && !world.health.ready(), "{}", world.state());
    ask(node, "PUT", &format!("{index}/_settings"), r#"{"index.blocks.write":false}"#).await;
    assert_eq!(write.await.expect("ends").rejected, []);
    assert_eq!(documents(node, &index).await.len(), 1);
}
