//! A transaction of the manifest that fails in its commit, of which nobody knows whether it is stored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_store::WriteError;
use weir_store::conformance::Subject;
use weir_store::conformance::fixture::{numbered, numbers, partition, write};

use crate::segment::Segments;

/// From now on every transaction that adds a segment fails, and not before its commit.
const FAIL: &str = "
create table fence (segment integer references segment (id) deferrable initially deferred) strict;
create trigger fail after insert on segment begin insert into fence values (-1); end;
";

fn segment_files(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory.join("shop")).expect("there are segments");
    files.map(|file| file.expect("it is there").path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_stay_while_the_manifest_may_name_them() {
    let subject = Segments::new();
    let store = subject.index();
    write(&*store, &partition(0), vec![numbered("shop", 0)]).await;
    store.flush().await.expect("flushes");
    let named = segment_files(subject.path());
    let meddler = rusqlite::Connection::open(subject.path().join("manifest.db")).expect("opened");
    meddler.busy_timeout(Duration::from_secs(10)).expect("set");
    meddler.execute_batch(FAIL).expect("a legal schema");
    write(&*store, &partition(0), vec![numbered("shop", 1)]).await;
    for attempt in 1..=3 {
        let failed = store.flush().await.expect_err("the commit fails");
        assert!(matches!(failed, WriteError::Unavailable(_)), "{failed:?}");
        let files = segment_files(subject.path());
        assert_eq!(files.len(), named.len() + 2, "attempt {attempt}: those of the last attempt stay");
    }
    meddler.execute_batch("drop trigger fail").expect("dropped");
    store.flush().await.expect("flushes");
    assert_eq!(segment_files(subject.path()).len(), named.len() + 2, "those that are named");
    assert_eq!(numbers(&*store, "shop", "*").await, [1, 0]);
    drop(store);
    let again = Segments::open(subject.close().await);
    assert_eq!(numbers(&*again.index(), "shop", "*").await, [1, 0]);
}
