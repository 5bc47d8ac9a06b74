//! Directories of an index that were written once and are committed, by the versions of their formats: they are
//! read for ever, and what is written now has the formats of the one with these versions.
//!
//! A new version of a format needs a directory of its own: `UPDATE_GENERATED=1` writes it. One that is there is
//! never written over.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use weir_foundation::clock::ManualClock;
use weir_foundation::settings::Environment;
use weir_model::{EventId, Offset, Position, RecordFormat};
use weir_store::conformance::fixture::{
    RECEIVED, Recording, at, hits, id, partition, prefix, request, search, write,
};
use weir_store::conformance::json::Json;
use weir_store::query::TimeRange;
use weir_store::segment::{SegmentStore, StoreSection};
use weir_store::{
    DeadLetter, DeadLetterFilter, DeadLetterStore as _, DeadReason, IndexStore as _, Inventory as _,
    PartitionAudit, PositionRun, SearchRequest, WriteRecord,
};

use crate::segment::{copy, eventually, files_of, start, start_by};

const DAY: i64 = 86_400;

/// Every kind of field that a segment has, and what it keeps beside its fields.
const CONTENTS: [&str; 6] = [
    r#"{"message":"Connection timed out","level":"error","status":504,"seconds":0.5,"retried":true}"#,
    r#"{"message":"käse, STRASSE","level":"info","status":200,"nothing":null,"http":{"host":"web1","a.b":7}}"#,
    r#"{"level":"info","status":"none","huge":12345678901234567890123,"list":[1,"two",{"in":[]}],"empty":{}}"#,
    r#"{"twice":1,"level":"info","twice":"again"}"#,
    r#"{"":-9223372036854775808,"seconds":-1e300,"retried":false}"#,
    r#"{"only":{"a":{"deep":"one"}}}"#,
];

