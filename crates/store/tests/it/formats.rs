//! Files of a newer weir, and files that do not say whose they are: refused by name, and left as they are. Files
//! that the manifest does not name: removed, when there is a manifest.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir_foundation::failure::chain;
use weir_store::conformance::Subject;
use weir_store::conformance::fixture::{Recording, at, partition, request, search, write};
use weir_store::query::TimeRange;
use weir_store::segment::OpenStoreError;
use weir_store::{Hit, SearchRequest, WriteRecord};

use crate::segment::{Segments, start};

/// Segments of one day that are merged when there is one more.
const UNMERGED: u64 = 7;

/// The record of the event number `n`, which is at second `n`.
fn numbered(n: u64) -> WriteRecord {
    let seconds = i64::try_from(n).expect("a small number");
    Recording::new("shop").event(at(seconds), &format!(r#"{{"n":{n},"text":"a word"}}"#)).at_offset(n)
}

fn seconds_of(hits: &[Hit]) -> Vec<i64> {
    hits.iter().map(|hit| (hit.time.micros() - at(0).micros()) / 1_000_000).collect()
}

/// A closed store of [`UNMERGED`] segments of `shop`, each of one numbered event.
async fn closed() -> TempDir {
    let subject = Segments::new();
    let store = subject.index();
    for n in 0..UNMERGED {
        write(&*store, &partition(0), vec![numbered(n)]).await;
        store.flush().await.expect("flushes");
    }
    drop(store);
    let directory = subject.close().await;
    assert_eq!(files(directory.path()).len() as u64, 2 * UNMERGED + 2, "segments, manifest and lock");
    directory
}

/// Every file with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("it is there").path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("it can be read");
            found.insert(path, bytes);
        }
    }
    found
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("it is there");
    file.write_all_at(bytes, at).expect("it can be written");
}

/// Writes over a text that is once in the file.
fn replace(path: &Path, text: &[u8], other: &[u8]) {
    let bytes = std::fs::read(path).expect("it can be read");
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert_eq!(places.len(), 1, "`{}`", path.display());
    overwrite(path, places[0] as u64, other);
}

fn segment(directory: &TempDir, extension: &str) -> PathBuf {
    directory.path().join(format!("shop/000000000001.{extension}"))
}

/// The store does not open, says these words, and changes nothing.
fn check_refused(directory: &TempDir, words: &[&str]) {
    let before = files(directory.path());
    let refused = start(directory.path()).expect_err("it is refused");
    assert!(matches!(refused, OpenStoreError::Manifest { .. }), "{refused:?}");
    let message = chain(&refused).to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    assert!(files(directory.path()) == before, "nothing is changed");
}

fn within(from: i64, to: Option<i64>) -> SearchRequest {
    SearchRequest { range: TimeRange { from: Some(at(from)), to: to.map(at) }, ..request("shop", "*") }
}

/// The first of the segments can not be read: these searches, which need it, have the rest of their answer and
/// say these words, others have a whole one.
async fn check_unreadable(subject: &Segments, need_it: Vec<SearchRequest>, words: &[&str]) {
    let store = subject.index();
    for request in need_it {
        let found = search(&*store, request).await;
        assert_eq!(found.unreadable.len(), 1);
        let unreadable = &found.unreadable[0];
        assert!(words.iter().all(|word| unreadable.reason.contains(word)), "{}", unreadable.reason);
        assert_eq!((unreadable.from, unreadable.to), (at(0), at(0)));
        let hits = seconds_of(&found.hits);
        assert!(hits.iter().rev().copied().eq(1..=hits.len() as i64), "{hits:?}");
        assert_eq!(found.total, Some(hits.len() as u64));
    }
    let found = search(&*store, within(1, Some(7))).await;
    assert_eq!(seconds_of(&found.hits), [6, 5, 4, 3, 2, 1]);
    assert_eq!(found.unreadable, []);
}

fn need_rows() -> Vec<SearchRequest> {
    vec![within(0, Some(1)), request("shop", "*"), request("shop", "n:0")]
}

/// Writes as many segments as are merged, and one more, whose flush comes after the merge was tried.
async fn tempt_to_merge(subject: &Segments) {
    let store = subject.index();
    for n in UNMERGED..UNMERGED + 2 {
        write(&*store, &partition(0), vec![numbered(n)]).await;
        store.flush().await.expect("flushes");
    }
}

/// Neither a merge of the others nor retention by other days nor a restart touches the files of the first segment.
async fn check_kept(directory: TempDir, words: &[&str]) {
    let of_first =
        |directory: &TempDir| ["parquet", "filter"].map(|kind| std::fs::read(segment(directory, kind)).ok());
    let before = of_first(&directory);
    let subject = Segments::open(directory);
    check_unreadable(&subject, need_rows(), words).await;
    tempt_to_merge(&subject).await;
    subject.index().drop_before(None, at(0).day()).await.expect("drops what is older");
    let again = Segments::open(subject.close().await);
    check_unreadable(&again, need_rows(), words).await;
    let found = search(&*again.index(), within(1, None)).await;
    assert_eq!(seconds_of(&found.hits), [8, 7, 6, 5, 4, 3, 2, 1]);
    let directory = again.close().await;
    assert!(before[0].is_some() && of_first(&directory) == before, "its files are not touched");
}

