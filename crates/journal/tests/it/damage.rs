//! Files that are not what was written: copies are damaged, then opened.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_journal::sqlite::{Codec, JUMP, Settings, SqliteJournal};
use weir_journal::{Journal, Loss, LossReason, Origin, ReadBatch, ReadError};
use weir_model::{ByteSize, Offset};

use crate::support::{
    append, copy_of, create, files_like, name, open, partition, read_from, record, settings, texts, try_open,
};

const STREAM: &str = "shop_logs";

/// Several files, so that there are old ones to damage and a newest one.
fn small_files(directory: &Path) -> Settings {
    Settings { file_size: ByteSize(20_000), codec: Codec::None, ..settings(directory) }
}

fn value(index: u64) -> String {
    format!("<{index:06}>{}", "v".repeat(800))
}

/// How many events the record at an offset has.
fn events(index: u64) -> u32 {
    u32::try_from(index % 5 + 1).expect("small")
}

async fn write(journal: &SqliteJournal, records: Range<u64>) {
    create(journal, STREAM, 1).await;
    for index in records {
        let record = record(&value(index), events(index));
        let appended = journal.append(&name(STREAM), Origin::Any, vec![record]).await.expect("appended");
        assert_eq!(appended[0].offset, Offset(index));
    }
}

/// A closed journal of several files.
pub(crate) async fn closed_journal(records: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(small_files(directory.path())).expect("it opens");
    write(&journal, 0..records).await;
    journal.close().await;
    directory
}

/// A journal of several files as a crash leaves it: the newest is partly in its WAL.
async fn crashed_journal(records: u64) -> tempfile::TempDir {
    let directory = closed_journal(records - 15).await;
    let journal = try_open(small_files(directory.path())).expect("it opens");
    write(&journal, records - 15..records).await;
    let crashed = copy_of(directory.path());
    journal.close().await;
    crashed
}

/// Every record is the one that was written, and every offset is either read or told to be lost, with the
/// right number of events where a number is given.
fn check_honest(batch: &ReadBatch, end: u64) {
    let mut next = 0;
    let mut losses = batch.losses.iter().peekable();
    for stored in &batch.records {
        while let Some(loss) = losses.next_if(|loss| loss.from.0 == next) {
            check_count(loss, end);
            next = loss.to.0;
        }
        assert_eq!(stored.offset.0, next, "nothing is silently left out");
        let first_event: u64 = (0..next.min(end)).map(|index| u64::from(events(index))).sum();
        assert_eq!(String::from_utf8_lossy(&stored.record.value), value(next));
        assert_eq!((stored.first_event, stored.record.events), (Some(first_event), Some(events(next))));
        next += 1;
    }
    for loss in losses {
        assert_eq!(loss.from.0, next);
        check_count(loss, end);
        next = loss.to.0;
    }
    assert!(next >= end, "the end was {end}, reading ended at {next}");
}

fn check_count(loss: &Loss, end: u64) {
    assert_eq!(loss.reason, LossReason::Damaged);
    let expected: u64 = (loss.from.0..loss.to.0.min(end)).map(|index| u64::from(events(index))).sum();
    assert!(loss.events.is_none_or(|events| events == expected), "{loss:?} holds {expected} events");
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[!byte[0]], at).expect("written");
}

/// Where a text is in a file; splitting pages leaves copies that are not used any more.
fn find(path: &Path, text: &str) -> Vec<u64> {
    let bytes = std::fs::read(path).expect("read");
    let windows = bytes.windows(text.len()).enumerate();
    windows.filter(|(_, window)| *window == text.as_bytes()).map(|(at, _)| at as u64).collect()
}

