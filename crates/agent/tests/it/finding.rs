//! Files that come, change and go, with and without a kernel that tells of it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use weir_foundation::clock::{Clock as _, SystemClock};

use crate::door::Door;
use crate::node::{Node, Running, append, arrived, eventually};

const BOTH: [&str; 2] = [
    r#"[{"app": "shop", "paths": ["LOGS/**/*.log", "LOGS/late/er/*.txt"]}]"#,
    r#"[{"app": "shop", "paths": ["LOGS/**/*.log", "LOGS/late/er/*.txt"], "poll": true}]"#,
];

fn scans(agent: &Running) -> f64 {
    agent.metric("weir_agent_scans_total")
}

#[tokio::test]
async fn folders_and_links_that_come_later_are_found() {
    for inputs in BOTH {
        let (node, door) = (Node::new(), Door::open().await);
        let elsewhere = tempfile::tempdir().expect("there is space");
        let agent = node.start(&door, inputs);
        eventually("everything was looked at", || scans(&agent) >= 2.0).await;
        std::fs::create_dir_all(node.log("a/b")).expect("there is space");
        node.append("a/b/x.log", "one\n");
        arrived(&door, 1).await;
        let before = scans(&agent);
        std::fs::create_dir(node.log("late")).expect("there is space");
        eventually("the folder is seen", || scans(&agent) > before).await;
        std::fs::create_dir(node.log("late/er")).expect("there is space");
        node.append("late/er/y.txt", "two\n");
        arrived(&door, 2).await;
        std::fs::remove_dir_all(node.log("late")).expect("it is there");
        eventually("it is done with", || agent.metric("weir_agent_open_files") == 1.0).await;
        std::fs::create_dir_all(node.log("late/er")).expect("there is space");
        node.append("late/er/y.txt", "three\n");
        arrived(&door, 3).await;
        // A file that lies elsewhere.
        let target = elsewhere.path().join("target");
        append(&target, "four\n");
        std::os::unix::fs::symlink(&target, node.log("link.log")).expect("there is space");
        arrived(&door, 4).await;
        append(&target, "five\n");
        arrived(&door, 5).await;
        // And a folder.
        std::fs::create_dir(elsewhere.path().join("folder")).expect("there is space");
        append(&elsewhere.path().join("folder/z.log"), "six\n");
        std::os::unix::fs::symlink(elsewhere.path().join("folder"), node.log("folder"))
            .expect("there is space");
        arrived(&door, 6).await;
        append(&elsewhere.path().join("folder/z.log"), "seven\n");
        assert_eq!(arrived(&door, 7).await, ["one", "two", "three", "four", "five", "six", "seven"]);
        agent.end().await;
    }
}

#[tokio::test]
async fn what_does_not_change_is_not_looked_at() {
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", "one\n");
    node.append("other.txt", "not read\n");
    let agent = node.start(&door, BOTH[0]);
    arrived(&door, 1).await;
    let quiet = async || {
        // Whatever is still to be seen and told is, after some intervals.
        loop {
            let before = scans(&agent);
            SystemClock.sleep(Duration::from_millis(100)).await;
            if scans(&agent) <= before {
                return before;
            }
        }
    };
    let before = quiet().await;
    for _ in 0..10 {
        node.append("other.txt", "nor this\n");
        node.append("a.log", "more\n");
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
    arrived(&door, 11).await;
    assert_eq!(scans(&agent), before, "the kernel says what has changed");
    node.append("b.log", "new\n");
    arrived(&door, 12).await;
    assert!(scans(&agent) > before);
    let polling = r#"[{"app": "shop", "paths": ["LOGS/*.log"], "poll": true}]"#;
    agent.inputs().set(node.inputs(polling));
    let before = scans(&agent);
    eventually("everything is looked at again and again", || scans(&agent) > before + 10.0).await;
    agent.end().await;
}

/// Few of many files can be open. They grow, are renamed and emptied at random.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_files_than_can_be_open_are_read() {
    const FILES: usize = 60;
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for inputs in [
        r#"[{"app": "shop", "paths": ["LOGS/*.log*"]}]"#,
        r#"[{"app": "shop", "paths": ["LOGS/*.log*"], "poll": true}]"#,
    ] {
        let (mut node, door) = (Node::new(), Door::open().await);
        node.max_open_files = 8;
        let mut written = [0; FILES];
        let mut agent = node.start(&door, inputs);
        for _ in 0..400 {
            let file = rng.random_range(0..FILES);
            let more: String =
                (0..rng.random_range(1..20)).map(|n| format!("{file} {}\n", written[file] + n)).collect();
            written[file] += more.lines().count();
            node.append(&format!("{file}.log"), more);
            if rng.random_bool(0.1) {
                let number = written[file];
                node.rename(&format!("{file}.log"), &format!("{file}.log.{number}"));
            }
            if rng.random_bool(0.5) {
                SystemClock.sleep(Duration::from_millis(rng.random_range(0..15))).await;
            }
            if rng.random_bool(0.01) {
                agent.end().await;
                agent = node.start(&door, inputs);
            }
        }
        arrived(&door, written.iter().sum()).await;
        assert_eq!(agent.metric("weir_agent_lost_files_total"), 0.0);
        agent.end().await;
        let mut found = vec![Vec::new(); FILES];
        for message in door.messages() {
            let (file, line) = message.split_once(' ').expect("two numbers");
            let number = |text: &str| text.parse::<usize>().expect("a number");
            found[number(file)].push(number(line));
        }
        for (file, lines) in written.into_iter().enumerate() {
            // A file that was renamed is another one than that which has its name now: they are side by side.
            found[file].sort_unstable();
            assert!(found[file].iter().copied().eq(0..lines), "{file}: {lines} lines once");
        }
    }
}

/// One file that has very much to say does not keep ten thousand others waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_does_not_hold_up_ten_thousand_others() {
    const OTHERS: usize = 10_000;
    const LINES: usize = 200_000;
    let (node, door) = (Node::new(), Door::taking(64 << 10).await);
    let large: String = (0..LINES).map(|line| format!("{line:0100}\n")).collect();
    node.append("large.log", large);
    for file in 0..OTHERS {
        node.append(&format!("{file}.log"), "small\n");
    }
    let agent = node.start(&door, r#"[{"app": "shop", "paths": ["LOGS/*.log"], "scan_interval": "1s"}]"#);
    let messages = arrived(&door, LINES + OTHERS).await;
    let last = messages.iter().rposition(|message| message == "small").expect("they came");
    let large = last + 1 - OTHERS;
    assert!(large < LINES / 4, "{large} lines of the large file were before the last of the others");
    agent.end().await;
}