/// All words are found without the filter, and when a merge has made it anew.
async fn check_healed(directory: TempDir) {
    let subject = Segments::open(directory);
    for (query, expected) in [("word", vec![6, 5, 4, 3, 2, 1, 0]), ("-absent n:0", vec![0])] {
        let found = search(&*subject.index(), request("shop", query)).await;
        assert_eq!(seconds_of(&found.hits), expected);
        assert_eq!(found.unreadable, []);
    }
    tempt_to_merge(&subject).await;
    let found = search(&*subject.index(), request("shop", "word")).await;
    assert_eq!(seconds_of(&found.hits), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

/// Where SQLite keeps `user_version`, in which the manifest has its format.
const USER_VERSION: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_of_a_newer_format_is_refused_by_name() {
    let directory = closed().await;
    overwrite(&directory.path().join("manifest.db"), USER_VERSION, &2_u32.to_be_bytes());
    check_refused(&directory, &["manifest.db", "has format 2, this weir reads up to 1", "use a newer weir"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_without_a_format_is_refused_by_name() {
    let directory = closed().await;
    overwrite(&directory.path().join("manifest.db"), USER_VERSION, &0_u32.to_be_bytes());
    check_refused(&directory, &["manifest.db", "it does not name its format"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_without_a_manifest_are_no_orphans() {
    let directory = closed().await;
    let manifest = directory.path().join("manifest.db");
    let bytes = std::fs::read(&manifest).expect("it can be read");
    std::fs::remove_file(&manifest).expect("it can be removed");
    check_refused(&directory, &["there are segments, but no manifest", "manifest.db", "put it back"]);
    std::fs::write(&manifest, []).expect("it can be written");
    check_refused(&directory, &["there are segments, but no manifest", "manifest.db", "put it back"]);
    std::fs::write(&manifest, bytes).expect("it can be written");
    let subject = Segments::open(directory);
    assert_eq!(search(&*subject.index(), request("shop", "*")).await.total, Some(UNMERGED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_the_manifest_does_not_name_go_at_open() {
    let directory = closed().await;
    let rows = std::fs::read(segment(&directory, "parquet")).expect("it can be read");
    let filter = std::fs::read(segment(&directory, "filter")).expect("it can be read");
    std::fs::create_dir(directory.path().join("cafe")).expect("it can be made");
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).expect("it can be written");
    };
    for name in ["shop/notes.txt", "shop/000000000099.parquet.copy", "000000000099.parquet"] {
        put(name, &rows);
    }
    let before = files(&directory.path().join("shop"));
    // What a process leaves that ends before it names a segment: all of it, or a part.
    put("shop/000000000099.parquet", &rows);
    put("shop/000000000099.filter", &filter);
    put("shop/000000000008.filter", &filter[..9]);
    put("cafe/000000000001.parquet", &[]);
    let subject = Segments::open(directory);
    assert!(files(&subject.path().join("shop")) == before, "the others stay as they are");
    assert!(files(&subject.path().join("cafe")).is_empty());
    assert!(subject.path().join("000000000099.parquet").exists());
    let found = search(&*subject.index(), request("shop", "*")).await;
    assert_eq!(seconds_of(&found.hits), [6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(search(&*subject.index(), request("cafe", "*")).await.total, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_a_newer_format_is_refused_by_name() {
    let directory = closed().await;
    // The key, and behind it the value: a text of one byte.
    replace(&segment(&directory, "parquet"), b"weir.format\x18\x011", b"weir.format\x18\x012");
    check_kept(directory, &["segment 1 has format 2, this weir reads up to 1", "use a newer weir"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_a_format_that_never_was_is_damaged() {
    let directory = closed().await;
    replace(&segment(&directory, "parquet"), b"weir.format\x18\x011", b"weir.format\x18\x010");
    check_kept(directory, &["segment 1 is damaged: it does not name its format"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_without_a_format_is_refused_by_name() {
    let directory = closed().await;
    replace(&segment(&directory, "parquet"), b"weir.format", b"else.format");
    check_kept(directory, &["segment 1 is damaged: it does not name its format"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_a_newer_version_is_done_without() {
    let directory = closed().await;
    overwrite(&segment(&directory, "filter"), 6, &3_u16.to_le_bytes());
    check_healed(directory).await;
}

/// Version 1 had no checksum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_the_first_version_is_done_without() {
    let directory = closed().await;
    let path = segment(&directory, "filter");
    let mut bytes = std::fs::read(&path).expect("it can be read");
    bytes.truncate(bytes.len() - size_of::<u64>());
    bytes[6..8].copy_from_slice(&1_u16.to_le_bytes());
    std::fs::write(&path, bytes).expect("it can be written");
    check_healed(directory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_without_a_name_is_done_without() {
    let directory = closed().await;
    overwrite(&segment(&directory, "filter"), 0, b"weirxx");
    check_healed(directory).await;
}