#[tokio::test]
async fn a_torn_wal_gives_back_everything_before_the_tear() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(Settings { codec: Codec::None, ..settings(directory.path()) }).expect("it opens");
    write(&journal, 0..30).await;
    let wal = files_like(directory.path(), ".db-wal")
        .into_iter()
        .find(|path| path.to_string_lossy().contains("journal"));
    let wal = wal.expect("records are in the WAL");
    let full = std::fs::metadata(&wal).expect("it is there").len();
    for cut in [1, 100, 5_000, 40_000, full / 2, full - 10, full] {
        let copy = copy_of(directory.path());
        let torn = copy.path().join(wal.file_name().expect("it has a name"));
        OpenOptions::new().write(true).open(&torn).expect("opened").set_len(full - cut).expect("cut");
        let again = try_open(settings(copy.path())).expect("it opens");
        let streams = again.streams().await.expect("listed");
        let mut kept = 0;
        if !streams.is_empty() {
            let batch = read_from(&*again, &partition(&*again, STREAM, 0).await, 0).await;
            assert!(batch.losses.is_empty(), "cut {cut}: what a torn tail held was never answered");
            kept = batch.records.len() as u64;
            let expected: Vec<_> = (0..kept).map(value).collect();
            assert_eq!(texts(&batch), expected, "cut {cut}");
        }
        create(&*again, STREAM, 1).await;
        assert_eq!(append(&*again, STREAM, "next").await, Offset(kept), "cut {cut}");
        again.close().await;
    }
    journal.close().await;
}

#[tokio::test]
async fn a_flipped_byte_in_a_value_costs_one_record() {
    let directory = closed_journal(60).await;
    let files = files_like(directory.path(), ".db");
    for index in [0, 7, 30, 59] {
        let copy = copy_of(directory.path());
        let text = format!("<{index:06}>");
        let holder = files.iter().find(|path| !find(path, &text).is_empty());
        let path = copy.path().join(holder.expect("it is somewhere").file_name().expect("it has a name"));
        for at in find(&path, &text) {
            flip(&path, at + 100);
        }
        let journal = try_open(small_files(copy.path())).expect("it opens");
        let batch = read_from(&*journal, &partition(&*journal, STREAM, 0).await, 0).await;
        let lost = Loss {
            from: Offset(index),
            to: Offset(index + 1),
            events: Some(u64::from(events(index))),
            reason: LossReason::Damaged,
        };
        assert_eq!(batch.losses, [lost], "record {index}");
        assert_eq!(batch.records.len(), 59);
        check_honest(&batch, 60);
        assert_eq!(append(&*journal, STREAM, "next").await, Offset(60), "the end is known");
        journal.close().await;
    }
}

#[tokio::test]
async fn a_truncated_old_file_costs_what_was_in_it() {
    let directory = closed_journal(100).await;
    let files = files_like(directory.path(), "journal-0");
    assert!(files.len() > 4, "{files:?}");
    let full = std::fs::metadata(&files[1]).expect("it is there").len();
    for keep in [0, 10, 4096, full - 20_000, full - 1] {
        let copy = copy_of(directory.path());
        let victim = copy.path().join(files[1].file_name().expect("it has a name"));
        File::options().write(true).open(&victim).expect("opened").set_len(keep).expect("cut");
        let journal = try_open(small_files(copy.path())).expect("it opens");
        let batch = read_from(&*journal, &partition(&*journal, STREAM, 0).await, 0).await;
        check_honest(&batch, 100);
        assert!(batch.records.len() > 60, "only one file is lost");
        assert!(
            batch.losses.iter().all(|loss| loss.events.is_some()),
            "the neighbours know: {:?}",
            batch.losses
        );
        assert_eq!(append(&*journal, STREAM, "next").await, Offset(100));
        let quarantined = u64::from(keep <= 4096);
        assert_eq!(journal.stats().quarantined_files, quarantined, "what is left of a file is still read");
        journal.close().await;
        assert_eq!(files_like(copy.path(), ".quarantined-1").len() as u64, quarantined);
        // The damage was dealt with: opening again changes nothing.
        let again = try_open(small_files(copy.path())).expect("it opens");
        let second = read_from(&*again, &partition(&*again, STREAM, 0).await, 0).await;
        assert_eq!(second.losses, batch.losses);
        assert_eq!(append(&*again, STREAM, "next").await, Offset(101));
        again.close().await;
    }
}

