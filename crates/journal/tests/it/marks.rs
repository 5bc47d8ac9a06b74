//! How far sources are, over restarts, damage and the removal of files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use weir_foundation::clock::{Clock as _, SystemClock};
use weir_journal::sqlite::{Codec, Retention, Settings, SqliteJournal, Undelivered};
use weir_journal::{AppendError, Journal, Origin};
use weir_model::{ByteSize, Mark, Record, SourceId, Timestamp};

use crate::full::FakeDisk;
use crate::support::{create, eventually, files_like, name, open, record, settings, spawner, try_open};

const STREAM: &str = "shop_logs";

async fn append_from(journal: &SqliteJournal, source: u128, end: u64, size: usize) {
    let received = Timestamp::from(SystemClock.now());
    let record = Record { received, ..record(&"x".repeat(size), 1) };
    let origin = Origin::Source(Mark { source: SourceId(source), end });
    journal.append(&name(STREAM), origin, vec![record]).await.expect("appended");
}

async fn marks(journal: &SqliteJournal, sources: std::ops::Range<u128>) -> Vec<Option<u64>> {
    let mut marks = Vec::new();
    for source in sources {
        marks.push(journal.mark(&name(STREAM), SourceId(source)).await.expect("it can be asked for"));
    }
    marks
}

/// Small files, which go beyond this size in all.
fn rolling(directory: &Path, size: Option<ByteSize>) -> Settings {
    Settings {
        file_size: ByteSize(2_000),
        codec: Codec::None,
        retention: Retention { age: None, size, undelivered: Undelivered::Drop },
        maintenance: Duration::from_millis(10),
        ..settings(directory)
    }
}

/// Files are removed to make room: what has to be kept of them needs room as well.
#[tokio::test]
async fn marks_are_kept_where_there_is_no_space_for_records() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(rolling(directory.path(), None)).expect("it opens");
    create(&*journal, STREAM, 2).await;
    for source in 0..40 {
        append_from(&journal, source, 100 + source as u64, 10).await;
    }
    for number in 0..60 {
        append_from(&journal, 99, number, 1_000).await;
    }
    journal.close().await;
    let full = Settings { reserve: ByteSize::mib(64), ..rolling(directory.path(), Some(ByteSize(300_000))) };
    let disk = Arc::new(FakeDisk::default());
    let journal = SqliteJournal::open_on(disk, full, Arc::new(SystemClock), &spawner()).expect("it opens");
    eventually("the files of the marks go", async || journal.stats().removed_files > 20).await;
    let refused = journal.append(&name(STREAM), Origin::Any, vec![record("x", 1)]).await;
    assert!(matches!(refused, Err(AppendError::Full(_))), "{refused:?}");
    let expected: Vec<_> = (0..40).map(|source| Some(100 + source)).collect();
    assert_eq!(marks(&journal, 0..40).await, expected);
    journal.close().await;
}

#[tokio::test]
async fn marks_outlive_the_process_and_the_files_that_they_were_set_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let rolling = rolling(directory.path(), Some(ByteSize(300_000)));
    let journal = try_open(rolling.clone()).expect("it opens");
    create(&*journal, STREAM, 2).await;
    for source in 0..40 {
        append_from(&journal, source, 100 + source as u64, 10).await;
    }
    append_from(&journal, 0, 7_000, 1_000).await;
    for number in 0..60 {
        append_from(&journal, 99, number, 1_000).await;
    }
    eventually("the files of the marks go", async || journal.stats().removed_files > 20).await;
    let expected: Vec<_> =
        (0..40).map(|source| Some(if source == 0 { 7_000 } else { 100 + source })).collect();
    assert_eq!(marks(&journal, 0..40).await, expected);
    assert_eq!(marks(&journal, 98..101).await, [None, Some(59), None]);
    journal.close().await;
    let again = try_open(rolling).expect("it opens");
    assert_eq!(marks(&again, 0..40).await, expected, "after a restart");
    append_from(&again, 1, 50, 10).await;
    append_from(&again, 2, 500, 10).await;
    assert_eq!(marks(&again, 1..4).await, [Some(50), Some(500), Some(103)]);
    again.close().await;
}

/// One that is too high would swallow what was never stored.
#[tokio::test]
async fn a_mark_that_is_not_what_was_written_counts_for_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    append_from(&journal, 1, 10, 10).await;
    append_from(&journal, 2, 20, 10).await;
    journal.close().await;
    for file in files_like(directory.path(), "journal-") {
        let connection = Connection::open(file).expect("it is one of SQLite");
        connection.execute("update mark set end = 1000 where end = 10", []).expect("it can be written");
    }
    let again = open(directory.path());
    assert_eq!(marks(&again, 1..3).await, [None, Some(20)]);
    append_from(&again, 1, 11, 10).await;
    again.close().await;
}
