//! Directories of a journal that were written once and are committed, by the versions of their formats: they are
//! read for ever, and what is written now has the formats of the one with these versions.
//!
//! A new version of a format needs a directory of its own: `UPDATE_GENERATED=1` writes it. One that is there is
//! never written over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;
use weir_foundation::settings::Environment;
use weir_journal::sqlite::{Codec, Settings, SqliteJournal};
use weir_journal::{Commit, Journal, KnownBatch, Loss, LossReason, Origin, StoredRecord, StreamPattern};
use weir_model::{
    BatchTag, ByteSize, Mark, Offset, Record, RecordFormat, SourceId, StreamPartition, Timestamp,
};

use crate::support::{
    append, copy_of, create, files_like, name, open, partition, read_from, settings, texts, try_open,
};

const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];
const FORMATS: [RecordFormat; 3] =
    [RecordFormat::Timber, RecordFormat::TimberCollection, RecordFormat::Events];
/// So small that there are several files.
const FILE: ByteSize = ByteSize(600);

const SOURCE: SourceId = SourceId(0x0123_4567_89ab_cdef << 60);

/// Record number `n` of all, and its key.
fn numbered(n: u32, format: RecordFormat) -> (String, Record) {
    let record = Record {
        format,
        events: Some(n % 4 + 1),
        received: Timestamp::from_micros(1_700_000_000_000_000 + i64::from(n)),
        batch: n.is_multiple_of(2).then(|| tag(n)),
        value: Bytes::from(format!("record {n} of {format}, {}", "again and ".repeat(12))),
    };
    (format!("key {n}"), record)
}

fn tag(n: u32) -> BatchTag {
    BatchTag { id: u128::from(n) << 100 | 7, digest: u128::from(n) << 64 }
}

/// Each format, once with each codec.
fn records() -> Vec<(String, Record)> {
    (0..).zip(CODECS.iter().flat_map(|_| FORMATS)).map(|(n, format)| numbered(n, format)).collect()
}

/// A journal with something in every table.
async fn written() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let with = |codec| try_open(Settings { codec, file_size: FILE, ..settings(directory.path()) });
    let mut rest = records().into_iter();
    for codec in CODECS {
        let journal = with(codec).expect("it opens");
        create(&*journal, "shop_logs", 2).await;
        for (key, record) in rest.by_ref().take(FORMATS.len()) {
            journal
                .append(&name("shop_logs"), Origin::Key(key.as_bytes()), vec![record])
                .await
                .expect("appended");
        }
        journal.close().await;
    }
    let journal = with(Codec::default()).expect("it opens");
    create(&*journal, "cafe_logs", 1).await;
    append(&*journal, "cafe_logs", "before the gap").await;
    let pattern = StreamPattern { prefix: "cafe".to_owned(), suffix: "_logs".to_owned() };
    drop(journal.subscribe("index", pattern).await.expect("free"));
    let cafe = partition(&*journal, "cafe_logs", 0).await;
    journal.commit("index", &[Commit { partition: cafe, offset: Offset(4) }]).await.expect("committed");
    append(&*journal, "cafe_logs", "behind the gap").await;
    create(&*journal, "farm_logs", 1).await;
    let origin = Origin::Source(Mark { source: SOURCE, end: 77 });
    let (_, record) = numbered(1_001, RecordFormat::Events);
    journal.append(&name("farm_logs"), origin, vec![record]).await.expect("appended");
    journal.close().await;
    directory
}

