//! Opening, closing, crashing, and having company.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use weir_foundation::clock::{Clock, ManualClock};
use weir_journal::sqlite::{Condition, Inspector, Retention, Settings, SqliteJournal, Undelivered};
use weir_journal::{
    AppendError, Commit, CommitError, Journal, Loss, LossReason, OpenError, Origin, ReadError, StreamPattern,
    SubscriptionEvent,
};
use weir_model::{BatchTag, ByteSize, Offset, Record, Timestamp};

use crate::support::{
    append, copy_of, create, eventually, files_like, name, open, partition, read_from, record, settings,
    spawner, texts, try_open,
};

const STREAM: &str = "shop_logs";

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|index| index.to_string()).collect()
}

#[tokio::test]
async fn everything_is_there_after_a_clean_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    for index in 0..10 {
        append(&*journal, STREAM, &index.to_string()).await;
    }
    let place = partition(&*journal, STREAM, 0).await;
    journal
        .commit("index", &[Commit { partition: place.clone(), offset: Offset(4) }])
        .await
        .expect("committed");
    journal.close().await;
    journal.close().await;
    assert!(files_like(directory.path(), "-wal").is_empty(), "nothing is left outside the files");
    let again = open(directory.path());
    assert_eq!(texts(&read_from(&*again, &place, 0).await), numbers(0..10));
    let groups = again.groups().await.expect("listed");
    assert_eq!(groups[0].positions[0].committed, Offset(4));
    assert_eq!(append(&*again, STREAM, "10").await, Offset(10));
    again.close().await;
}

#[tokio::test]
async fn a_crash_takes_nothing_that_was_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal =
        try_open(Settings { file_size: ByteSize(3_000), ..settings(directory.path()) }).expect("it opens");
    create(&*journal, STREAM, 1).await;
    let place = partition(&*journal, STREAM, 0).await;
    for index in 0..40_u32 {
        append(&*journal, STREAM, &index.to_string()).await;
        if index % 8 == 0 {
            journal
                .commit("index", &[Commit { partition: place.clone(), offset: Offset(u64::from(index)) }])
                .await
                .expect("committed");
            let copy = copy_of(directory.path());
            let again = open(copy.path());
            assert_eq!(texts(&read_from(&*again, &place, 0).await), numbers(0..index + 1));
            let groups = again.groups().await.expect("listed");
            let committed =
                groups.iter().flat_map(|group| &group.positions).next().map(|position| position.committed);
            assert_eq!(
                committed,
                Some(Offset(u64::from(index))).filter(|_| index > 0 || committed.is_some())
            );
            assert_eq!(append(&*again, STREAM, "next").await, Offset(u64::from(index) + 1));
            again.close().await;
        }
    }
    journal.close().await;
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    let second = try_open(settings(directory.path())).expect_err("it is taken");
    assert!(matches!(&second, OpenError::InUse { owner: Some(pid), .. } if *pid == std::process::id()));
    assert!(second.to_string().contains("in use by another process (pid "), "{second}");
    assert!(matches!(Inspector::open(directory.path()), Err(OpenError::InUse { .. })));
    journal.close().await;
    let inspector = Inspector::open(directory.path()).expect("nobody has it");
    assert!(
        matches!(try_open(settings(directory.path())), Err(OpenError::InUse { .. })),
        "it is being looked at"
    );
    drop(inspector);
    drop(open(directory.path()));
    eventually("a dropped journal gives its directory free", async || {
        try_open(settings(directory.path())).is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_closed_journal_refuses_politely() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    let place = partition(&*journal, STREAM, 0).await;
    let mut subscription = journal.subscribe("index", StreamPattern::default()).await.expect("free");
    assert!(matches!(subscription.next().await, Ok(SubscriptionEvent::Assigned(_))));
    let (waited, ()) = tokio::join!(subscription.next(), journal.close());
    assert!(matches!(waited, Err(ReadError::Closing)));
    assert!(matches!(
        journal.append(&name(STREAM), Origin::Any, vec![record("a", 1)]).await,
        Err(AppendError::Closing)
    ));
    let commit = Commit { partition: place, offset: Offset(0) };
    assert!(matches!(journal.commit("other", &[commit]).await, Err(CommitError::Closing)));
    assert!(matches!(*journal.condition().borrow(), Condition::Closed));
}

#[tokio::test]
async fn callers_share_syncs() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 4).await;
    for _ in 0..10 {
        join_all((0..64).map(|_| append(&*journal, STREAM, "value"))).await;
    }
    let stats = journal.stats();
    assert_eq!((stats.records, stats.events), (640, 640));
    assert!(stats.commits <= 160, "{} syncs for 640 appends by 64 callers", stats.commits);
    assert_eq!(stats.group_sizes.iter().sum::<u64>(), stats.commits);
    assert_eq!(stats.commit_times.iter().sum::<u64>(), stats.commits);
    journal.close().await;
}

