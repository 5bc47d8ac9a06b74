use std::time::Duration;

use weir_foundation::clock::{SystemClock, timeout};
use weir_services::Engine;
use weir_store::IndexStore;
use weir_store::conformance::fixture::partition;
use weir_store_elastic::ElasticSection;
use weir_testkit::{Action, Proxy};

use crate::world::{World, batch, eventually, node, section};

/// Indices that hang, with more to write than the buffer and the requests hold, do not hold another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_indices_do_not_hold_the_others() {
    let node = node(Engine::OpenSearch2);
    let proxy = Proxy::start(node).await.expect("starts");
    proxy.rule(|request| match request.mentions("noisy-") || request.mentions("slow-") {
        true => Action::Hang,
        false => Action::Forward,
    });
    let section = ElasticSection { requests: Some(4), bulk_documents: Some(100), ..section(proxy.address()) };
    let world = World::open(&section);
    let mut held: Vec<_> =
        (0..30).map(|index| world.write(batch(&partition(index), "noisy", 2_000))).collect();
    held.extend((30..40).map(|index| world.write(batch(&partition(index), "slow", 2_000))));
    eventually("they hang", async || proxy.seen("_bulk").len() >= 3).await;
    for index in 50..60 {
        let write = world.store.write(batch(&partition(index), "quiet", 1_000));
        let written = timeout(&SystemClock, Duration::from_secs(30), write).await.expect("is not held");
        assert_eq!(written.expect("is answered").rejected, []);
    }
    assert!(held.iter().all(|write| !write.is_finished()));
    held.iter().for_each(tokio::task::JoinHandle::abort);
}
