use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use weir_foundation::clock::ManualClock;
use weir_foundation::settings::DurationText;
use weir_model::Timestamp;
use weir_services::Engine;
use weir_store::conformance::fixture::{RECEIVED, Recording, at, partition, write};
use weir_store::{IndexInfo, IndexStore, WriteRecord};
use weir_store_elastic::{Documents, ElasticSection};

use crate::world::{World, ask, eventually, node, section};

const DAY: i64 = 86_400;

/// A store with events of two days, beside it an index of somebody else with a name like weir's; on the day after the
/// younger one, two days are kept. What is there in the end.
async fn kept(documents: Documents, expected: &[&str]) {
    let node = node(Engine::OpenSearch2);
    let section = ElasticSection { documents: Some(documents), ..section(node) };
    let world = World::open(&section);
    let event = |offset: u64, time: Timestamp| WriteRecord {
        // By which barito-flow files.
        received: time,
        ..Recording::new("shop").event(time, r#"{"n":1}"#).at_offset(offset)
    };
    write(&world.store, &partition(0), vec![event(0, at(-5 * DAY)), event(1, at(0))]).await;
    let namespace = section.namespace.clone().unwrap_or_default();
    ask(node, "PUT", &format!("{namespace}other-2026.11.01/_doc/1?refresh=true"), r#"{"n":3}"#).await;
    let today = Duration::from_micros(RECEIVED.micros().unsigned_abs()) + Duration::from_secs(86_400);
    let keep_for = Some(DurationText::from_secs(2 * 86_400));
    let keeping = World::open_at(
        &ElasticSection { keep_for, ..section },
        Arc::new(ManualClock::new(UNIX_EPOCH + today)),
    );
    let names = async || {
        let indices = world.store.indices().await.expect("lists");
        indices.iter().map(IndexInfo::name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["other-2026.11.01", "shop-2026.11.16", "shop-2026.11.21"]);
    keeping.retain();
    eventually("what is old is gone", async || names().await == expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_weir_wrote_go_and_those_of_others_stay() {
    kept(Documents::Weir, &["other-2026.11.01", "shop-2026.11.21"]).await;
}

/// Nothing tells such documents from those of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_documents_of_barito_flow_the_name_decides() {
    kept(Documents::Barito, &["shop-2026.11.21"]).await;
}
