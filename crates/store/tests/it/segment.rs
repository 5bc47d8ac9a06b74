use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::supervise::{DrainDeadlines, DrainSection, Supervisor};
use weir_store::conformance::{DeadLetterSubject, Subject};
use weir_store::segment::{OpenStoreError, SegmentParts, SegmentStore, Settings, StoreSection};
use weir_store::{DeadLetterStore, IndexStore};

/// A segment store in a directory of its own.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: TempDir,
    store: SegmentStore,
    supervisor: Option<Supervisor>,
}

/// Opens the store in a directory as a process of its own would.
pub(crate) fn start(directory: &Path) -> Result<(SegmentStore, Supervisor), OpenStoreError> {
    // So small that what searches keep of a few segments is forgotten now and then.
    start_with(directory, &StoreSection { search_cache: "16KiB".parse().ok(), ..StoreSection::default() })
}

pub(crate) fn start_with(
    directory: &Path,
    section: &StoreSection,
) -> Result<(SegmentStore, Supervisor), OpenStoreError> {
    start_by(Arc::new(SystemClock), directory, section)
}

/// Opens the store with a clock of its own; the process around it goes by the machine's.
pub(crate) fn start_by(
    clock: Arc<dyn Clock>,
    directory: &Path,
    section: &StoreSection,
) -> Result<(SegmentStore, Supervisor), OpenStoreError> {
    let deadlines = DrainDeadlines::validate(&DrainSection::default()).expect("defaults are valid");
    let supervisor = Supervisor::new(Handle::current(), Arc::new(SystemClock), deadlines);
    let settings = Settings::validate(section, directory.to_owned()).expect("the section is valid");
    let health = Health::new(Arc::new(SystemClock));
    let parts = SegmentParts { clock, spawner: supervisor.spawner(), health };
    Ok((SegmentStore::open(settings, parts)?, supervisor))
}

/// Waits for what happens in its own time.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let happened = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(60), happened).await;
    assert!(outcome.is_ok(), "it never happened that {what}");
}

/// The files of a prefix whose names end so, in the order of their names.
pub(crate) fn files_of(directory: &Path, prefix: &str, extension: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory.join(prefix)).expect("the prefix has a directory");
    let paths = files.map(|file| file.expect("it is there").path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

impl Segments {
    pub(crate) fn new() -> Self {
        Self::open(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn open(directory: TempDir) -> Self {
        let (store, supervisor) = start(directory.path()).expect("nobody else has the directory");
        Self { directory, store, supervisor: Some(supervisor) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it as a process that stops does, and leaves its files.
    pub(crate) async fn close(mut self) -> TempDir {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.run_until(async {}).await;
        }
        self.directory
    }
}

pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[async_trait]
impl Subject for Segments {
    fn index(&self) -> Arc<dyn IndexStore> {
        Arc::new(self.store.clone())
    }

    /// Ends the worker as a process that dies would, and opens a copy of what is on the disk then; the case
    /// may still hold the old store.
    async fn reopen(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.run_until(async {}).await;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        copy(self.directory.path(), directory.path()).expect("nobody writes any more");
        *self = Self::open(directory);
    }
}

#[async_trait]
impl DeadLetterSubject for Segments {
    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::new(self.store.clone())
    }
}

weir_store::conformance_suite!(Segments::new());
