//! Files that are not as they should be.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{SyncSender, sync_channel};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Uid, geteuid};
use weir_agent::Scan;

use crate::door::{Door, Mood};
use crate::node::{Node, arrived, eventually};

const SHOP: &str = r#"[{"app": "shop", "paths": ["LOGS/*.log"]}]"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_100_mb_is_many_events() {
    const BYTES: usize = 100 << 20;
    const MOST: usize = 256 << 10;
    let (node, door) = (Node::new(), Door::open().await);
    let agent = node.start(&door, SHOP);
    let mut file = File::create(node.log("a.log")).expect("there is space");
    for number in 0..BYTES / MOST {
        file.write_all(&vec![b'a' + u8::try_from(number % 26).expect("is small"); MOST])
            .expect("there is space");
    }
    file.write_all(b"\nbehind\n").expect("there is space");
    eventually("all of it is there", || door.batches() > 0 && door.events().len() == BYTES / MOST + 1).await;
    for (number, event) in door.events().iter().enumerate() {
        let letter = b'a' + u8::try_from(number % 26).expect("is small");
        let is_part = event.message().len() == MOST && event.message().bytes().all(|byte| byte == letter);
        assert!(is_part || (number == BYTES / MOST && event.message() == "behind"), "{number}");
    }
    let report = agent.told("it is stored", |report| report.inputs[0].lag_bytes == 0).await;
    assert_eq!(report.inputs[0].lines, (BYTES / MOST + 1) as u64);
    agent.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_mended_and_none_is_passed_over() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut bytes = vec![0; 300_000];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", &bytes);
    node.append("a.log", "\nlast\n");
    let agent = node.start(&door, SHOP);
    eventually("the last line is there", || door.messages().last().is_some_and(|last| last == "last")).await;
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let messages = door.messages();
    assert_eq!(messages.len(), lines.len() + 1);
    assert!(messages.iter().zip(&lines).all(|(message, line)| message == line));
    agent.end().await;
}

#[tokio::test]
async fn a_file_that_is_deleted_is_read_to_its_end() {
    let (node, door) = (Node::new(), Door::open().await);
    let lines: String = (0..50_000).map(|number| format!("{number} some more text\n")).collect();
    node.append("a.log", &lines);
    let agent = node.start(&door, SHOP);
    door.set(Mood::Slow);
    eventually("it is read", || door.batches() > 0).await;
    fs::remove_file(node.log("a.log")).expect("it is there");
    node.append("a.log", "another file\n");
    agent.told("both are read", |report| report.inputs[0].files == 2).await;
    door.set(Mood::Good);
    let messages = arrived(&door, 50_001).await;
    let old = messages.iter().filter(|message| *message != "another file");
    assert!(old.eq(lines.lines()));
    eventually("it is done with", || agent.metric("weir_agent_open_files") == 1.0).await;
    agent.end().await;
}

/// Also into as many bytes as it had.
#[tokio::test]
async fn a_file_that_is_emptied_is_read_from_its_beginning() {
    let inputs = [
        SHOP,
        r#"[{"app": "shop", "paths": ["LOGS/*.log"], "poll": true}]"#,
        r#"[{"app": "shop", "paths": ["LOGS/*.log"]}]"#,
    ];
    for (round, inputs) in inputs.into_iter().enumerate() {
        let (mut node, door) = (Node::new(), Door::open().await);
        if round == 2 {
            // The file is closed meanwhile.
            node.max_open_files = 1;
            node.append("z.log", "another\n");
        }
        let others = usize::from(round == 2);
        let agent = node.start(&door, inputs);
        for (number, text) in ["one\n", "two\n", "three and more\n", "four\nfive\n"].iter().enumerate() {
            // As `copytruncate` does, and whoever goes on writing.
            let file =
                File::options().create(true).append(true).open(node.log("a.log")).expect("there is space");
            file.set_len(0).expect("there is space");
            (&file).write_all(text.as_bytes()).expect("there is space");
            arrived(&door, number + 1 + others + usize::from(number == 3)).await;
            agent.told("all of it is stored", |report| report.inputs[0].lag_bytes == 0).await;
            if round == 2 {
                node.append("z.log", "another\n");
                eventually("the other file is open", || {
                    door.messages().iter().filter(|message| *message == "another").count() == number + 2
                })
                .await;
            }
        }
        let mut messages = door.messages();
        messages.retain(|message| message != "another");
        assert_eq!(messages, ["one", "two", "three and more", "four", "five"]);
        assert_eq!(agent.metric("weir_agent_truncated_files_total"), 3.0);
        agent.end().await;
    }
}