async fn check_holds(directory: &Path) {
    let journal = open(directory);
    let known = journal.known_batches(Timestamp::from_micros(0), 5).await.expect("listed");
    let tags = (0..9).step_by(2).map(tag);
    assert!(known.iter().map(|batch: &KnownBatch| batch.tag).eq(tags), "{known:?}");
    let mut found = Vec::new();
    for index in 0..2 {
        let place = partition(&*journal, "shop_logs", index).await;
        found.extend(check_dense(&journal, &place).await);
    }
    found.sort_by_key(|(_, stored)| stored.record.received);
    assert_eq!(found.len(), records().len());
    for ((place, stored), (key, record)) in found.iter().zip(records()) {
        assert_eq!(stored.record, record);
        // What has a key stays in its partition, whatever wrote it.
        let again = journal
            .append(&name("shop_logs"), Origin::Key(key.as_bytes()), vec![record])
            .await
            .expect("appended");
        assert_eq!(again[0].partition, *place, "{key}");
    }
    let cafe = partition(&*journal, "cafe_logs", 0).await;
    let batch = read_from(&*journal, &cafe, 0).await;
    assert_eq!(texts(&batch), ["before the gap", "behind the gap"]);
    let gap = Loss { from: Offset(1), to: Offset(4), events: None, reason: LossReason::Cut };
    assert_eq!(batch.losses, [gap]);
    // Marks came with format 2.
    let streams = journal.streams().await.expect("listed");
    let marked = streams.iter().any(|stream| stream.name.as_str() == "farm_logs").then_some(77);
    assert_eq!(journal.mark(&name("shop_logs"), SOURCE).await.expect("it can be asked for"), marked);
    let origin = Origin::Source(Mark { source: SOURCE, end: 80 });
    let (_, record) = numbered(1_003, RecordFormat::Events);
    journal
        .append(&name("shop_logs"), origin, vec![record])
        .await
        .expect("a file of any format can be written on");
    assert_eq!(journal.mark(&name("shop_logs"), SOURCE).await.expect("it can be asked for"), Some(80));
    let groups = journal.groups().await.expect("listed");
    assert_eq!(
        (groups.len(), groups[0].name.as_str(), groups[0].positions[0].committed),
        (1, "index", Offset(4))
    );
    journal.close().await;
}

/// The records of a partition, which has lost none.
async fn check_dense(
    journal: &SqliteJournal,
    place: &StreamPartition,
) -> Vec<(StreamPartition, StoredRecord)> {
    let batch = read_from(journal, place, 0).await;
    assert_eq!(batch.losses, []);
    let mut events = 0;
    for (offset, stored) in (0..).zip(&batch.records) {
        assert_eq!((stored.offset, stored.first_event), (Offset(offset), Some(events)));
        events += u64::from(stored.record.events.unwrap_or(0));
    }
    batch.records.into_iter().map(|stored| (place.clone(), stored)).collect()
}

fn number(connection: &Connection, sql: &str) -> u32 {
    connection.query_row(sql, [], |row| row.get(0)).expect("it is a number")
}

/// The tables of the files.
fn layout(directory: &Path) -> BTreeSet<String> {
    let mut layout = BTreeSet::new();
    for path in files_like(directory, ".db") {
        let connection = Connection::open(&path).expect("it is one of SQLite");
        let mut tables =
            connection.prepare("select sql from sqlite_schema where sql is not null").expect("is SQL");
        let tables = tables.query_map([], |row| row.get(0)).expect("it can be read");
        layout.extend(tables.map(|sql| sql.expect("it is a text")));
        layout.insert(format!("application {:x}", number(&connection, "pragma application_id")));
    }
    layout
}

/// The versions of the formats in a directory.
fn versions(directory: &Path) -> String {
    let version = |file: &str| {
        let connection = Connection::open(directory.join(file)).expect("it is one of SQLite");
        number(&connection, "pragma user_version")
    };
    format!("journal-{}-groups-{}", version("journal-000001.db"), version("groups.db"))
}

/// The codecs that the frames of all records name.
fn codecs(directory: &Path) -> BTreeSet<u8> {
    let mut codecs = BTreeSet::new();
    for path in files_like(directory, "journal-") {
        let connection = Connection::open(&path).expect("it is one of SQLite");
        let mut frames = connection.prepare("select value from record").expect("is SQL");
        let frames = frames.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("it can be read");
        codecs.extend(frames.map(|frame| frame.expect("it is a blob")[4]));
    }
    codecs
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[tokio::test]
async fn formats_are_what_their_versions_say() {
    let written = written().await;
    check_holds(copy_of(written.path()).path()).await;
    let of_today = golden().join(versions(written.path()));
    if !of_today.exists() && Environment::of_process().get("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(&of_today).expect("there is space");
        for file in files_like(written.path(), ".db") {
            std::fs::copy(&file, of_today.join(file.file_name().expect("it has one")))
                .expect("there is space");
        }
    }
    assert!(of_today.exists(), "{} is missing: run this test with UPDATE_GENERATED=1", of_today.display());
    let of_today = copy_of(&of_today);
    assert_eq!(layout(written.path()), layout(of_today.path()), "another layout needs another version");
    assert_eq!(codecs(of_today.path()), BTreeSet::from([0, 1, 2]), "all of them are read below");
    for version in std::fs::read_dir(golden()).expect("they are committed") {
        let version = version.expect("it is there").path();
        println!("reading {}", version.display());
        check_holds(copy_of(&version).path()).await;
    }
}
