//! A disk without space.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use weir_foundation::clock::SystemClock;
use weir_journal::sqlite::{Condition, Disk, Settings, SqliteJournal};
use weir_journal::{AppendError, Journal, Origin};
use weir_model::ByteSize;

use crate::support::{
    append, copy_of, create, eventually, name, open, partition, read_from, record, settings, spawner,
};

const STREAM: &str = "shop_logs";

/// A disk whose space the test decides.
#[derive(Debug, Default)]
pub(crate) struct FakeDisk {
    pub(crate) free: AtomicU64,
    pages: AtomicU64,
}

impl Disk for FakeDisk {
    fn free(&self, _: &Path) -> std::io::Result<u64> {
        Ok(self.free.load(Ordering::Relaxed))
    }

    fn page_limit(&self) -> Option<u32> {
        u32::try_from(self.pages.load(Ordering::Relaxed)).ok().filter(|pages| *pages > 0)
    }
}

const PLENTY: u64 = 1 << 40;

fn open_on(disk: &Arc<FakeDisk>, directory: &Path) -> Arc<SqliteJournal> {
    let settings = Settings {
        reserve: ByteSize::mib(64),
        maintenance: Duration::from_millis(10),
        codec: weir_journal::sqlite::Codec::None,
        ..settings(directory)
    };
    SqliteJournal::open_on(disk.clone(), settings, Arc::new(SystemClock), &spawner()).expect("it opens")
}

fn is_full(journal: &SqliteJournal) -> bool {
    matches!(*journal.condition().borrow(), Condition::Full(_))
}

async fn append_until_full(journal: &SqliteJournal, most: u32) -> u64 {
    let mut answered = 0;
    for _ in 0..most {
        match journal.append(&name(STREAM), Origin::Any, vec![record(&"x".repeat(20_000), 1)]).await {
            Ok(appended) => {
                assert_eq!(appended[0].offset.0, answered, "refused records take no place");
                answered += 1;
            }
            Err(error @ AppendError::Full(_)) => {
                assert!(!error.outcome_unknown() && error.retry_after().is_some());
                return answered;
            }
            Err(error) => unreachable!("{error:?}"),
        }
    }
    unreachable!("it never got full")
}

#[tokio::test]
async fn sqlite_without_space_refuses_until_there_is_some() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FakeDisk { free: AtomicU64::new(PLENTY), pages: AtomicU64::new(0) });
    let journal = open_on(&disk, directory.path());
    create(&*journal, STREAM, 1).await;
    disk.pages.store(30, Ordering::Relaxed);
    let answered = append_until_full(&journal, 200).await;
    assert!(answered > 0);
    assert!(is_full(&journal));
    let place = partition(&*journal, STREAM, 0).await;
    assert_eq!(read_from(&*journal, &place, 0).await.records.len() as u64, answered, "reading goes on");
    assert!(journal.stats().refused_full > 0);

    let copy = copy_of(directory.path());
    let crashed = open(copy.path());
    assert_eq!(
        read_from(&*crashed, &place, 0).await.records.len() as u64,
        answered,
        "all answered is durable"
    );
    crashed.close().await;

    disk.pages.store(0, Ordering::Relaxed);
    eventually("it takes records again", async || {
        journal.append(&name(STREAM), Origin::Any, vec![record("after", 1)]).await.is_ok()
    })
    .await;
    assert!(journal.condition().borrow().is_running());
    let batch = read_from(&*journal, &place, 0).await;
    assert_eq!(batch.records.len() as u64, answered + 1);
    assert!(batch.losses.is_empty());
    journal.close().await;
}

#[tokio::test]
async fn a_storage_that_fails_ends_the_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    journal.append(&name(STREAM), Origin::Any, vec![record("before", 1)]).await.expect("it works");
    // An error that is neither a full disk nor damage that could be left behind.
    let meddler = rusqlite::Connection::open(directory.path().join("journal-000001.db")).expect("opened");
    meddler.execute_batch("drop table record").expect("dropped");
    let first =
        journal.append(&name(STREAM), Origin::Any, vec![record("during", 1)]).await.expect_err("it failed");
    assert!(matches!(first, AppendError::Failed(_)) && first.outcome_unknown(), "{first:?}");
    assert!(matches!(*journal.condition().borrow(), Condition::Failed(_)));
    let later = journal
        .append(&name(STREAM), Origin::Any, vec![record("after", 1)])
        .await
        .expect_err("it stays failed");
    assert!(matches!(later, AppendError::Unavailable(_)) && !later.outcome_unknown(), "{later:?}");
    journal.close().await;
}