#[tokio::test]
async fn what_is_no_file_has_the_name_of_one_for_a_while() {
    let (node, door) = (Node::new(), Door::open().await);
    let path = node.log("a.log");
    let agent = node.start(&door, SHOP);
    for (number, text) in ["one\n", "two\n", "three\n", "four\n"].iter().enumerate() {
        node.append("a.log", text);
        arrived(&door, number + 1).await;
        fs::remove_file(&path).expect("it is there");
        match number {
            0 => fs::create_dir(&path).expect("there is space"),
            1 => mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("there is space"),
            2 => std::os::unix::fs::symlink(&path, &path).expect("there is space"),
            _ => break,
        }
        eventually("the file is done with", || agent.metric("weir_agent_open_files") == 0.0).await;
        if number == 0 {
            fs::remove_dir(&path).expect("it is there");
        } else {
            fs::remove_file(&path).expect("it is there");
        }
    }
    assert_eq!(door.messages(), ["one", "two", "three", "four"]);
    agent.end().await;
}

/// As somebody who may not read everything, whoever runs the test.
#[test]
fn a_file_that_may_not_be_read_is_named_and_read_when_it_may() {
    let node = Node::new();
    node.append("a.log", "one\n");
    node.append("b.log", "hidden\n");
    fs::create_dir(node.log("folder")).expect("there is space");
    node.append("folder/c.log", "in a hidden folder\n");
    let allow = |name: &str, mode: u32| {
        fs::set_permissions(node.log(name), Permissions::from_mode(mode)).expect("it is there");
    };
    for (name, mode) in [("", 0o777), ("..", 0o777), ("a.log", 0o644), ("b.log", 0), ("folder", 0)] {
        allow(name, mode);
    }
    let (next, steps) = sync_channel::<SyncSender<()>>(0);
    std::thread::scope(|scope| {
        let node = &node;
        scope.spawn(move || {
            if geteuid().is_root() {
                // Of this thread alone, and of those that it starts.
                rustix::thread::set_thread_uid(Uid::from_raw(65_534)).expect("root may");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("there are threads").block_on(read_what_may_be(node, &next));
        });
        for step in 0..2 {
            let Ok(done) = steps.recv() else { return };
            if step == 0 {
                allow("b.log", 0o644);
                allow("folder", 0o755);
            } else {
                allow("a.log", 0);
                node.append("a.log", "two\n");
            }
            done.send(()).expect("it is waited for");
        }
    });
}

/// What is done meanwhile is done by somebody who may.
async fn read_what_may_be(node: &Node, next: &SyncSender<SyncSender<()>>) {
    let step = || {
        let (done, is_done) = sync_channel(0);
        next.send(done).expect("it is heard");
        is_done.recv().expect("it is done");
    };
    let inputs = r#"[{"app": "shop", "paths": ["LOGS/*.log", "LOGS/folder/*.log"]}]"#;
    let door = Door::open().await;
    let agent = node.start(&door, inputs);
    assert_eq!(arrived(&door, 1).await, ["one"]);
    let report = agent.told("it is said", |report| report.inputs[0].errors >= 2).await;
    assert_eq!(report.scan, Scan::Partial);
    let error = report.inputs[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("Permission denied") && error.contains("/logs/"), "{error}");
    step();
    let mut messages = arrived(&door, 3).await;
    messages.sort_unstable();
    assert_eq!(messages, ["hidden", "in a hidden folder", "one"]);
    agent.told("all is well", |report| report.scan == Scan::Whole).await;
    // What is open may be read on.
    step();
    assert_eq!(arrived(&door, 4).await[3], "two");
    agent.end().await;
}

/// Nothing of a new file is sent that could not be recognized after a restart; the others are read on.
#[tokio::test]
async fn where_nothing_can_be_written_down_known_files_are_read_on() {
    let (node, door) = (Node::new(), Door::open().await);
    node.append("a.log", "one\n");
    let agent = node.start(&door, SHOP);
    arrived(&door, 1).await;
    // No draft can be made where a folder is.
    let draft = node.state().join("files.json.new");
    fs::create_dir(&draft).expect("there is space");
    node.append("a.log", "two\n");
    arrived(&door, 2).await;
    node.append("b.log", "new\n");
    let report =
        agent.told("it is said", |report| report.unwritten.is_some() && report.inputs[0].files == 2).await;
    assert!(report.unwritten.is_some_and(|why| why.contains("directory")));
    assert!(agent.metric("weir_agent_register_errors_total") >= 1.0);
    node.append("a.log", "three\n");
    assert_eq!(arrived(&door, 3).await, ["one", "two", "three"]);
    // The same after a restart: what was not written down the server knows.
    agent.end().await;
    let agent = node.start(&door, SHOP);
    node.append("a.log", "four\n");
    assert_eq!(arrived(&door, 4).await[3], "four");
    fs::remove_dir(&draft).expect("it is there");
    assert_eq!(arrived(&door, 5).await[4], "new");
    agent.told("all is well", |report| report.unwritten.is_none()).await;
    agent.end().await;
    assert_eq!(door.events().len(), 5);
}
