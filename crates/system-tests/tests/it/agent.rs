//! The agent on a node: files grow and are rotated while it and its server are killed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use tempfile::TempDir;
use weir_system_tests::process::{Setup, Weir, binary, free_address};
use weir_system_tests::seed;
use weir_system_tests::small_disk::SmallDisk;
use weir_system_tests::wait::{until, until_seldom};

use crate::writers::{Written, check_each, count, stored, write};

const PATIENCE: Duration = Duration::from_secs(300);

/// A machine with files and an agent.
struct Node {
    directory: TempDir,
    ops: SocketAddr,
    server: SocketAddr,
}

impl Node {
    fn new(server: SocketAddr, inputs: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is space");
        std::fs::create_dir(directory.path().join("logs")).expect("there is space");
        let node = Self { directory, ops: free_address(), server };
        let inputs = inputs.replace("LOGS", &node.logs().display().to_string());
        std::fs::write(node.config(), inputs).expect("there is space");
        node
    }

    fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("agent.yaml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("WEIR_LISTEN__OPS", self.ops.to_string())
            .args(["agent", "run", "--config"])
            .arg(self.config())
            .arg("--data-dir")
            .arg(self.directory.path().join("state"))
            .args(["--server", &format!("http://{}", self.server)])
            .stdin(Stdio::null());
        command
    }

    fn start(&self) -> Agent {
        Agent(self.command().stdout(Stdio::null()).spawn().expect("the binary starts"))
    }

    async fn ready(&self) {
        let url = format!("http://{}/readyz", self.ops);
        until("the agent is ready", PATIENCE, async || {
            reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success()).map(drop)
        })
        .await;
    }

    async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.ops);
        let text = reqwest::get(url).await.expect("it answers").text().await.expect("a body");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.expect("it is shown")
    }
}

/// An agent that ends with its test.
struct Agent(Child);

impl Agent {
    async fn terminate(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let agent = &mut self.0;
        let status =
            until("the agent ends", PATIENCE, async || agent.try_wait().expect("it was started here")).await;
        assert!(status.success(), "it ended with {status}");
    }
}

impl Drop for Agent {
    /// SIGKILL, unless it has ended.
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_stored_once_and_in_order_whoever_is_killed() {
    const WRITERS: usize = 4;
    const KILLS: usize = 100;
    let mut rng = seed::rng();
    let directory = tempfile::tempdir().expect("there is space");
    let setup = Setup::new(directory.path()).restless();
    let mut server: Weir = setup.start().await;
    let inputs = "inputs: [{app: shop, paths: [LOGS/app-*.log*], scan_interval: 50ms, close_after: 500ms}]\nagent: \
         {retry_longest: 500ms, name: web-1}\n";
    let node = Node::new(setup.addresses.ingest, inputs);
    let mut agent = node.start();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (logs, stop, seed) = (node.logs(), Arc::clone(&stop), rng.random());
            std::thread::spawn(move || write(&logs, writer, seed, &stop))
        })
        .collect();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(rng.random_range(10..250))).await;
        if rng.random_bool(0.6) {
            drop(agent);
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
            agent = node.start();
        } else {
            server.kill();
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
            server = setup.start().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let written: Vec<Written> = writers.into_iter().map(|writer| writer.join().expect("it writes")).collect();
    let expected: u64 = written.iter().flatten().sum();
    let files: usize = written.iter().map(Vec::len).sum();
    eprintln!("{expected} lines in {files} files, {KILLS} kills");
    assert!(files > WRITERS, "something was rotated");
    until_seldom("every line is stored", PATIENCE, async || {
        (count(setup.addresses, "shop").await as u64 >= expected).then_some(())
    })
    .await;
    check_each(setup.addresses, &written).await;
    agent.terminate().await;
    assert!(server.terminate().await.success());
}