#[tokio::test]
async fn a_write_that_fails_takes_back_nothing_that_was_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    let mut answered = Vec::new();
    for text in ["first", "second", "third"] {
        answered.push((append(&*journal, STREAM, text).await, text.to_owned()));
    }
    let meddler = rusqlite::Connection::open(directory.path().join("journal-000001.db")).expect("opened");
    meddler.busy_timeout(Duration::from_secs(10)).expect("set");
    let fail = "create trigger fail before insert on record when new.offset = 20 \
                begin select raise(abort, 'no'); end";
    meddler.execute_batch(fail).expect("a legal schema");
    // All at once, so that the record that fails has others before and behind it in its transaction.
    let texts: Vec<String> = (0..40).map(|index| format!("record {index}")).collect();
    let stream = name(STREAM);
    let appends = texts.iter().map(|text| journal.append(&stream, Origin::Any, vec![record(text, 1)]));
    for (outcome, text) in join_all(appends).await.into_iter().zip(&texts) {
        match outcome {
            Ok(appended) => answered.push((appended[0].offset, text.clone())),
            Err(AppendError::Failed(_) | AppendError::Unavailable(_)) => {}
            Err(error) => unreachable!("{error:?}"),
        }
    }
    assert!(matches!(*journal.condition().borrow(), Condition::Failed(_)));
    assert!(answered.len() <= 20, "nothing from the transaction that failed on is answered");
    journal.close().await;
    meddler.execute_batch("drop trigger fail").expect("dropped");

    let copy = copy_of(directory.path());
    let again = open(copy.path());
    let batch = read_from(&*again, &partition(&*again, STREAM, 0).await, 0).await;
    assert!(batch.losses.is_empty());
    let found: Vec<_> = batch
        .records
        .iter()
        .map(|stored| (stored.offset, String::from_utf8_lossy(&stored.record.value).into_owned()))
        .collect();
    answered.sort();
    assert_eq!(found, answered);
    let next = again.append(&name(STREAM), Origin::Any, vec![record("after", 1)]).await.expect("it works");
    assert_eq!(next[0].offset.0, found.len() as u64, "what failed takes no place");
    again.close().await;
}

#[tokio::test]
async fn the_reserve_is_left_alone_and_space_is_noticed_without_traffic() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FakeDisk { free: AtomicU64::new(PLENTY), pages: AtomicU64::new(0) });
    let journal = open_on(&disk, directory.path());
    create(&*journal, STREAM, 1).await;
    journal.append(&name(STREAM), Origin::Any, vec![record("before", 1)]).await.expect("there is space");
    disk.free.store(64 << 20, Ordering::Relaxed);
    assert_eq!(
        journal
            .append(&name(STREAM), Origin::Any, vec![record("refused", 1)])
            .await
            .map_err(|error| error.to_string()),
        Err("the journal has no space left".to_owned())
    );
    let why = format!("{:?}", *journal.condition().borrow());
    assert!(why.contains("67108864 are reserved"), "{why}");
    disk.free.store(PLENTY, Ordering::Relaxed);
    eventually("it notices by itself", async || journal.condition().borrow().is_running()).await;
    journal.append(&name(STREAM), Origin::Any, vec![record("after", 1)]).await.expect("there is space");
    journal.close().await;
}

/// What went into files without a name would be lost with the process.
#[tokio::test]
async fn a_directory_that_was_removed_takes_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    append(&*journal, STREAM, "before").await;
    std::fs::remove_dir_all(directory.path()).expect("it is there");
    let refused = journal.append(&name(STREAM), Origin::Any, vec![record("after", 1)]).await;
    let error = refused.expect_err("there is no place for it");
    assert!(matches!(error, AppendError::Unavailable(_)) && !error.outcome_unknown(), "{error:?}");
    let Condition::Failed(why) = journal.condition().borrow().clone() else {
        unreachable!("it ends");
    };
    assert!(why.contains("is gone"), "{why}");
}
