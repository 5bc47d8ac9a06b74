use std::sync::Arc;

use async_trait::async_trait;
use weir_dead_letters::{DeadLetterStream, OpenView, Parts};
use weir_foundation::clock::SystemClock;
use weir_journal::memory::MemoryJournal;
use weir_store::conformance::{DeadLetterSubject, Subject};
use weir_store::memory::{Durability, MemoryStore};
use weir_store::segment::FilingWindow;
use weir_store::{DeadLetterStore, IndexStore};

/// The view dies with the process, the stream does not.
#[derive(Debug)]
struct Stream {
    journal: Arc<MemoryJournal>,
    index: Arc<MemoryStore>,
    letters: Arc<DeadLetterStream>,
}

pub(crate) fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Durability::Immediate, FilingWindow::default()))
}

pub(crate) async fn open(journal: &Arc<MemoryJournal>) -> Arc<DeadLetterStream> {
    let journal = Arc::<MemoryJournal>::clone(journal);
    let view = memory();
    let view: OpenView = Box::new(move || Ok(Arc::<MemoryStore>::clone(&view)));
    let parts = Parts { journal, view, clock: Arc::new(SystemClock) };
    Arc::new(DeadLetterStream::open("weir-index", parts).await.expect("it can be opened"))
}

impl Stream {
    async fn new() -> Self {
        let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
        let letters = open(&journal).await;
        Self { journal, index: memory(), letters }
    }
}

#[async_trait]
impl Subject for Stream {
    fn index(&self) -> Arc<dyn IndexStore> {
        Arc::<MemoryStore>::clone(&self.index)
    }

    async fn reopen(&mut self) {
        self.index = Arc::new(self.index.after_crash());
        self.letters = open(&self.journal).await;
    }
}

impl DeadLetterSubject for Stream {
    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::<DeadLetterStream>::clone(&self.letters)
    }
}

weir_store::dead_letter_suite!(Stream::new().await);