#[tokio::test]
async fn what_can_never_fit_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal =
        try_open(Settings { max_record: ByteSize(100), max_streams: 2, ..settings(directory.path()) });
    let journal = journal.expect("it opens");
    create(&*journal, STREAM, 1).await;
    let refused = journal.append(&name(STREAM), Origin::Any, vec![record(&"x".repeat(101), 1)]).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { size: 101, limit: 100 })));
    append(&*journal, STREAM, &"x".repeat(100)).await;
    create(&*journal, "second_logs", 99).await;
    assert_eq!(journal.streams().await.expect("listed")[0].partitions.len(), 4, "the operator's limit");
    let spec = weir_journal::StreamSpec::new(name("third_logs"));
    let refused = journal.create_stream(spec).await.expect_err("there are two");
    assert!(refused.to_string().contains("third_logs"), "{refused}");
    journal.close().await;
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(Settings { queue: ByteSize(10), ..settings(directory.path()) }).expect("it opens");
    create(&*journal, STREAM, 1).await;
    join_all((0..50).map(|index| {
        let journal = &journal;
        async move { append(&**journal, STREAM, &format!("longer than the queue {index}")).await }
    }))
    .await;
    let place = partition(&*journal, STREAM, 0).await;
    assert_eq!(read_from(&*journal, &place, 0).await.records.len(), 50);
    journal.close().await;
}

#[tokio::test]
async fn known_batches_survive_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal =
        try_open(Settings { file_size: ByteSize(500), ..settings(directory.path()) }).expect("it opens");
    create(&*journal, STREAM, 1).await;
    let tag = |id: u128| BatchTag { id, digest: id * 3 };
    for id in 0..10_u8 {
        let received = Timestamp::from_micros(i64::from(id) * 1000);
        let record = Record { batch: Some(tag(u128::from(id))), received, ..record("tagged", 1) };
        journal.append(&name(STREAM), Origin::Any, vec![record]).await.expect("appended");
    }
    let copy = copy_of(directory.path());
    let again = open(copy.path());
    let known = again.known_batches(Timestamp::from_micros(6_500), 10).await.expect("listed");
    assert_eq!(known.iter().map(|batch| batch.tag).collect::<Vec<_>>(), [tag(7), tag(8), tag(9)]);
    again.close().await;
    journal.close().await;
}

#[tokio::test]
async fn an_end_behind_a_commit_is_moved_at_open() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    create(&*journal, STREAM, 1).await;
    append(&*journal, STREAM, "kept").await;
    let early = copy_of(directory.path());
    for index in 1..6 {
        append(&*journal, STREAM, &index.to_string()).await;
    }
    let place = partition(&*journal, STREAM, 0).await;
    journal
        .commit("index", &[Commit { partition: place.clone(), offset: Offset(5) }])
        .await
        .expect("committed");
    journal.close().await;
    // The journal as it was, the groups as they are: what a WAL that rotted away leaves.
    std::fs::copy(directory.path().join("groups.db"), early.path().join("groups.db")).expect("copied");
    for beside in files_like(early.path(), "groups.db-") {
        std::fs::remove_file(beside).expect("removed");
    }
    for _ in 0..2 {
        let again = open(early.path());
        let batch = read_from(&*again, &place, 0).await;
        assert_eq!(
            batch.losses[0],
            Loss { from: Offset(1), to: Offset(5), events: None, reason: LossReason::Cut }
        );
        assert!(append(&*again, STREAM, "after").await >= Offset(5));
        again.close().await;
    }
}