/// What a file may be, and what its events say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_files_are_read_and_odd_bytes_are_mended() {
    let directory = tempfile::tempdir().expect("there is space");
    let setup = Setup::new(directory.path());
    let server = setup.start().await;
    let inputs = "inputs:\n  - {app: odd, paths: ['LOGS/**/*.log'], exclude: ['**/skip*'], max_line: 1KiB, \
                  scan_interval: 50ms, close_after: 200ms}\nagent: {name: web-1}\n";
    let node = Node::new(setup.addresses.ingest, inputs);
    let logs = node.logs();
    std::fs::create_dir_all(logs.join("deep/er")).expect("there is space");
    std::fs::create_dir(logs.join("folder.log")).expect("there is space");
    std::os::unix::fs::symlink(&logs, logs.join("deep/loop")).expect("there is space");
    std::os::unix::fs::symlink(logs.join("nowhere"), logs.join("dangling.log")).expect("there is space");
    std::fs::write(logs.join("deep/er/a.log"), "crlf\r\n\r\n\nlast of a\n").expect("there is space");
    std::fs::write(logs.join("skip.log"), "not read\n").expect("there is space");
    std::fs::write(logs.join("empty.log"), "").expect("there is space");
    let long = "é".repeat(700);
    std::fs::write(logs.join("long.log"), format!("{long}\nbehind\n")).expect("there is space");
    std::fs::write(logs.join("bytes.log"), b"\xff\xfe bad\n\0 nul \x1b[1m\n").expect("there is space");
    std::fs::write(logs.join("tail.log"), "no end yet").expect("there is space");
    let agent = node.start();
    node.ready().await;
    let wait = async |wanted: usize| {
        until_seldom("the lines are stored", PATIENCE, async || {
            (count(setup.addresses, "odd").await == wanted).then_some(())
        })
        .await;
    };
    // crlf, last of a, two pieces of the long line, behind, and two of bytes.
    wait(7).await;
    let events = stored(setup.addresses, "odd").await;
    let mut messages: Vec<_> = events.iter().map(|event| event.message().to_owned()).collect();
    messages.sort_unstable();
    let mut expected = vec![
        "\0 nul \u{1b}[1m".to_owned(),
        "\u{fffd}\u{fffd} bad".to_owned(),
        "behind".to_owned(),
        "crlf".to_owned(),
        "last of a".to_owned(),
        "é".repeat(188),
        "é".repeat(512),
    ];
    expected.sort_unstable();
    assert_eq!(messages, expected);
    let crlf = events.iter().find(|event| event.message() == "crlf").expect("it is there");
    let file = crlf.content["file"].as_str().expect("it says where it is from");
    assert!(file.ends_with("er/a.log"), "{file}");
    assert_eq!(crlf.content["host"], "web-1");
    // A line that has no end is one when the file is gone.
    std::fs::remove_file(logs.join("tail.log")).expect("it is there");
    wait(8).await;
    // Another file in the place of one that is read, and one that is emptied and written anew.
    std::fs::rename(logs.join("long.log"), logs.join("long.old")).expect("it is there");
    std::fs::write(logs.join("long.log"), "another file\n").expect("there is space");
    std::fs::write(logs.join("bytes.log"), "anew, and longer than it was before\n").expect("there is space");
    wait(10).await;
    until("the file is said to be written anew", PATIENCE, async || {
        (node.metric("weir_agent_truncated_files_total").await >= 1.0).then_some(())
    })
    .await;
    agent.terminate().await;
    assert!(server.terminate().await.success());
}

/// Emptied while a line waits for its end, and another file in the place of one that was deleted, which begins alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_becomes_another_one_is_read_from_its_beginning() {
    let directory = tempfile::tempdir().expect("there is space");
    let setup = Setup::new(directory.path());
    let server = setup.start().await;
    let inputs = "inputs: [{app: shop, paths: [LOGS/*.log], scan_interval: 30ms, close_after: 100ms}]\nagent: {name: \
                  web-1}\n";
    let node = Node::new(setup.addresses.ingest, inputs);
    let path = node.logs().join("a.log");
    let rests = "x".repeat(1_000);
    std::fs::write(&path, format!("one\n{rests}")).expect("there is space");
    let agent = node.start();
    node.ready().await;
    let wait = async |wanted: &[&str]| {
        until_seldom("the lines are stored", PATIENCE, async || {
            let events = stored(setup.addresses, "shop").await;
            let mut found: Vec<_> = events.iter().map(|event| event.message().to_owned()).collect();
            found.sort_unstable();
            (found == wanted).then_some(())
        })
        .await;
    };
    wait(&["one"]).await;
    // Shorter than what was seen, and not shorter than what was sent.
    std::fs::write(&path, "two\nthree\n").expect("there is space");
    wait(&["one", "three", "two"]).await;
    for _ in 0..3 {
        std::fs::remove_file(&path).expect("it is there");
        until("the file is done with", PATIENCE, async || {
            (node.metric("weir_agent_open_files").await == 0.0).then_some(())
        })
        .await;
        // Often with the number that the former one had.
        std::fs::write(&path, "two\nthree\n").expect("there is space");
        until("the file is read", PATIENCE, async || {
            (node.metric("weir_agent_open_files").await == 1.0).then_some(())
        })
        .await;
    }
    wait(&["one", "three", "three", "three", "three", "two", "two", "two", "two"]).await;
    agent.terminate().await;
    assert!(server.terminate().await.success());
}

