use std::sync::Arc;

use async_trait::async_trait;
use weir_store::conformance::{DeadLetterSubject, Subject};
use weir_store::memory::{Durability, MemoryStore};
use weir_store::segment::FilingWindow;
use weir_store::{DeadLetterStore, IndexStore};

/// Loses on a crash what was not flushed.
#[derive(Debug)]
pub(crate) struct Memory(Arc<MemoryStore>);

impl Memory {
    pub(crate) fn new(durability: Durability) -> Self {
        Self(Arc::new(MemoryStore::new(durability, FilingWindow::default())))
    }
}

#[async_trait]
impl Subject for Memory {
    fn index(&self) -> Arc<dyn IndexStore> {
        Arc::<MemoryStore>::clone(&self.0)
    }

    async fn reopen(&mut self) {
        self.0 = Arc::new(self.0.after_crash());
    }
}

#[async_trait]
impl DeadLetterSubject for Memory {
    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::<MemoryStore>::clone(&self.0)
    }
}

mod durable_on_flush {
    use super::*;

    weir_store::conformance_suite!(Memory::new(Durability::OnFlush));
}

mod durable_at_once {
    use super::*;

    weir_store::conformance_suite!(Memory::new(Durability::Immediate));
}