#[tokio::test]
async fn after_a_newest_file_that_can_not_be_read_offsets_jump() {
    let directory = closed_journal(100).await;
    let newest = files_like(directory.path(), "journal-0").pop().expect("there are files");
    std::fs::write(
        &newest,
        b"this is not a database any more, but it is long enough to be a header of one....",
    )
    .expect("written");
    let journal = try_open(small_files(directory.path())).expect("it opens");
    let place = partition(&*journal, STREAM, 0).await;
    let next = append(&*journal, STREAM, "next").await;
    assert!(next.0 >= JUMP, "{next}");
    let batch = journal.read(&place, Offset(0), crate::support::NO_LIMIT).await.expect("readable");
    let last = batch.losses.last().expect("the jump is a loss");
    assert_eq!((last.to, last.events, last.reason), (next, None, LossReason::Damaged));
    assert!(last.from.0 < 100, "the lost file held something");
    assert_eq!(texts(&batch).pop().as_deref(), Some("next"));
    journal.close().await;
    let again = try_open(small_files(directory.path())).expect("it opens");
    assert_eq!(append(&*again, STREAM, "and on").await, Offset(next.0 + 1), "there is one jump, not two");
    again.close().await;
}

/// Flips a byte, zeroes a page or cuts the file; says what it did.
fn damage(victim: &Path, random: &mut StdRng) -> String {
    let length = std::fs::metadata(victim).expect("it is there").len();
    let kind = random.random_range(0..3);
    let at = random.random_range(0..length);
    match kind {
        // The numbers that say what the file is are tested on their own.
        0 if !(60..72).contains(&at) => flip(victim, at),
        1 => {
            let page = at / 8_192 * 8_192;
            let file = OpenOptions::new().write(true).open(victim).expect("opened");
            let from = page.max(100);
            file.write_all_at(&vec![0; usize::try_from(page + 8_192 - from).expect("small")], from)
                .expect("zeroed");
        }
        _ => OpenOptions::new().write(true).open(victim).expect("opened").set_len(at).expect("cut"),
    }
    format!("kind {kind} at {at} of {length} in {}", victim.display())
}

/// Lives with the damage: it costs the same in each of them, and no offset is given twice.
async fn live_with(directory: &Path, records: u64) {
    let mut before: Option<(Vec<String>, Vec<Loss>)> = None;
    for life in 0..3 {
        let journal = try_open(small_files(directory)).expect("damage does not keep the service down");
        let streams = journal.streams().await.expect("listed");
        if let Some(stream) = streams.first() {
            let mut batch = read_from(&*journal, &stream.partitions[0].partition, 0).await;
            let news = batch.records.len().saturating_sub(life);
            let added = batch.records.split_off(news);
            assert!(added.iter().all(|stored| *stored.record.value == *b"next"), "life {life}");
            check_honest(&batch, records);
            let now = (texts(&batch), batch.losses);
            assert!(before.as_ref().is_none_or(|before| *before == now), "life {life}: {:?}", now.1);
            before = Some(now);
        }
        create(&*journal, STREAM, 1).await;
        let next = append(&*journal, STREAM, "next").await;
        assert!(streams.is_empty() || next.0 >= records, "offset {next} was given before");
        journal.check().await.expect("it can be checked");
        journal.close().await;
        if streams.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn random_damage_is_never_taken_for_data() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for directory in [closed_journal(80).await, crashed_journal(80).await] {
        for _ in 0..25 {
            let copy = copy_of(directory.path());
            let files = files_like(copy.path(), ".db");
            let files: Vec<_> = files.iter().filter(|path| is_journal_file(path)).collect();
            let done = damage(files[random.random_range(0..files.len())], &mut random);
            eprintln!("{done}");
            live_with(copy.path(), 80).await;
        }
    }
}

#[tokio::test]
async fn records_are_not_written_into_a_damaged_page() {
    let directory = closed_journal(80).await;
    let newest = files_like(directory.path(), "journal-0").pop().expect("there are files");
    let last_page = std::fs::metadata(&newest).expect("it is there").len() - 8_192;
    // The head of the page: its kind, where it has room, how many rows it has and where they are.
    for at in last_page..last_page + 24 {
        let copy = copy_of(directory.path());
        flip(&copy.path().join(newest.file_name().expect("it has a name")), at);
        live_with(copy.path(), 80).await;
    }
}

fn is_journal_file(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with("journal-") && name.ends_with(".db")
}

#[tokio::test]
async fn groups_that_can_not_be_read_begin_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path());
    write(&journal, 0..3).await;
    let place = partition(&*journal, STREAM, 0).await;
    let commit = weir_journal::Commit { partition: place, offset: Offset(2) };
    journal.commit("index", &[commit]).await.expect("committed");
    journal.close().await;
    std::fs::write(directory.path().join("groups.db"), vec![7; 10_000]).expect("written");
    let again = open(directory.path());
    assert!(again.groups().await.expect("listed").is_empty());
    let batch = read_from(&*again, &partition(&*again, STREAM, 0).await, 0).await;
    assert_eq!(batch.records.len(), 3);
    assert_eq!(files_like(directory.path(), "groups.db.quarantined").len(), 1);
    again.close().await;
}

