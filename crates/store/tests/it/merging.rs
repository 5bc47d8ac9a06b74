//! Merging takes bounded memory, however large or different events are.

use std::time::Duration;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use weir_store::IndexStore as _;
use weir_store::conformance::fixture::{Recording, at, partition, write};
use weir_store::segment::SegmentStore;

use crate::segment::start;

/// Segments of a few large events each: so many that they are merged, and so large that they must not all be
/// in memory at once.
const SEGMENTS: u64 = 8;
const EVENT: usize = 3 << 20;
const EVENTS: u64 = 3;

/// Waits until some are merged.
async fn merged(store: &SegmentStore) {
    let merged = async {
        while store.stats().merged == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), merged).await.expect("they are merged");
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
    let files = std::fs::read_dir(directory.path().join("shop")).expect("it is there");
    let paths = files.map(|file| file.expect("it is there").path());
    let rows = paths.filter(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    let columns: Vec<usize> = rows
        .map(|path| {
            let file = std::fs::File::open(path).expect("it can be read");
            let reader = SerializedFileReader::new(file).expect("it has a footer");
            reader.metadata().file_metadata().schema_descr().num_columns()
        })
        .collect();
    assert!(columns.len() < usize::try_from(SEGMENTS).expect("a few"), "{columns:?}");
    assert!(columns.iter().all(|columns| *columns <= 1024), "{columns:?}");
}
