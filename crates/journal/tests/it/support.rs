use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use weir_foundation::clock::SystemClock;
use weir_foundation::supervise::{DrainDeadlines, Spawner, Supervisor};
use weir_journal::sqlite::{Retention, Settings, SqliteJournal, Undelivered};
use weir_journal::{Journal, OpenError, Origin, ReadBatch, ReadBudget, StreamInfo, StreamSpec};
use weir_model::{Offset, PartitionIndex, Record, RecordFormat, StreamName, StreamPartition, Timestamp};

pub(crate) const NO_LIMIT: ReadBudget = ReadBudget { bytes: usize::MAX, records: usize::MAX };

pub(crate) fn spawner() -> Spawner {
    Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default()).spawner()
}

/// Defaults for a directory, without what depends on the machine and the time: a reserve, limits of age.
pub(crate) fn settings(directory: &Path) -> Settings {
    Settings {
        reserve: weir_model::ByteSize(0),
        file_age: Duration::MAX,
        retention: Retention { age: None, size: None, undelivered: Undelivered::Hold },
        ..Settings::new(directory.to_owned())
    }
}

pub(crate) fn try_open(settings: Settings) -> Result<Arc<SqliteJournal>, OpenError> {
    SqliteJournal::open(settings, Arc::new(SystemClock), &spawner())
}

pub(crate) fn open(directory: &Path) -> Arc<SqliteJournal> {
    try_open(settings(directory)).expect("the journal opens")
}

pub(crate) fn name(text: &str) -> StreamName {
    StreamName::new(text).expect("legal")
}

pub(crate) fn record(text: &str, events: u32) -> Record {
    Record {
        format: RecordFormat::Events,
        events: Some(events),
        received: Timestamp::from_micros(1_700_000_000_000_000),
        batch: None,
        value: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(crate) async fn create(journal: &dyn Journal, stream: &str, partitions: u32) -> StreamInfo {
    let spec = StreamSpec { partitions: Some(partitions), ..StreamSpec::new(name(stream)) };
    journal.create_stream(spec).await.expect("created").info().clone()
}

pub(crate) async fn append(journal: &dyn Journal, stream: &str, text: &str) -> Offset {
    journal
        .append(&name(stream), Origin::Any, vec![record(text, 1)])
        .await
        .expect("appended")
        .remove(0)
        .offset
}

pub(crate) async fn partition(journal: &dyn Journal, stream: &str, index: u32) -> StreamPartition {
    let streams = journal.streams().await.expect("listed");
    let info = streams.iter().find(|info| info.name == name(stream)).expect("the stream is there");
    info.partition(PartitionIndex(index)).expect("the partition is there").partition.clone()
}

pub(crate) async fn read_from(journal: &dyn Journal, place: &StreamPartition, from: u64) -> ReadBatch {
    let mut all = journal.read(place, Offset(from), NO_LIMIT).await.expect("readable");
    loop {
        let more = journal.read(place, all.next, NO_LIMIT).await.expect("readable");
        if more.next == all.next {
            return all;
        }
        all.records.extend(more.records);
        all.losses.extend(more.losses);
        all.next = more.next;
    }
}

pub(crate) fn texts(batch: &ReadBatch) -> Vec<String> {
    batch.records.iter().map(|stored| String::from_utf8_lossy(&stored.record.value).into_owned()).collect()
}

/// The directory as a crash at this instant would leave it. WALs first: what a checkpoint does meanwhile is
/// then done twice, not lost.
pub(crate) fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("listed")
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with("-shm"))
        .collect();
    names.sort_by_key(|name| !name.ends_with("-wal"));
    for name in names {
        match std::fs::copy(directory.join(&name), copy.path().join(&name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.expect("copied")),
        }
    }
    copy
}

pub(crate) fn files_like(directory: &Path, part: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("listed")
        .map(|entry| entry.expect("listed").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)))
        .collect();
    files.sort();
    files
}

/// Waits for something that happens in its own time.
#[expect(clippy::disallowed_methods, reason = "tests run in real time")]
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "it never happened that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
