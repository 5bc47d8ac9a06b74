//! Batches that clients named are known for as long as they may be repeated.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use weir_foundation::clock::{Clock, ManualClock};
use weir_journal::sqlite::{Codec, Retention, Settings, SqliteJournal, Undelivered};
use weir_journal::{Journal, Origin};
use weir_model::{BatchTag, ByteSize, Record, Timestamp};

use crate::support::{create, eventually, files_like, name, record, settings, spawner};

const STREAM: &str = "shop_logs";
const WINDOW: Duration = Duration::from_secs(900);

fn clock() -> ManualClock {
    ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

/// Every record fills a file.
fn small_files(directory: &Path, retention: Retention) -> Settings {
    Settings {
        file_size: ByteSize(100),
        codec: Codec::None,
        batch_window: WINDOW,
        retention,
        ..settings(directory)
    }
}

fn open(settings: Settings, clock: &ManualClock) -> Arc<SqliteJournal> {
    SqliteJournal::open(settings, Arc::new(clock.clone()), &spawner()).expect("it opens")
}

fn tag(id: u128) -> BatchTag {
    BatchTag { id, digest: id * 3 }
}

async fn append_tagged(journal: &SqliteJournal, clock: &ManualClock, ids: std::ops::Range<u128>) {
    create(journal, STREAM, 1).await;
    for id in ids {
        let received = Timestamp::from(clock.now());
        let record = Record { received, batch: Some(tag(id)), ..record(&"x".repeat(1_000), 1) };
        journal.append(&name(STREAM), Origin::Any, vec![record]).await.expect("appended");
    }
}

async fn known(journal: &SqliteJournal, clock: &ManualClock) -> Vec<BatchTag> {
    let since = Timestamp::from(clock.now()).saturating_sub(WINDOW);
    let batches = journal.known_batches(since, usize::MAX).await.expect("listed");
    batches.iter().map(|batch| batch.tag).collect()
}

#[tokio::test]
async fn files_with_young_batches_stay_whatever_their_size() {
    for (undelivered, kept) in [(Undelivered::Hold, 5), (Undelivered::Drop, 0)] {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = clock();
        let retention = Retention { age: None, size: Some(ByteSize(1)), undelivered };
        let journal = open(small_files(directory.path(), retention), &clock);
        create(&*journal, STREAM, 1).await;
        journal
            .append(&name(STREAM), Origin::Any, vec![record(&"x".repeat(1_000), 1)])
            .await
            .expect("appended");
        append_tagged(&journal, &clock, 0..5).await;
        eventually("what nobody may repeat goes", async || {
            clock.advance(Duration::from_secs(1));
            let stats = journal.stats();
            stats.removed_files == 6 - kept && stats.files == 1 + kept
        })
        .await;
        // The look at the limits that removed it is over then.
        clock.sleepers(1).await;
        assert_eq!(journal.stats().files, 1 + kept);
        journal.close().await;
        let again = open(small_files(directory.path(), retention), &clock);
        assert_eq!(known(&again, &clock).await.len() as u64, kept);
        clock.advance(WINDOW);
        eventually("nobody repeats them any more", async || {
            clock.advance(Duration::from_secs(1));
            again.stats().files == 1
        })
        .await;
        again.close().await;
    }
}

#[tokio::test]
async fn a_file_that_does_not_know_its_times_is_known_and_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = clock();
    let age = Duration::from_secs(3600);
    let retention = Retention { age: Some(age), size: None, undelivered: Undelivered::Hold };
    let journal = open(small_files(directory.path(), retention), &clock);
    append_tagged(&journal, &clock, 0..5).await;
    journal.close().await;
    let second = files_like(directory.path(), "journal-000002.db").remove(0);
    let meddler = rusqlite::Connection::open(second).expect("opened");
    meddler.execute_batch("update summary set sum = sum + 1").expect("changed");
    drop(meddler);
    let again = open(small_files(directory.path(), retention), &clock);
    assert_eq!(known(&again, &clock).await, (0..5).map(tag).collect::<Vec<_>>());
    clock.advance(age);
    eventually("all of them go", async || {
        clock.advance(Duration::from_secs(1));
        again.stats().files == 1
    })
    .await;
    again.close().await;
}
