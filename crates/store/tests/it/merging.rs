//! Merging takes bounded memory, however large or different events are, and leaves segments of one day.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use weir_model::{Day, Timestamp};
use weir_store::IndexStore as _;
use weir_store::conformance::fixture::{Recording, at, numbers, partition, write};
use weir_store::segment::{FilingWindow, SegmentStore};

use crate::segment::{eventually, files_of, start};

/// Segments of a few large events each: so many that they are merged, and so large that they must not all be
/// in memory at once.
const SEGMENTS: u64 = 8;
const EVENT: usize = 3 << 20;
const EVENTS: u64 = 3;

async fn merged(store: &SegmentStore) {
    eventually("some are merged", || store.stats().merged > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_are_not_all_rewritten_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (store, supervisor) = start(directory.path()).expect("nobody else has the directory");
    for segment in 0..SEGMENTS {
        let mut record = Recording::new("shop");
        for event in 0..EVENTS {
            let text = format!("{segment:08x}{event:08x}").repeat(EVENT / 16);
            record = record.event(at(0), &format!(r#"{{"text":"{text}"}}"#));
        }
        write(&store, &partition(0), vec![record.at_offset(segment)]).await;
        store.flush().await.expect("flushes");
    }
    merged(&store).await;
    let at_once = store.stats().merged_rows * EVENT as u64;
    assert!(at_once <= 64 << 20, "{at_once} bytes were rewritten at once");
    supervisor.run_until(async {}).await;
}

fn reader(path: &Path) -> SerializedFileReader<File> {
    let file = File::open(path).expect("it can be read");
    SerializedFileReader::new(file).expect("it has a footer")
}

/// Fields of an event that no event of another segment has.
const FIELDS: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_events_do_not_add_up_to_any_number_of_columns() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (store, supervisor) = start(directory.path()).expect("nobody else has the directory");
    for segment in 0..SEGMENTS {
        let members = (0..FIELDS).map(|n| format!(r#""k{segment}_{n}":{n}"#)).collect::<Vec<_>>();
        let record = Recording::new("shop").event(at(0), &format!("{{{}}}", members.join(",")));
        write(&store, &partition(0), vec![record.at_offset(segment)]).await;
        store.flush().await.expect("flushes");
    }
    merged(&store).await;
    supervisor.run_until(async {}).await;
    let columns: Vec<usize> = files_of(directory.path(), "shop", "parquet")
        .into_iter()
        .map(|path| reader(&path).metadata().file_metadata().schema_descr().num_columns())
        .collect();
    assert!(columns.len() < usize::try_from(SEGMENTS).expect("a few"), "{columns:?}");
    assert!(columns.iter().all(|columns| *columns <= 1024), "{columns:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_does_not_keep_others_from_merging() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (store, supervisor) = start(directory.path()).expect("nobody else has the directory");
    write_small(&store, 0).await;
    supervisor.run_until(async {}).await;
    drop(store);
    let [damaged] = &files_of(directory.path(), "shop", "parquet")[..] else { panic!("there is one") };
    let bytes = std::fs::read(damaged).expect("it can be read");
    std::fs::write(damaged, &bytes[..bytes.len() / 2]).expect("it can be written");
    let (store, supervisor) = start(directory.path()).expect("nobody else has the directory");
    for segment in 1..=SEGMENTS {
        write_small(&store, segment).await;
    }
    merged(&store).await;
    assert_eq!(store.stats().merged_rows, SEGMENTS);
    assert!(damaged.exists(), "somebody may want to look at it");
    supervisor.run_until(async {}).await;
}

async fn write_small(store: &SegmentStore, segment: u64) {
    let record = Recording::new("shop").event(at(0), &format!(r#"{{"n":{segment}}}"#));
    write(store, &partition(0), vec![record.at_offset(segment)]).await;
    store.flush().await.expect("flushes");
}

const DAY: i64 = 86_400;
/// Segments of several days that are merged.
const OF_DAYS: u64 = 4;

/// The days that the rows of a file are filed under.
fn days_in(path: &Path) -> Vec<Day> {
    let days: BTreeSet<Day> = reader(path)
        .get_row_iter(None)
        .expect("it has rows")
        .map(|row| {
            let row = row.expect("it can be read");
            let time =
                |column| Timestamp::from_micros(row.get_timestamp_micros(column).expect("it is a time"));
            FilingWindow::default().day(time(0), time(1))
        })
        .collect();
    days.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_of_several_days_become_segments_of_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (store, supervisor) = start(directory.path()).expect("nobody else has the directory");
    // The last is so late that it is filed under the day of its receipt.
    let times = [DAY / 2, 0, -DAY, 5_000 * DAY];
    for segment in 0..OF_DAYS {
        let mut record = Recording::new("shop");
        for (n, time) in (0..).zip(times) {
            let seconds = time + i64::try_from(segment).expect("a small number");
            record = record.event(at(seconds), &format!(r#"{{"n":{}}}"#, 10 * n + segment));
        }
        write(&store, &partition(0), vec![record.at_offset(segment)]).await;
        store.flush().await.expect("flushes");
    }
    let today = at(0).day();
    let days = [-1, 0, 1].map(|days| Day::from_number(today.number() + days));
    eventually("there is one for each day", || store.stats().merged == days.len() as u64).await;
    let expected = [33, 32, 31, 30, 3, 2, 1, 0, 13, 12, 11, 10, 23, 22, 21, 20];
    assert_eq!(numbers(&store, "shop", "*").await, expected);
    let indices = store.indices().await.expect("answers");
    let filed: Vec<_> = indices.iter().map(|index| (index.day, index.events, index.files.len())).collect();
    assert_eq!(filed, [(days[0], OF_DAYS, 1), (days[1], 2 * OF_DAYS, 1), (days[2], OF_DAYS, 1)]);
    assert!(indices.iter().all(|index| days_in(&index.files[0]) == [index.day]));
    eventually("the others are gone", || files_of(directory.path(), "shop", "parquet").len() == 3).await;
    supervisor.run_until(async {}).await;
    drop(store);
    let (store, supervisor) = start(directory.path()).expect("nobody has it any more");
    assert_eq!(store.indices().await.expect("answers"), indices);
    assert_eq!(numbers(&store, "shop", "*").await, expected);
    supervisor.run_until(async {}).await;
}
