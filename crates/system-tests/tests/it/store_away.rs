//! A store that is away for longer than anybody would have tried, in every way in which a store can be away.

use std::time::Duration;

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use weir_system_tests::flood::Flood;
use weir_system_tests::process::{Setup, Weir};
use weir_system_tests::raw::{RawClient, collection};
use weir_system_tests::reckoning::settle_documents;
use weir_system_tests::wait::until;
use weir_testkit::{Action, Proxy};
use weir_wire::proto::producer::Timber;

use crate::world::{PATIENCE, World, start};

/// How often a bulk is tried in vain each time: barito-flow gives up after ten times at most.
const ATTEMPTS: usize = 15;

/// About 1 KiB each: what waits for the consumer is ten times its budgets.
const BACKLOG: usize = 20_000;
/// What comes while the store is away again.
const MORE: usize = 1_000;

const APP: &str = "away-0";
const POISON: usize = 3;

/// The peak of the process: what it has without a backlog (50 MiB), and its budgets with what is decoded of them.
const BOUND: u64 = 80 << 20;

/// Ways to be away, and what `/readyz` says of the store.
const WAYS: [(Action, &str); 7] = [
    (Action::Refuse(503), "503: the proxy says 503"),
    (Action::Refuse(429), ""),
    (Action::RefuseHalf(503), ""),
    (Action::RefuseHalf(429), ""),
    (Action::Hang, "did not answer"),
    (Action::Close, "did not answer"),
    (Action::ForwardAndClose, "did not answer"),
];

fn setup(world: &World, proxy: &Proxy) -> Setup {
    world
        .setup("consumer")
        .with("elasticsearch.urls", &format!("http://{}", proxy.address()))
        .with("elasticsearch.request_timeout", "2s")
        .with("elasticsearch.retry_first", "20ms")
        .with("elasticsearch.retry_longest", "200ms")
        .with("elasticsearch.buffer", "2MiB")
        .with("elasticsearch.bulk_bytes", "256KiB")
        .with("consumer.in_flight", "2MiB")
        .with("consumer.batch", "128KiB")
        .with("kafka.fetch_queue", "2MiB")
        .with("kafka.read_batch", "128KiB")
}

async fn send(flood: &Flood, events: usize) {
    let enough = flood.ledger().acknowledged() + events;
    while flood.ledger().acknowledged() < enough {
        flood.sustained(8, Duration::from_millis(100)).await;
    }
}

/// An event that an index refuses in which `status` is a number.
fn poison(number: usize) -> Timber {
    let object = |fields| Value { kind: Some(Kind::StructValue(Struct { fields })) };
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    let status = object([("text".to_owned(), text("not a number".to_owned()))].into());
    let id = text(format!("poison{number}-0"));
    let fields = [("id".to_owned(), id), ("status".to_owned(), status)].into();
    Timber { content: Some(Struct { fields }), ..Timber::default() }
}

async fn store_is_named(consumer: &Weir, says: &str) {
    until("the readiness page names the store", PATIENCE, async || {
        let (status, page) = consumer.readiness().await?;
        let store = page.lines().find_map(|line| line.strip_prefix("elastic: "))?;
        (status == 503 && store.contains(says)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_for_long_costs_neither_memory_nor_events() {
    let world = World::shared("away");
    let proxy = Proxy::start(world.search).await.expect("it starts");
    // Its batches are one and the same: what is fetched, compressed, would be a hundred times as much in memory.
    let uncompressed = world.settings_file("producer", "kafka: { options: { compression.type: none } }\n");
    let producer = start("producer", &uncompressed).await;
    let flood = Flood::connect(producer.addresses.grpc, APP, 50).await;
    let mut consumer = start("consumer", &setup(&world, &proxy)).await;
    // The first documents say what `status` is.
    send(&flood, MORE).await;
    world.caught_up().await;
    let poison: Vec<Vec<u8>> = (0..POISON).map(|number| poison(number).encode_to_vec()).collect();

    for (index, (action, says)) in WAYS.into_iter().enumerate() {
        let is_bulk = |path: &str| path.starts_with("/_bulk");
        proxy.rule(move |request| if is_bulk(&request.path) { action } else { Action::Forward });
        let before = proxy.seen("_bulk").len();
        send(&flood, if index == 0 { BACKLOG } else { MORE }).await;
        if index < POISON {
            let client = RawClient::connect(producer.addresses.grpc).await;
            client.produce_batch(collection(APP, [&poison[index][..]])).await.expect("it is taken");
        }
        until("it is tried again and again", PATIENCE, async || {
            (proxy.seen("_bulk").len() >= before + ATTEMPTS).then_some(())
        })
        .await;
        if !says.is_empty() {
            store_is_named(&consumer, says).await;
        }
        eprintln!("{action:?}: peak {} MiB", consumer.peak_memory() >> 20);
        proxy.heal();
        consumer.ready().await;
        world.caught_up().await;
    }
    // Bulks that are too large for the store are sent in parts.
    proxy.rule(|request| if request.body.len() > 50_000 { Action::Refuse(413) } else { Action::Forward });
    send(&flood, MORE).await;
    world.caught_up().await;
    proxy.heal();

    settle_documents(&world.documents(), flood.ledger()).await;
    let letters = world.books().await.letters(world.name).await;
    let content = |bytes: &[u8]| Timber::decode(bytes).expect("is whole").content;
    let mut dead: Vec<_> = letters.iter().map(|letter| content(&letter.original)).collect();
    // In the order of their ids, whichever died first.
    dead.sort_by_key(|content| format!("{content:?}"));
    let poison: Vec<_> = poison.iter().map(|poison| content(poison)).collect();
    assert_eq!(dead, poison, "only what the store refuses for good is dead: {letters:?}");
    assert!(letters.iter().all(|letter| letter.reason.code == "rejected"), "{letters:?}");
    let peak = consumer.peak_memory();
    eprintln!("peak {} MiB", peak >> 20);
    assert!(peak < BOUND, "peak memory {} MiB", peak >> 20);
    assert!(consumer.terminate().await.success());
    assert!(producer.terminate().await.success());
}
