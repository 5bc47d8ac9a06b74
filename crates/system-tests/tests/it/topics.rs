//! What others do to topics: nothing of it is silent, and no new event is swallowed.

use std::collections::BTreeMap;

use prost::Message as _;
use weir_system_tests::wait::until_seldom;

use crate::kafka::Message;
use crate::world::{PATIENCE, World, counted, timber};

/// Topics by what happens to them.
const NEW: &str = "topics-new";
const EXPIRED: &str = "topics-expired";
const CUT: &str = "topics-cut";
const AGAIN: &str = "topics-again";

fn topic(app: &str) -> String {
    format!("{app}_logs")
}

/// Writes events whose ids are `<app>-<what><number>-0`.
fn write(world: &World, app: &str, what: &str, count: usize) -> Vec<String> {
    let names = (0..count).map(|number| format!("{app}-{what}{number}"));
    let names: Vec<String> = names.collect();
    let message =
        |name: &String| Message { value: Some(timber(app, name).encode_to_vec()), ..Message::default() };
    world.outsider.send(&topic(app), &names.iter().map(message).collect::<Vec<_>>());
    names.into_iter().map(|name| format!("{name}-0")).collect()
}

/// How often each event is in the store.
async fn stored(world: &World) -> BTreeMap<String, u32> {
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let id = |hit: &serde_json::Value| hit["_source"]["id"].as_str().expect("all have one").to_owned();
    world.documents().each(|hit| *found.entry(id(hit)).or_default() += 1).await;
    found
}

/// Waits until the events are stored; answers with all that is.
async fn all_stored(world: &World, events: &[String]) -> BTreeMap<String, u32> {
    until_seldom("they are stored", PATIENCE, async || {
        let found = stored(world).await;
        events.iter().all(|id| found.contains_key(id)).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_to_topics_while_nobody_looked_is_told() {
    let world = World::shared("topics");
    let mut delivered = Vec::new();
    for app in [EXPIRED, CUT, AGAIN] {
        world.outsider.create_topic(&topic(app)).await;
        delivered.extend(write(&world, app, "old", 5));
    }
    let consumer = world.consumer().await;
    world.caught_up().await;
    all_stored(&world, &delivered).await;
    assert!(consumer.terminate().await.success());

    let mut new = Vec::new();
    // Of what is made by somebody else no event tells.
    world.outsider.create_topic(&topic(NEW)).await;
    new.extend(write(&world, NEW, "new", 3));
    let undelivered = write(&world, EXPIRED, "new", 4);
    world.outsider.delete_records(&topic(EXPIRED), 7).await;
    new.extend_from_slice(&undelivered[2..]);
    // As after a fail-over to a replica that had less: the log ends below what the group has dealt with.
    world.outsider.commit(world.name, &topic(CUT), 9);
    new.extend(write(&world, CUT, "new", 3));
    // With the topic the brokers forget what was committed: there is nothing to tell, and everything to deliver.
    world.outsider.delete_topic(&topic(AGAIN)).await;
    world.outsider.create_topic(&topic(AGAIN)).await;
    new.extend(write(&world, AGAIN, "new", 3));

    let consumer = world.consumer().await;
    let found = all_stored(&world, &new).await;
    let lost = &undelivered[..2];
    assert!(lost.iter().all(|id| !found.contains_key(id)), "nobody has them: {found:?}");
    // Of a log that was cut nobody can tell which records were delivered.
    let twice = found.iter().filter(|(id, count)| **count > 1 && !id.starts_with(CUT));
    assert_eq!(twice.collect::<Vec<_>>(), []);
    let count = async |name: &str| counted(&consumer, name).await;
    let expired =
        format!("weir_consumer_lost_events_total{{stream=\"{}\",reason=\"expired\"}}", topic(EXPIRED));
    assert_eq!(count(&expired).await, 2.0);
    assert_eq!(count("weir_kafka_expired_offsets_total").await, 2.0);
    assert_eq!(count("weir_kafka_cut_partitions_total").await, 1.0);
    let letters = world.books().await.letters(world.name).await;
    let losses: Vec<_> = letters.iter().map(|letter| (letter.reason.code.as_str(), letter.events)).collect();
    assert_eq!(losses, [("lost-expired", 2)], "{letters:?}");
    assert!(consumer.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_topics_under_a_consumer_is_told() {
    let world = World::shared("remade");
    let consumer = world.consumer().await;
    let app = world.app(0);
    // Nobody tells of it: it is found by listing.
    world.outsider.create_topic(&topic(&app)).await;
    let mut all = write(&world, &app, "old", 5);
    all_stored(&world, &all).await;
    world.outsider.delete_topic(&topic(&app)).await;
    world.outsider.create_topic(&topic(&app)).await;
    all.extend(write(&world, &app, "new", 5));
    let found = all_stored(&world, &all).await;
    assert_eq!(found, all.iter().map(|id| (id.clone(), 1)).collect());
    // Others may have been made again at these brokers as well.
    assert!(counted(&consumer, "weir_kafka_recreated_topics_total").await >= 1.0);
    assert!(consumer.terminate().await.success());
}
