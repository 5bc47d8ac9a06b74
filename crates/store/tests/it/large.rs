//! A segment of many pages and two row groups answers as the plainest store does: what matches is spread thin
//! over pages, in runs, or in none.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_store::conformance::Subject;
use weir_store::conformance::fixture::{Recording, at, partition, write};
use weir_store::memory::{Durability, MemoryStore};
use weir_store::segment::FilingWindow;

use crate::random::{Question, compare};
use crate::segment::Segments;

/// More than a row group.
const EVENTS: usize = 70_000;
const RECORD: usize = 500;
/// So few seconds that many events share one.
const SECONDS: i64 = 3_000;

const QUERIES: [&str; 18] = [
    "*",
    "rare",
    "common",
    "common seldom",
    "seldom OR rare",
    "seldom -level:error",
    "status:>=503",
    "503",
    "late:*",
    "twice:2",
    "\"common seldom\"",
    "nowhere",
    "second:<20",
    "second:[1500 TO 1510.5]",
    "-second:>=17",
    "2999",
    "second:=-5",
    "second:>1e18",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pages_agree() {
    let seed = rand::random();
    println!("the seed is {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let reference = MemoryStore::new(Durability::Immediate, FilingWindow::default());
    let subject = Segments::new();
    for offset in 0..EVENTS / RECORD {
        let to = partition(u32::try_from(offset % 2).expect("is 0 or 1"));
        let mut event = |n| {
            let second = rng.random_range(0..SECONDS);
            (second, content(&mut rng, offset * RECORD + n, second))
        };
        let contents: Vec<(i64, String)> = (0..RECORD).map(&mut event).collect();
        let record = || {
            let empty = Recording::new("shop");
            contents.iter().fold(empty, |record, (second, content)| record.event(at(*second), content))
        };
        let offset = offset as u64 / 2;
        write(&reference, &to, vec![record().at_offset(offset)]).await;
        write(&*subject.index(), &to, vec![record().at_offset(offset)]).await;
    }
    let questions: Vec<Question> = QUERIES.iter().map(|query| question(&mut rng, query)).collect();
    compare(&*subject.index(), &reference, &questions[..3]).await;
    subject.index().flush().await.expect("flushes");
    compare(&*subject.index(), &reference, &questions).await;
}

fn content(rng: &mut ChaCha8Rng, number: usize, second: i64) -> String {
    let level = if rng.random_ratio(1, 10) { "error" } else { "info" };
    let common = if rng.random_ratio(1, 3) { "common" } else { "usual" };
    let seldom = if rng.random_ratio(1, 2_000) { "seldom" } else { "often" };
    let rare = if rng.random_ratio(1, 30_000) { "rare" } else { "many" };
    let status = rng.random_range(498..504);
    let mut content = format!(
        r#"{{"message":"{common} {seldom} {rare} n{number}","level":"{level}","status":{status},"second":{second}"#
    );
    if number > EVENTS - EVENTS / 8 && rng.random_ratio(1, 4) {
        content.push_str(r#","late":[1,{"in":"an array"}]"#);
    }
    if rng.random_ratio(1, 5_000) {
        content.push_str(r#","twice":1,"twice":2"#);
    }
    content.push('}');
    content
}

fn question(rng: &mut ChaCha8Rng, query: &str) -> Question {
    let from = rng.random_bool(0.5).then(|| rng.random_range(0..SECONDS / 2));
    let to = rng.random_bool(0.5).then(|| rng.random_range(SECONDS / 2..SECONDS));
    let limit = [1, 7, 30, 100][rng.random_range(0..4)];
    Question { prefix: "shop", query: query.to_owned(), from, to, limit, field: "level" }
}
