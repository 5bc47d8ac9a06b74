//! A process that writes is killed again and again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_foundation::settings::Environment;
use weir_state::State;

use crate::support::{open, put, value};

/// Where the process that is killed writes.
const DIRECTORY: &str = "WEIR_TEST_KILLED_STATE";

/// Counts in two documents at once and says how far it is. Does nothing if it is not told where.
#[tokio::test]
async fn the_one_that_is_killed() {
    let environment = Environment::of_process();
    let Some(directory) = environment.get(DIRECTORY) else { return };
    let state = open(Path::new(directory));
    let mut count = number(&*state, "left").await;
    loop {
        count += 1;
        let text = count.to_string();
        state.commit(&[put("left", text.as_str()), put("right", text.as_str())]).await.expect("committed");
        println!("counted {count}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_answered() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..12 {
        let lines = random.random_range(1..30);
        let answered = run_and_kill(directory.path(), lines);
        let state = open(directory.path());
        let (left, right) = (number(&*state, "left").await, number(&*state, "right").await);
        assert_eq!(left, right, "a commit is whole");
        assert!(left >= answered, "{answered} was answered, {left} is there");
        state.close().await;
    }
}

/// The last number that was answered.
fn run_and_kill(directory: &Path, lines: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "killed::the_one_that_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut counts =
        output.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("counted ")?.parse().ok());
    let mut last = counts.by_ref().take(lines).last().expect("it counts");
    child.kill().expect("killed");
    child.wait().expect("it ends");
    // What it said before it died.
    last = counts.last().unwrap_or(last);
    last
}

async fn number(state: &dyn State, name: &str) -> u64 {
    let value = value(state, name).await.unwrap_or_else(|| b"0".to_vec());
    String::from_utf8(value).expect("it is a text").parse().expect("it is a number")
}
