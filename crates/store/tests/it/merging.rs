//! Merging takes bounded memory, however large events are.

use std::time::Duration;

use weir_store::IndexStore as _;
use weir_store::conformance::fixture::{Recording, at, partition, write};

use crate::segment::start;

/// Segments of a few large events each: so many that they are merged, and so large that they must not all be
/// in memory at once.
const SEGMENTS: u64 = 8;
const EVENT: usize = 3 << 20;
const EVENTS: u64 = 3;

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
    let merged = async {
        while store.stats().merged == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), merged).await.expect("they are merged");
    let at_once = store.stats().merged_rows * EVENT as u64;
    assert!(at_once <= 64 << 20, "{at_once} bytes were rewritten at once");
    supervisor.run_until(async {}).await;
}
