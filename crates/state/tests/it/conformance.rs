use std::sync::Arc;

use async_trait::async_trait;
use weir_state::State;
use weir_state::conformance::{CASES, Factory};
use weir_state::memory::MemoryState;

use crate::support::open;

#[derive(Debug)]
struct Memory;

#[async_trait]
impl Factory for Memory {
    async fn make(&self) -> [Arc<dyn State>; 2] {
        let state = MemoryState::default();
        [Arc::new(state.clone()), Arc::new(state)]
    }
}

#[derive(Debug)]
struct Sqlite(tempfile::TempDir);

#[async_trait]
impl Factory for Sqlite {
    async fn make(&self) -> [Arc<dyn State>; 2] {
        let fresh = tempfile::tempdir_in(self.0.path()).expect("a directory").keep().join("state");
        [open(&fresh), open(&fresh)]
    }
}

#[expect(clippy::print_stderr, reason = "says which case fails")]
async fn check(make: &dyn Factory) {
    for case in CASES {
        eprintln!("{make:?}: {}", case.name);
        (case.run)(make).await;
    }
}

#[tokio::test]
async fn the_state_in_memory_conforms() {
    check(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_in_sqlite_conforms() {
    check(&Sqlite(tempfile::tempdir().expect("a directory"))).await;
}
