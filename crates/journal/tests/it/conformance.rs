use std::sync::Arc;

use async_trait::async_trait;
use weir_foundation::clock::SystemClock;
use weir_journal::Journal;
use weir_journal::conformance::{Factory, cases};
use weir_journal::memory::MemoryJournal;
use weir_journal::sqlite::{Codec, Settings};

use crate::support::{settings, try_open};

#[derive(Debug)]
struct Memory;

#[async_trait]
impl Factory for Memory {
    async fn make(&self) -> Arc<dyn Journal> {
        Arc::new(MemoryJournal::new(Arc::new(SystemClock)))
    }
}

#[derive(Debug)]
struct Sqlite {
    directory: tempfile::TempDir,
    change: fn(&mut Settings),
}

impl Sqlite {
    fn new(change: fn(&mut Settings)) -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), change }
    }
}

#[async_trait]
impl Factory for Sqlite {
    async fn make(&self) -> Arc<dyn Journal> {
        let fresh = tempfile::tempdir_in(self.directory.path()).expect("a directory");
        let mut settings = settings(&fresh.keep());
        (self.change)(&mut settings);
        try_open(settings).expect("the journal opens")
    }
}

#[expect(clippy::print_stderr, reason = "says which case fails")]
async fn check(make: &dyn Factory) {
    for case in cases(make.nature()) {
        eprintln!("{make:?}: {}", case.name);
        (case.run)(make).await;
    }
}

#[tokio::test]
async fn the_journal_in_memory_conforms() {
    check(&Memory).await;
}

#[tokio::test]
async fn the_journal_in_sqlite_conforms() {
    check(&Sqlite::new(|_| {})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_in_many_small_files_conforms() {
    check(&Sqlite::new(|settings| {
        settings.file_size = weir_model::ByteSize(2_000);
        settings.codec = Codec::Zstd;
    }))
    .await;
}

#[tokio::test]
async fn the_journal_without_compression_conforms() {
    check(&Sqlite::new(|settings| settings.codec = Codec::None)).await;
}
