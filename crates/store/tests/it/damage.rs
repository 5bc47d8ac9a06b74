//! Damaged pages: a search goes on without them, says so, and never fails for it.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_store::conformance::Subject;
use weir_store::conformance::fixture::{Recording, at, partition, request, search, write};
use weir_store::{SearchRequest, TopRequest};

use crate::segment::Segments;

const EVENTS: usize = 20_000;
const PAGE: usize = 8_192;

fn message(n: usize) -> String {
    format!("event {n} of many {}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A segment of three pages, and its file.
async fn segment() -> (Segments, PathBuf) {
    let subject = Segments::new();
    let mut record = Recording::new("shop");
    for n in 0..EVENTS {
        let seconds = i64::try_from(n).expect("a small number");
        record = record.event(at(seconds), &format!(r#"{{"message":"{}","n":{n}}}"#, message(n)));
    }
    write(&*subject.index(), &partition(0), vec![record.at_offset(0)]).await;
    subject.index().flush().await.expect("flushes");
    let file = subject.path().join("shop/000000000001.parquet");
    (subject, file)
}

fn all() -> SearchRequest {
    SearchRequest { limit: EVENTS, ..request("shop", "event") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_costs_its_own_events_only() {
    let (subject, path) = segment().await;
    let file = std::fs::File::options().write(true).open(&path).expect("it is there");
    let middle = file.metadata().expect("it has a length").len() / 2;
    file.write_all_at(&[0xff; 4096], middle).expect("it can be written");
    let found = search(&*subject.index(), all()).await;
    assert_eq!(found.unreadable.len(), 1, "{:?}", found.unreadable);
    assert!((EVENTS - 2 * PAGE..EVENTS).contains(&found.hits.len()), "{} hits", found.hits.len());
    for hit in &found.hits {
        let n = usize::try_from((hit.time.micros() - at(0).micros()) / 1_000_000).expect("not negative");
        assert!(hit.content.contains(&message(n)), "{hit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damage_makes_a_search_fail() {
    let (subject, path) = segment().await;
    let whole = std::fs::read(&path).expect("it can be read");
    let seed = rand::random();
    println!("the seed is {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let directory = subject.close().await;
    for _ in 0..24 {
        let mut damaged = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..damaged.len());
            damaged[at] = rng.random();
        }
        let from = rng.random_range(0..damaged.len());
        let to = damaged.len().min(from + rng.random_range(0..64));
        damaged[from..to].fill(rng.random());
        std::fs::write(&path, damaged).expect("it can be written");
        let (store, supervisor) = crate::segment::start(directory.path()).expect("it opens");
        let top = Some(TopRequest { field: "n".to_owned(), limit: 10 });
        let found = search(&store, SearchRequest { top, ..all() }).await;
        assert!(found.hits.len() <= EVENTS);
        supervisor.run_until(async {}).await;
    }
}