/// Known files are read on, also after a kill; a new one is read once it can be written down which it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_agent_costs_no_line() {
    let directory = tempfile::tempdir().expect("there is space");
    let setup = Setup::new(directory.path());
    let server = setup.start().await;
    let inputs = "inputs: [{app: shop, paths: [LOGS/*.log], scan_interval: 30ms}]\nagent: {name: web-1, retry_longest: \
                  300ms}\n";
    let node = Node::new(setup.addresses.ingest, inputs);
    let disk = SmallDisk::mount(&node.directory.path().join("state"), "size=1m");
    let append = |name: &str, text: &str| {
        let file = OpenOptions::new().create(true).append(true).open(node.logs().join(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("there is space");
    };
    let wait = async |wanted: &[&str]| {
        until_seldom("the lines are stored", PATIENCE, async || {
            let events = stored(setup.addresses, "shop").await;
            let mut found: Vec<_> = events.iter().map(|event| event.message().to_owned()).collect();
            found.sort_unstable();
            (found == wanted).then_some(())
        })
        .await;
    };
    append("a.log", "1\n");
    let agent = node.start();
    node.ready().await;
    wait(&["1"]).await;
    disk.fill();
    append("a.log", "2\n");
    append("b.log", "new\n");
    wait(&["1", "2"]).await;
    until("it is said", PATIENCE, async || {
        (node.metric("weir_agent_register_errors_total").await >= 1.0).then_some(())
    })
    .await;
    drop(agent);
    let agent = node.start();
    node.ready().await;
    append("a.log", "3\n");
    wait(&["1", "2", "3"]).await;
    disk.free();
    wait(&["1", "2", "3", "new"]).await;
    agent.terminate().await;
    assert!(server.terminate().await.success());
}

/// An agent is of use before its server is, and says what it waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_a_server_waits_and_says_so() {
    let directory = tempfile::tempdir().expect("there is space");
    let setup = Setup::new(directory.path());
    let inputs = "inputs: [{app: shop, paths: [LOGS/*.log], start_at: end}]\nagent: {retry_longest: 300ms}\n";
    let node = Node::new(setup.addresses.ingest, inputs);
    std::fs::write(node.logs().join("a.log"), "before the agent came\n").expect("there is space");
    let agent = node.start();
    let url = format!("http://{}/readyz?verbose", node.ops);
    let reason = until("the agent says what it waits for", PATIENCE, async || {
        let answer = reqwest::get(&url).await.ok().filter(|answer| answer.status() == 503)?;
        answer.text().await.ok().filter(|text| text.contains("could not connect to the server"))
    })
    .await;
    assert!(reason.contains("uplink"), "{reason}");
    let second = node.command().output().expect("the binary starts");
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && (text.contains("another agent uses") || text.contains("address")),
        "{text}"
    );
    until("the file is known", PATIENCE, async || {
        (node.metric("weir_agent_open_files").await == 1.0).then_some(())
    })
    .await;
    let mut file = OpenOptions::new().append(true).open(node.logs().join("a.log")).expect("it is there");
    file.write_all(b"while the server was away\n").expect("there is space");
    let server = setup.start().await;
    node.ready().await;
    until_seldom("the line is stored", PATIENCE, async || {
        (count(setup.addresses, "shop").await == 1).then_some(())
    })
    .await;
    let events = stored(setup.addresses, "shop").await;
    assert_eq!(events[0].message(), "while the server was away");
    agent.terminate().await;
    assert!(server.terminate().await.success());
}

/// Nobody is asked who could not help.
#[tokio::test]
async fn an_agent_that_does_not_know_who_it_is_ends_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let run = || {
        let mut command = Command::new(binary());
        command.env_clear().env("WEIR_LISTEN__OPS", free_address().to_string());
        command.args(["agent", "run", "--data-dir"]).arg(&state).stdin(Stdio::null()).output().unwrap()
    };
    let nothing = run();
    let told = String::from_utf8_lossy(&nothing.stderr);
    assert_eq!(nothing.status.code(), Some(78), "{told}");
    assert!(told.contains("`WEIR_KEY`") && told.contains("`--config`"), "{told}");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("identity.json"), "no JSON").unwrap();
    let damaged = run();
    let told = String::from_utf8_lossy(&damaged.stderr);
    assert_eq!(damaged.status.code(), Some(1), "{told}");
    assert!(told.contains("is not what an agent writes; without it an access key lets"), "{told}");
}
