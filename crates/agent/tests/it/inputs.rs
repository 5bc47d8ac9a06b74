//! Other inputs for an agent that runs.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use weir_agent::Scan;
use weir_foundation::clock::{Clock as _, SystemClock};

use crate::door::{Door, Mood};
use crate::node::{Node, Running, arrived, eventually};

const SHOP: &str = r#"{"app": "shop", "paths": ["LOGS/*.log"]}"#;

fn list(inputs: &[&str]) -> String {
    format!("[{}]", inputs.join(","))
}

async fn swap(node: &Node, agent: &Running, inputs: &[&str]) -> u64 {
    let generation = agent.inputs().set(node.inputs(&list(inputs)));
    let report = agent
        .told("the inputs are read", |report| report.generation == generation && report.scan != Scan::Pending)
        .await;
    assert_eq!(report.inputs.len(), inputs.len());
    generation
}

#[tokio::test]
async fn what_stays_is_read_on_as_if_nothing_had_happened() {
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", "one\n");
    let agent = node.start(&door, &list(&[SHOP]));
    let first = agent.told("it is stored", |report| report.inputs.iter().any(|i| i.stored_bytes == 4)).await;
    assert_eq!((first.generation, first.scan), (1, Scan::Whole));
    let [shop] = first.inputs.as_slice() else { unreachable!("{first:?}") };
    assert_eq!((shop.files, shop.lines, shop.lag_bytes, shop.lag_age, shop.errors), (1, 1, 0, None, 0));
    node.append("b.txt", "other\n");
    // Something of it is under way all the time.
    door.set(Mood::Slow);
    node.append("a.log", "two\n");
    eventually("it is under way", || door.batches() == 2).await;
    swap(&node, &agent, &[r#"{"app": "texts", "paths": ["LOGS/*.txt"]}"#, SHOP]).await;
    node.append("a.log", "three\n");
    eventually("the next is sent without waiting", || door.batches() >= 3).await;
    door.set(Mood::Good);
    let mut messages = arrived(&door, 4).await;
    messages.sort_unstable();
    assert_eq!(messages, ["one", "other", "three", "two"]);
    let report = agent.told("all is stored", |report| report.inputs.iter().all(|i| i.lag_bytes == 0)).await;
    let counted: Vec<_> = report.inputs.iter().map(|i| (i.app.as_str(), i.lines, i.stored_bytes)).collect();
    assert_eq!(counted, [("texts", 1, 6), ("shop", 3, 14)], "what stays is counted on");
    agent.end().await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_a_file_is_of_another_input() {
    let (node, door) = (Node::new(), Door::open().await);
    let agent = node.start(&door, &list(&[SHOP]));
    door.set(Mood::Slow);
    node.append("a.log", "one\n");
    eventually("it is under way", || door.batches() == 1).await;
    swap(&node, &agent, &[r#"{"app": "pay", "paths": ["LOGS/*.log"]}"#]).await;
    node.append("a.log", "two\n");
    agent.told("the second line is seen", |report| report.inputs[0].lag_bytes == 8).await;
    assert_eq!(door.batches(), 1, "it waits for the first");
    // What became of it is known to the server alone: the next is not sent in its place.
    door.set(Mood::Rude);
    eventually("it is stored", || door.events().len() == 1).await;
    door.set(Mood::Good);
    arrived(&door, 2).await;
    let events: Vec<_> = door.events().iter().map(|e| format!("{} {}", e.app, e.message())).collect();
    assert_eq!(events, ["shop one", "pay two"]);
    agent.end().await;
}

#[tokio::test]
async fn what_is_removed_and_comes_again_goes_on_where_it_was() {
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", "one\n");
    let agent = node.start(&door, &list(&[SHOP]));
    arrived(&door, 1).await;
    swap(&node, &agent, &[]).await;
    eventually("nothing is open", || agent.metric("weir_agent_open_files") == 0.0).await;
    node.append("a.log", "two\n");
    node.append("b.log", "three\n");
    // By a pattern that was looked for before: what came meanwhile is new.
    swap(&node, &agent, &[r#"{"app": "shop", "paths": ["LOGS/*.log"], "start_at": "end"}"#]).await;
    let mut messages = arrived(&door, 3).await;
    messages.sort_unstable();
    assert_eq!(messages, ["one", "three", "two"]);
    // By one that was not.
    node.append("c.txt", "old\n");
    swap(&node, &agent, &[r#"{"app": "shop", "paths": ["LOGS/*.txt"], "start_at": "end"}"#]).await;
    node.append("c.txt", "new\n");
    assert_eq!(arrived(&door, 4).await[3], "new");
    agent.end().await;
    let agent = node.start(&door, &list(&[SHOP]));
    node.append("a.log", "four\n");
    assert_eq!(arrived(&door, 5).await[4], "four");
    agent.end().await;
}

#[tokio::test]
async fn the_first_that_wants_a_file_has_it() {
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", "one\n");
    node.append("b.log", "one\n");
    let agent = node.start(&door, &list(&[SHOP]));
    arrived(&door, 2).await;
    swap(&node, &agent, &[r#"{"app": "first", "paths": ["LOGS/a*"]}"#, SHOP]).await;
    node.append("a.log", "two\n");
    node.append("b.log", "two\n");
    arrived(&door, 4).await;
    swap(&node, &agent, &[SHOP, r#"{"app": "first", "paths": ["LOGS/a*"]}"#]).await;
    node.append("a.log", "three\n");
    arrived(&door, 5).await;
    let mut events: Vec<_> =
        door.events().iter().map(|e| format!("{} {} {}", e.file(), e.app, e.message())).collect();
    events.sort_unstable();
    assert_eq!(
        events,
        ["a.log first two", "a.log shop one", "a.log shop three", "b.log shop one", "b.log shop two"]
    );
    agent.end().await;
}

/// It has a name that nobody looks for, and more to say.
#[tokio::test]
async fn a_file_that_was_renamed_is_read_on_when_its_input_changes() {
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", "one\n");
    let agent = node.start(&door, &list(&[SHOP]));
    arrived(&door, 1).await;
    door.set(Mood::Slow);
    node.append("a.log", "two\n");
    eventually("it is under way", || door.batches() == 2).await;
    node.rename("a.log", "a.old");
    node.append("a.old", "three\n");
    swap(&node, &agent, &[r#"{"app": "shop", "paths": ["LOGS/*.log"], "max_line": "1KiB"}"#]).await;
    door.set(Mood::Good);
    assert_eq!(arrived(&door, 3).await, ["one", "two", "three"]);
    eventually("it is done with", || agent.metric("weir_agent_open_files") == 0.0).await;
    agent.end().await;
}

#[tokio::test]
async fn whoever_changes_inputs_learns_whether_they_work() {
    let (node, door) = (Node::new(), Door::open().await);
    let agent = node.start(&door, "[]");
    let report = agent.told("there is a scan", |report| report.scan == Scan::Whole).await;
    assert_eq!((report.generation, report.inputs.len()), (1, 0));
    node.append("a.log", "one\n");
    door.set(Mood::Refusing("shop"));
    let generation = swap(&node, &agent, &[SHOP, r#"{"app": "pay", "paths": ["LOGS/*.txt"]}"#]).await;
    let report = agent.told("the server refuses", |report| {
        report.inputs[0].last_error.as_ref().is_some_and(|error| error.contains("bad-app-name"))
    });
    let report = report.await;
    assert_eq!((report.generation, report.scan), (generation, Scan::Whole));
    assert!(report.inputs[0].errors >= 1, "{report:?}");
    assert_eq!((report.inputs[1].errors, &report.inputs[1].last_error), (0, &None));
    let report =
        agent.told("time passes", |report| report.inputs[0].lag_age > Some(Duration::from_millis(30)));
    assert_eq!(report.await.inputs[0].lag_bytes, 4);
    std::os::unix::fs::symlink(node.log("loop.log"), node.log("loop.log")).expect("there is space");
    let report = agent.told("the loop is seen", |report| report.scan == Scan::Partial).await;
    assert!(
        report.inputs[0].last_error.as_ref().is_some_and(|error| error.contains("loop.log")),
        "{report:?}"
    );
    // Another app is another input, which begins with a clean sheet; and the server takes it.
    std::fs::remove_file(node.log("loop.log")).expect("it is there");
    swap(&node, &agent, &[r#"{"app": "store", "paths": ["LOGS/*.log"]}"#]).await;
    let report = agent.told("it is stored", |report| report.inputs[0].stored_bytes == 4).await;
    assert_eq!((report.scan, report.inputs[0].errors, report.inputs[0].lag_age), (Scan::Whole, 0, None));
    // A line that has no end is no reason to worry.
    node.append("a.log", "no end yet");
    let report = agent.told("it is seen", |report| report.inputs[0].lag_bytes == 10).await;
    assert_eq!(report.inputs[0].errors, 0);
    agent.told("it is looked at", |report| report.inputs[0].lag_age.is_none()).await;
    agent.end().await;
}

/// Each line once and in the order of its file, whatever the inputs are when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_that_change_at_random_lose_and_repeat_nothing() {
    const FILES: usize = 3;
    const LINES: usize = 3_000;
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (node, door) = (Node::new(), Door::open().await);
    let some = [
        SHOP,
        r#"{"app": "shop", "paths": ["LOGS/*.log"], "max_line": "1KiB"}"#,
        r#"{"app": "pay", "paths": ["LOGS/1*.log", "LOGS/2*.log"]}"#,
        r#"{"app": "store", "paths": ["LOGS/0.log", "LOGS/none"]}"#,
        r#"{"app": "late", "paths": ["LOGS/*"], "exclude": ["*1.log"]}"#,
    ];
    let mut agent = node.start(&door, "[]");
    let mut written = [0; FILES];
    while written.iter().any(|lines| *lines < LINES) {
        for (file, lines) in written.iter_mut().enumerate() {
            let more: String = (0..rng.random_range(0..200)).map(|n| format!("{}\n", *lines + n)).collect();
            *lines += more.lines().count();
            node.append(&format!("{file}.log"), more);
        }
        let inputs: Vec<_> =
            (0..rng.random_range(0..4)).map(|_| some[rng.random_range(0..some.len())]).collect();
        agent.inputs().set(node.inputs(&list(&inputs)));
        door.set(match rng.random_range(0..6) {
            0 => Mood::Slow,
            1 => Mood::Full,
            2 => Mood::Rude,
            _ => Mood::Good,
        });
        SystemClock.sleep(Duration::from_millis(rng.random_range(0..40))).await;
        if rng.random_bool(0.1) {
            door.set(Mood::Good);
            agent.end().await;
            agent = node.start(&door, &list(&inputs));
        }
    }
    door.set(Mood::Good);
    agent.inputs().set(node.inputs(&list(&[SHOP])));
    arrived(&door, written.iter().sum()).await;
    agent.end().await;
    let events = door.events();
    for (file, lines) in written.into_iter().enumerate() {
        let name = format!("{file}.log");
        let found = events.iter().filter(|event| event.file() == name);
        assert!(
            found.map(|event| event.message().to_owned()).eq((0..lines).map(|n| n.to_string())),
            "{name}: once and in order"
        );
    }
}

#[tokio::test]
async fn what_was_looked_at_in_every_interval_may_be_watched_from_then_on() {
    let (node, door) = (Node::new(), Door::open().await);
    let polled = r#"{"app": "shop", "paths": ["LOGS/*.log"], "poll": true}"#;
    node.append("a.log", "one\n");
    let agent = node.start(&door, &list(&[polled]));
    arrived(&door, 1).await;
    for (pass, input) in [SHOP, polled, SHOP].into_iter().enumerate() {
        swap(&node, &agent, &[input]).await;
        node.append("a.log", "more\n");
        arrived(&door, 2 + pass).await;
    }
    agent.end().await;
}
