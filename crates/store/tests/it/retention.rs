//! Retention by age and by size, also on a full disk: it makes the space that everything else waits for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_foundation::clock::ManualClock;
use weir_store::IndexStore;
use weir_store::conformance::Subject as _;
use weir_store::conformance::fixture::{RECEIVED, Recording, at, numbered, numbers, partition, write};
use weir_store::segment::StoreSection;

use crate::segment::{Segments, start_by, start_with};

const DAY: i64 = 86_400;
/// How often retention looks.
const EVERY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_goes_on_where_nothing_can_be_written() {
    let subject = Segments::new();
    for n in 0..3 {
        write(&*subject.index(), &partition(0), vec![numbered("shop", n)]).await;
        subject.index().flush().await.expect("flushes");
    }
    let directory = subject.close().await;
    // No disk has that much left, so that every write is refused.
    let section = StoreSection {
        free_space_reserve: "1000000TiB".parse().ok(),
        keep_bytes: "1B".parse().ok(),
        ..StoreSection::default()
    };
    let (store, supervisor) = start_with(directory.path(), &section).expect("nobody else has the directory");
    write(&store, &partition(0), vec![numbered("shop", 3)]).await;
    store.flush().await.expect_err("there is no space");
    let gone = async {
        while store.stats().dropped_rows < 3 {
            store.flush().await.expect_err("there is no space");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the old segments go");
    supervisor.run_until(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn age_takes_the_days_that_are_older_and_no_others() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_micros(RECEIVED.micros().unsigned_abs());
    let clock = ManualClock::new(noon);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let section = StoreSection { keep_for: "2d".parse().ok(), ..StoreSection::default() };
    let (store, supervisor) =
        start_by(Arc::new(clock.clone()), directory.path(), &section).expect("it opens");
    // One segment for each day, and one of two days.
    let days: [&[i64]; 5] = [&[0], &[-4], &[-3, -2], &[-2], &[-3]];
    for (offset, days) in (0_u64..).zip(days) {
        let event =
            |record: Recording, day: &i64| record.event(at(*day * DAY), &format!(r#"{{"n":{}}}"#, -day));
        let record = days.iter().fold(Recording::new("shop"), event).at_offset(offset);
        write(&store, &partition(0), vec![record]).await;
        store.flush().await.expect("flushes");
    }
    assert_eq!(numbers(&store, "shop", "*").await, [0, 2, 2, 3, 3, 4]);
    let midnight = Duration::from_secs(12 * 3_600);
    let steps: [(Duration, &[u64]); 3] =
        [(EVERY, &[0, 2, 2, 3]), (midnight - 2 * EVERY, &[0, 2, 2, 3]), (EVERY, &[0])];
    for (step, kept) in steps {
        clock.advance(step);
        store.flush().await.expect("flushes");
        assert_eq!(numbers(&store, "shop", "*").await, kept, "at {:?}", clock);
    }
    assert_eq!(store.stats().dropped_rows, 5);
    supervisor.run_until(async {}).await;
}

/// The names of indices, and the bytes of each.
async fn sizes(store: &dyn IndexStore) -> Vec<(String, u64)> {
    let indices = store.indices().await.expect("answers");
    indices.iter().map(|index| (index.name(), index.bytes)).collect()
}

/// Writes a segment of about so many bytes.
async fn fill(store: &dyn IndexStore, offset: u64, prefix: &str, day: i64, bytes: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(offset);
    // Four bits each, so that compression halves them.
    let text: String = (0..2 * bytes).map(|_| char::from(b'a' + rng.random_range(0..16_u8))).collect();
    let record = Recording::new(prefix).event(at(day * DAY), &format!(r#"{{"text":"{text}"}}"#));
    write(store, &partition(0), vec![record.at_offset(offset)]).await;
    store.flush().await.expect("flushes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_takes_the_oldest_of_those_that_have_most() {
    let subject = Segments::new();
    // Not in the order of their days.
    let segments = [
        ("noisy", 0, 40_000),
        ("noisy", -4, 40_000),
        ("loud", -1, 40_000),
        ("noisy", -2, 40_000),
        ("quiet", 0, 10_000),
        ("loud", 0, 40_000),
        ("noisy", -3, 40_000),
        ("quiet", -30, 10_000),
        ("loud", -2, 40_000),
        ("noisy", -1, 40_000),
    ];
    for (offset, (prefix, day, bytes)) in (0_u64..).zip(segments) {
        fill(&*subject.index(), offset, prefix, day, bytes).await;
    }
    let all = sizes(&*subject.index()).await;
    let directory = subject.close().await;
    let mut dropped = 0;
    // What goes at each step, besides what went before.
    let steps: [&[&str]; 4] = [
        &[],
        &["noisy-2026.11.17"],
        &["noisy-2026.11.18", "noisy-2026.11.19", "loud-2026.11.19"],
        &["noisy-2026.11.20", "loud-2026.11.20"],
    ];
    let mut kept = all;
    for gone in steps {
        kept.retain(|(name, _)| !gone.contains(&name.as_str()));
        let bytes: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
        let section =
            StoreSection { keep_bytes: format!("{bytes}B").parse().ok(), ..StoreSection::default() };
        assert!(section.keep_bytes.is_some());
        let (store, supervisor) = start_with(directory.path(), &section).expect("it opens");
        store.flush().await.expect("flushes");
        assert_eq!(sizes(&store).await, kept);
        assert_eq!(store.stats().dropped_rows, gone.len() as u64);
        dropped += gone.len();
        supervisor.run_until(async {}).await;
    }
    assert_eq!(dropped + kept.len(), segments.len());
    let prefixes = kept.iter().filter(|(name, _)| name.starts_with("quiet"));
    assert_eq!(prefixes.count(), 2, "the quiet one keeps all, also what is older than all others");
}