#[tokio::test]
async fn what_a_file_says_about_itself_is_verified() {
    let directory = closed_journal(100).await;
    let files = files_like(directory.path(), "journal-0");
    for lie in [
        "update partition set to_offset = 1 << 40",
        "update partition set from_offset = 1 << 40, to_offset = 1 << 41",
        "update stream set partitions = 2000000000",
        "update stream set incarnation = 1",
        "update summary set records = 1 << 40",
        "delete from summary",
    ] {
        for file in [files.first(), files.get(1), files.last()] {
            let copy = copy_of(directory.path());
            let file = copy.path().join(file.and_then(|path| path.file_name()).expect("there are files"));
            rusqlite::Connection::open(&file).expect("opened").execute_batch(lie).expect("changed");
            let journal = try_open(small_files(copy.path())).expect("it opens");
            let batch = read_from(&*journal, &partition(&*journal, STREAM, 0).await, 0).await;
            check_honest(&batch, 100);
            assert_eq!(batch.records.len(), 100, "{lie} in {}: the records are all there", file.display());
            assert!(append(&*journal, STREAM, "next").await.0 >= 100, "{lie}");
            journal.close().await;
        }
    }
}

/// Long enough that few of them bring a checkpoint.
fn long_value(index: u64) -> String {
    format!("<{index:06}>{}", "v".repeat(40_000))
}

/// Which records SQLite itself can still read, through the WAL.
fn readable(directory: &Path, records: u64) -> Vec<String> {
    let copy = copy_of(directory);
    let path = copy.path().join("journal-000001.db");
    let file = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let file = file.expect("opened");
    let get = |offset: u64| {
        let sql = "select value from record not indexed where id = ?";
        file.query_row(sql, [(offset + 1).cast_signed()], |row| row.get::<_, Vec<u8>>(0)).ok()
    };
    (0..records).filter(|offset| get(*offset).is_some()).map(long_value).collect()
}

#[tokio::test]
async fn what_the_wal_of_a_truncated_file_holds_is_read_at_once_and_always() {
    let records = 150;
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(Settings { codec: Codec::None, ..settings(directory.path()) }).expect("it opens");
    create(&*journal, STREAM, 1).await;
    for index in 0..records {
        journal
            .append(&name(STREAM), Origin::Any, vec![record(&long_value(index), 1)])
            .await
            .expect("appended");
    }
    let crashed = copy_of(directory.path());
    journal.close().await;
    let main = std::fs::metadata(crashed.path().join("journal-000001.db")).expect("it is there").len();
    let wal = std::fs::metadata(crashed.path().join("journal-000001.db-wal")).expect("it is there").len();
    assert!(main > 2 << 20 && wal > 1 << 20, "some is in the file, some is not: {main}, {wal}");
    for keep in [main / 2, main - (1 << 20), main - 40_000] {
        let copy = copy_of(crashed.path());
        let victim = copy.path().join("journal-000001.db");
        OpenOptions::new().write(true).open(&victim).expect("opened").set_len(keep).expect("cut");
        let expected = readable(copy.path(), records);
        assert!(!expected.is_empty() && (expected.len() as u64) < records, "{keep} of {main}");
        for life in 0..3 {
            let again = try_open(settings(copy.path())).expect("it opens");
            let batch = read_from(&*again, &partition(&*again, STREAM, 0).await, 0).await;
            let mut texts = texts(&batch);
            texts.truncate(expected.len());
            assert!(texts == expected, "{keep} of {main}, life {life}: {:?}", batch.losses);
            assert_eq!(again.stats().quarantined_files, 0);
            assert!(append(&*again, STREAM, "next").await.0 >= JUMP);
            again.close().await;
        }
    }
}

