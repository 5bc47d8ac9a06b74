//! Checking without changing.

use std::collections::BTreeMap;
use std::path::Path;

use weir_journal::sqlite::{Inspector, Settings};
use weir_journal::{Journal, StreamPattern};
use weir_model::{ByteSize, Offset};

use crate::support::{NO_LIMIT, append, copy_of, create, partition, settings, texts, try_open};

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).expect("listed").map(|entry| entry.expect("listed"));
    // What SQLite keeps to share memory has no contents of its own.
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named
        .filter(|(name, _)| !name.ends_with("-shm"))
        .map(|(name, path)| (name, std::fs::read(path).expect("read")))
        .collect()
}

#[tokio::test]
async fn a_running_and_a_stopped_journal_report_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal =
        try_open(Settings { file_size: ByteSize(3_000), ..settings(directory.path()) }).expect("it opens");
    create(&*journal, "a_logs", 2).await;
    create(&*journal, "b_logs", 1).await;
    for index in 0..50 {
        append(&*journal, if index % 3 == 0 { "b_logs" } else { "a_logs" }, &format!("value {index}")).await;
    }
    let place = partition(&*journal, "b_logs", 0).await;
    let running = journal.check().await.expect("checked");
    assert!(running.is_sound());
    let records: u64 =
        running.streams.iter().flat_map(|stream| &stream.partitions).map(|part| part.records).sum();
    assert_eq!((records, running.streams.len()), (50, 2));
    assert!(running.files.len() > 1);

    let crashed = copy_of(directory.path());
    let before = contents(crashed.path());
    let inspector = Inspector::open(crashed.path()).expect("nobody has the copy");
    let stopped = inspector.check().expect("checked");
    assert_eq!(stopped.streams, running.streams);
    let batch = inspector.read(&place, Offset(0), NO_LIMIT).expect("readable");
    assert_eq!(texts(&batch).first().map(String::as_str), Some("value 0"));
    assert_eq!(inspector.streams().len(), 2);
    drop(inspector);
    assert_eq!(contents(crashed.path()), before, "looking changes nothing");

    journal.subscribe("index", StreamPattern::default()).await.expect("a check takes nothing from others");
    journal.close().await;
    let closed = Inspector::open(directory.path()).expect("it is closed").check().expect("checked");
    assert_eq!(closed.streams, running.streams);
}