fn rolling(directory: &std::path::Path, undelivered: Undelivered) -> Settings {
    Settings {
        file_size: ByteSize(2_000),
        retention: Retention { age: None, size: Some(ByteSize(400_000)), undelivered },
        maintenance: Duration::from_millis(10),
        ..settings(directory)
    }
}

/// Incompressible, so that every few records fill a file.
fn large(index: u32) -> String {
    let mut state = index.wrapping_add(1).wrapping_mul(2_654_435_769);
    let noise = (0..500).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from(state >> 27).unwrap_or(0) % 26)
    });
    format!("{index}/{}", noise.collect::<String>())
}

async fn write_large(journal: &SqliteJournal, range: std::ops::Range<u32>) {
    for index in range {
        journal.append(&name(STREAM), Origin::Any, vec![record(&large(index), 3)]).await.expect("appended");
    }
}

#[tokio::test]
async fn retention_waits_for_every_group() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(rolling(directory.path(), Undelivered::Hold)).expect("it opens");
    create(&*journal, STREAM, 1).await;
    let place = partition(&*journal, STREAM, 0).await;
    drop(journal.subscribe("gone", StreamPattern::default()).await.expect("free"));
    drop(journal.subscribe("index", StreamPattern::default()).await.expect("free"));
    write_large(&journal, 0..60).await;
    let all = Commit { partition: place.clone(), offset: Offset(60) };
    journal.commit("index", std::slice::from_ref(&all)).await.expect("committed");
    eventually("files are held back", async || journal.stats().held_files > 0).await;
    assert_eq!(journal.stats().removed_files, 0);
    assert_eq!(read_from(&*journal, &place, 0).await.records.len(), 60);
    journal
        .commit("gone", &[Commit { partition: place.clone(), offset: Offset(20) }])
        .await
        .expect("committed");
    eventually("what both have passed goes", async || journal.stats().removed_files > 0).await;
    let start = journal.streams().await.expect("listed")[0].partitions[0].start;
    assert!(start.0 > 0 && start.0 <= 20, "{start}");
    journal.delete_group("gone").await.expect("deleted");
    eventually("a deleted group holds nothing", async || {
        journal.streams().await.expect("listed")[0].partitions[0].start.0 > 20
    })
    .await;
    let mut batch = read_from(&*journal, &place, 0).await;
    eventually("retention has done what it can", async || {
        // While files go, a reader is told once for each that it meets.
        batch = read_from(&*journal, &place, 0).await;
        batch.losses.len() == 1
    })
    .await;
    let start = batch.records[0].offset;
    let expired = Loss { from: Offset(0), to: start, events: Some(start.0 * 3), reason: LossReason::Expired };
    assert_eq!(batch.losses, [expired]);
    journal.close().await;
    let again = open(directory.path());
    let start = again.streams().await.expect("listed")[0].partitions[0].start;
    let expired = Loss { to: start, events: Some(start.0 * 3), ..expired };
    assert_eq!(read_from(&*again, &place, 0).await.losses, [expired], "the start is known after a restart");
    again.close().await;
}