/// More paths than a segment remembers: the last one is kept beside its fields.
fn deep() -> String {
    let path = |n: u32| format!(r#""p{n}":{}{}{}"#, r#"{"d":"#.repeat(60), 1_000 + n, "}".repeat(60));
    let members: Vec<String> = (0..35).map(path).collect();
    format!("{{{}}}", members.join(","))
}

const TOMORROW: &str = r#"{"message":"Tomorrow never knows"}"#;

fn one(of: &str, seconds: i64, content: &str, offset: u64) -> WriteRecord {
    Recording::new(of).event(at(seconds), content).at_offset(offset)
}

fn many(offset: u64) -> WriteRecord {
    let event = |record: Recording, (second, content): (i64, &&str)| record.event(at(second), content);
    (0..).zip(&CONTENTS).fold(Recording::new("shop"), event).at_offset(offset)
}

/// The first of them is in no segment at the end; the second is, since there was more of its prefix before.
fn last_two() -> Vec<WriteRecord> {
    vec![one("cafe", 12, r#"{"n":5}"#, 5), one("shop", 11, r#"{"n":6}"#, 6)]
}

fn letter(offset: u64) -> DeadLetter {
    DeadLetter {
        position: Position { partition: partition(1), offset: Offset(offset), index: 2 },
        events: 3,
        received: RECEIVED,
        died: at(1),
        prefix: Some(prefix("shop")),
        format: RecordFormat::TimberCollection,
        reason: DeadReason { code: "too-deep".to_owned(), message: "nested 65 deep".to_owned() },
        original: Bytes::from_static(&[0, 0xff, 0x80]),
    }
}

/// An index with something in every table of its manifest.
async fn written() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    let section = StoreSection { seal_after: "2m".parse().ok(), ..StoreSection::default() };
    let (store, supervisor) =
        start_by(Arc::new(clock.clone()), directory.path(), &section).expect("it opens");
    let old = one("shop", -DAY, r#"{"n":0}"#, 0);
    for records in [vec![old], vec![many(1), one("deep", 2, &deep(), 2)], vec![one("shop", DAY, TOMORROW, 3)]]
    {
        write(&store, &partition(0), records).await;
        store.flush().await.expect("flushes");
        store.drop_before(None, RECEIVED.day()).await.expect("drops the old one");
    }
    store.put(vec![letter(0), letter(1)]).await.expect("puts");
    store.purge(&[EventId(letter(1).position)]).await.expect("purges");
    write(&store, &partition(0), vec![one("shop", 10, r#"{"n":4}"#, 4)]).await;
    clock.advance(Duration::from_secs(60));
    write(&store, &partition(0), last_two()).await;
    clock.advance(Duration::from_secs(60));
    let durable = || store.durable(&partition(0));
    eventually("one prefix is sealed before the other", || durable() == Some(Offset(5))).await;
    supervisor.run_until(async {}).await;
    directory
}

async fn check_holds(directory: &Path) {
    let (store, supervisor) = start(directory).expect("it opens");
    let shop = || hits(&store, "*");
    let mut expected = vec![(DAY, id(&partition(0), 3, 0), TOMORROW)];
    expected.push((11, id(&partition(0), 6, 0), r#"{"n":6}"#));
    expected.push((10, id(&partition(0), 4, 0), r#"{"n":4}"#));
    for (index, content) in (0..6_u32).zip(CONTENTS).rev() {
        expected.push((i64::from(index), id(&partition(0), 1, index), content));
    }
    let found = shop().await;
    assert_eq!(found.len(), expected.len());
    for (hit, (seconds, id, content)) in found.iter().zip(expected) {
        assert_eq!((hit.time, &hit.id, hit.received), (at(seconds), &id, RECEIVED));
        assert!(Json::parse(&hit.content) == Json::parse(content), "{} for {content}", hit.content);
    }
    let last = search(&store, request("deep", "1034")).await.hits;
    assert!(Json::parse(&last[0].content) == Json::parse(&deep()));
    check_words(&store).await;
    check_accounts(&store).await;
    // A process that died goes on behind what is durable.
    write(&store, &partition(0), last_two()).await;
    assert_eq!(shop().await, found, "what a segment has is not taken again");
    assert_eq!(search(&store, request("cafe", "n:5")).await.total, Some(1));
    supervisor.run_until(async {}).await;
}

/// Words are found, and filters tell what need not be looked at.
async fn check_words(store: &SegmentStore) {
    for (query, expected) in
        [("timed", 1), (r#""timed out""#, 1), ("KÄSE", 1), ("again", 1), ("two", 1), ("x", 0)]
    {
        assert_eq!(search(store, request("shop", query)).await.total, Some(expected), "`{query}`");
    }
    let range = TimeRange { from: Some(at(DAY)), to: None };
    for (query, scanned) in [("never", true), ("absent", false)] {
        let found = search(store, SearchRequest { range, ..request("shop", query) }).await;
        assert_eq!((found.total, found.stats.rows_scanned > 0), (Some(u64::from(scanned)), scanned));
    }
}

async fn check_accounts(store: &SegmentStore) {
    let audit = PartitionAudit {
        partition: partition(0),
        next: Offset(5),
        durable: Offset(5),
        stored: CONTENTS.len() as u64 + 4,
        dropped: 1,
    };
    let audits = store.audit(&partition(0).stream).await.expect("audits");
    assert_eq!(audits.first(), Some(&audit));
    let run = |offset, count| PositionRun { offset: Offset(offset), first_index: 0, count };
    let positions = store.positions(&partition(0), Offset(0)).await.expect("answers");
    assert_eq!(positions, [run(1, 6), run(2, 1), run(3, 1), run(4, 1), run(6, 1)]);
    let indices = store.indices().await.expect("answers");
    let named: Vec<_> = indices.iter().map(|index| (index.name(), index.events)).collect();
    let expected = [("deep-2026.11.21", 1), ("shop-2026.11.21", 8), ("shop-2026.11.22", 1)];
    assert_eq!(named, expected.map(|(name, events)| (name.to_owned(), events)));
    let letters = store.list(&DeadLetterFilter::default(), None, 10).await.expect("lists");
    assert_eq!(letters.iter().map(|(_, letter)| letter).collect::<Vec<_>>(), [&letter(0).entry()]);
    let kept = store.get(&EventId(letter(0).position)).await.expect("gets");
    assert_eq!(kept, Some(letter(0)));
    let died = store.counts(&partition(0).stream).await.expect("counts");
    assert_eq!(died, [(partition(1), 6)], "a purged one stays counted");
}

fn manifest(directory: &Path) -> Connection {
    let path = directory.join("manifest.db");
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("there is one")
}

/// The versions of all formats in a directory.
fn versions(directory: &Path) -> String {
    let manifest: u32 =
        manifest(directory).query_row("pragma user_version", [], |row| row.get(0)).expect("it has one");
    let rows =
        SerializedFileReader::new(File::open(&files_of(directory, "deep", "parquet")[0]).expect("there"));
    let pairs = rows.expect("it has a footer").metadata().file_metadata().key_value_metadata().cloned();
    let pair = pairs.into_iter().flatten().find(|pair| pair.key == "weir.format").expect("it has one");
    let filter = std::fs::read(&files_of(directory, "deep", "filter")[0]).expect("it can be read");
    let filter = u16::from_le_bytes([filter[6], filter[7]]);
    format!("manifest-{manifest}-segment-{}-filter-{filter}", pair.value.expect("it has one"))
}

/// The tables of the manifest, and the columns of all segments.
fn layout(directory: &Path) -> Vec<String> {
    let connection = manifest(directory);
    let mut tables =
        connection.prepare("select sql from sqlite_schema where sql is not null").expect("is SQL");
    let tables = tables.query_map([], |row| row.get(0)).expect("it can be read");
    let mut layout: Vec<String> = tables.collect::<Result<_, _>>().expect("they are texts");
    for prefix in ["deep", "shop"] {
        for path in files_of(directory, prefix, "parquet") {
            let reader = SerializedFileReader::new(File::open(path).expect("it is there"));
            let footer = reader.expect("it has a footer").metadata().clone();
            let columns = footer.file_metadata().schema_descr().columns().iter().map(|column| {
                let (name, physical) = (column.path().string(), column.physical_type());
                format!(
                    "{prefix}: {name} {physical} {:?} {}",
                    column.logical_type_ref(),
                    column.max_def_level()
                )
            });
            layout.extend(columns);
        }
    }
    layout
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Keeps what was written, without the lock and the directories of prefixes that have no segment.
fn keep(written: &Path, golden: &Path) {
    for prefix in ["deep", "shop"] {
        std::fs::create_dir_all(golden.join(prefix)).expect("there is space");
        copy(&written.join(prefix), &golden.join(prefix)).expect("there is space");
    }
    std::fs::copy(written.join("manifest.db"), golden.join("manifest.db")).expect("there is space");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_are_what_their_versions_say() {
    let written = written().await;
    check_holds(copy_of(written.path()).path()).await;
    let of_today = golden().join(versions(written.path()));
    if !of_today.exists() && Environment::of_process().get("UPDATE_GENERATED").is_some() {
        keep(written.path(), &of_today);
    }
    assert!(of_today.exists(), "{} is missing: run this test with UPDATE_GENERATED=1", of_today.display());
    // Reading leaves files of SQLite's behind.
    let of_today = copy_of(&of_today);
    assert_eq!(layout(written.path()), layout(of_today.path()), "another layout needs another version");
    for version in std::fs::read_dir(golden()).expect("they are committed") {
        let version = version.expect("it is there").path();
        println!("reading {}", version.display());
        check_holds(copy_of(&version).path()).await;
    }
}

fn copy_of(directory: &Path) -> TempDir {
    let index = tempfile::tempdir().expect("a temporary directory");
    copy(directory, index.path()).expect("there is space");
    index
}