#[tokio::test]
async fn a_damaged_file_that_a_reader_keeps_busy_is_left_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = try_open(Settings { codec: Codec::None, ..settings(directory.path()) }).expect("it opens");
    write(&journal, 0..20).await;
    let path = directory.path().join("journal-000001.db");
    let busy = rusqlite::Connection::open(&path).expect("opened");
    busy.execute_batch("begin; select count(*) from record").expect("it reads");
    let meddler = rusqlite::Connection::open(&path).expect("opened");
    meddler
        .execute_batch(
            "pragma writable_schema = on;
             update sqlite_schema set rootpage = (select rootpage from sqlite_schema where name = 'record')
             where name = 'record_by_place';
             pragma schema_version = 1000;",
        )
        .expect("changed");
    assert_eq!(append(&*journal, STREAM, "in the next file").await, Offset(20));
    assert_eq!(journal.stats().files, 2, "the damaged file was left");
    let place = partition(&*journal, STREAM, 0).await;
    let check = |batch: ReadBatch| {
        assert!(batch.losses.is_empty(), "{:?}", batch.losses);
        let mut expected: Vec<_> = (0..20).map(value).collect();
        expected.push("in the next file".to_owned());
        assert_eq!(texts(&batch), expected);
    };
    check(read_from(&*journal, &place, 0).await);
    journal.close().await;
    drop((busy, meddler));
    let again = try_open(settings(directory.path())).expect("it opens");
    check(read_from(&*again, &place, 0).await);
    again.close().await;
}

#[tokio::test]
async fn an_index_that_names_offsets_that_never_were_costs_nothing() {
    let directory = closed_journal(60).await;
    let newest = files_like(directory.path(), "journal-0").pop().expect("there are files");
    let bytes = std::fs::read(&newest).expect("read");
    // An entry of the index on place, in SQLite's record format: partition 0, offset 59, and the id.
    let entry = bytes.windows(5).position(|window| window == [4, 8, 1, 1, 59]).expect("the last is in it");
    flip(&newest, entry as u64 + 4);
    let journal = try_open(small_files(directory.path())).expect("it opens");
    let batch = read_from(&*journal, &partition(&*journal, STREAM, 0).await, 0).await;
    check_honest(&batch, 60);
    assert_eq!(batch.records.len(), 60, "each record says itself where it belongs");
    journal.close().await;
}

/// In the place of a file, one that the kernel opens and can not read, like a disk with bad sectors.
fn make_unreadable(file: &Path) {
    std::fs::remove_file(file).expect("removed");
    // Nothing is mapped at address 0.
    std::os::unix::fs::symlink("/proc/self/mem", file).expect("made");
}

#[tokio::test]
async fn what_the_disk_can_not_read_is_tried_again_and_then_lost() {
    let directory = closed_journal(60).await;
    let journal = try_open(small_files(directory.path())).expect("it opens");
    let place = partition(&*journal, STREAM, 0).await;
    let files = files_like(directory.path(), "journal-0");
    make_unreadable(&files[0]);
    let mut failures = 0;
    let first = loop {
        match journal.read(&place, Offset(0), crate::support::NO_LIMIT).await {
            Ok(batch) => break batch,
            Err(error) => assert!(matches!(error, ReadError::Failed(_)), "{error:?}"),
        }
        failures += 1;
        assert!(failures < 100, "what can not be read would hold back everything behind it");
    };
    assert!(failures > 3, "it might have been a moment only");
    assert_eq!(first.losses.len(), 1);
    check_honest(&first, 60);
    journal.close().await;
    let again = try_open(small_files(directory.path())).expect("it opens");
    assert_eq!(again.stats().quarantined_files, 1);
    check_honest(&read_from(&*again, &place, 0).await, 60);
    again.close().await;
}