#[tokio::test]
async fn what_is_dropped_undelivered_is_told_exactly() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(rolling(directory.path(), Undelivered::Drop)).expect("it opens");
    create(&*journal, STREAM, 1).await;
    let place = partition(&*journal, STREAM, 0).await;
    drop(journal.subscribe("index", StreamPattern::default()).await.expect("free"));
    write_large(&journal, 0..4).await;
    // In the middle of a file, so that only the record itself knows how many events are before it.
    journal
        .commit("index", &[Commit { partition: place.clone(), offset: Offset(2) }])
        .await
        .expect("committed");
    write_large(&journal, 4..60).await;
    eventually("files go", async || journal.streams().await.expect("listed")[0].partitions[0].start.0 > 10)
        .await;
    journal.close().await;
    let again = open(directory.path());
    let mut subscription = again.subscribe("index", StreamPattern::default()).await.expect("free");
    let losses = loop {
        match subscription.next().await.expect("open") {
            SubscriptionEvent::Batch(batch) => break batch.losses,
            _ => continue,
        }
    };
    let start = again.streams().await.expect("listed")[0].partitions[0].start;
    let expired =
        Loss { from: Offset(2), to: start, events: Some((start.0 - 2) * 3), reason: LossReason::Expired };
    assert_eq!(losses, [expired]);
    let counted = again.stats().losses;
    assert_eq!((counted[0].reason, counted[0].events), (LossReason::Expired, (start.0 - 2) * 3));
    again.close().await;
}

#[tokio::test]
async fn old_files_are_completed_and_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let hour = Duration::from_secs(3600);
    let settings = Settings {
        file_age: hour,
        retention: Retention { age: Some(10 * hour), size: None, undelivered: Undelivered::Hold },
        ..settings(directory.path())
    };
    let journal = SqliteJournal::open(settings, Arc::new(clock.clone()), &spawner()).expect("it opens");
    create(&*journal, STREAM, 1).await;
    let place = partition(&*journal, STREAM, 0).await;
    let mut received = Record { received: Timestamp::from(clock.now()), ..record("old", 2) };
    journal.append(&name(STREAM), Origin::Any, vec![received.clone()]).await.expect("appended");
    for round in 0..2 {
        clock.sleepers(1).await;
        clock.advance(2 * hour);
        eventually("an old file is completed", async || journal.stats().files == 2 + round).await;
        received = Record { received: Timestamp::from(clock.now()), ..record("young", 2) };
        journal.append(&name(STREAM), Origin::Any, vec![received.clone()]).await.expect("appended");
    }
    clock.sleepers(1).await;
    clock.advance(7 * hour);
    eventually("a file over age goes", async || journal.stats().removed_files == 1).await;
    assert_eq!(texts(&read_from(&*journal, &place, 0).await), ["young", "young"]);
    journal.close().await;
}

/// A size of nothing means that everything goes that its group has passed, a file at a time.
#[tokio::test]
async fn what_was_passed_goes_when_it_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let retention = Retention { age: None, size: Some(ByteSize(0)), undelivered: Undelivered::Hold };
    let settings = Settings {
        file_size: ByteSize(3_000),
        retention,
        maintenance: Duration::from_secs(3600),
        ..settings(directory.path())
    };
    let journal = try_open(settings).expect("it opens");
    create(&*journal, STREAM, 1).await;
    let place = partition(&*journal, STREAM, 0).await;
    let commit = async |offset: u64| {
        let commit = Commit { partition: place.clone(), offset: Offset(offset) };
        journal.commit("index", &[commit]).await.expect("committed");
        journal.retain().await;
    };
    commit(0).await;
    assert_eq!(journal.stretches(&place), []);
    for index in 0..60_u32 {
        append(&*journal, STREAM, &index.to_string()).await;
    }
    let all = journal.stretches(&place);
    assert!(all.len() > 2, "{all:?}");
    assert_eq!((all[0].from, all[0].from_event, all[all.len() - 1].to), (Offset(0), 0, Offset(60)));
    assert!(all.iter().all(|stretch| stretch.to_event - stretch.from_event == stretch.to.0 - stretch.from.0));
    assert!(all.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].to_event == pair[1].from_event));
    commit(all[0].to.0 - 1).await;
    assert_eq!(journal.stretches(&place), all, "one of it is not passed");
    commit(all[0].to.0).await;
    assert_eq!(journal.stretches(&place), all[1..]);
    commit(60).await;
    assert_eq!(journal.stretches(&place), all[all.len() - 1..], "the file that is written stays");
    let mut other = place.clone();
    other.incarnation.0 += 1;
    assert_eq!(journal.stretches(&other), []);
    journal.close().await;
}
