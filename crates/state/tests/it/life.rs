use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use weir_state::sqlite::SqliteState;
use weir_state::{CommitError, Expect, State, StateError};

use crate::support::{CUP, open, put, spawner, value};

#[tokio::test]
async fn it_goes_on_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep/state");
    let mut last = 0;
    for life in 0..3_u8 {
        let state = open(&path);
        assert_eq!(*state.revision().borrow(), last);
        assert_eq!(value(&*state, "a").await, life.checked_sub(1).map(|before| vec![before]));
        last = state.commit(&[put("a", [life])]).await.expect("committed");
        state.close().await;
        state.close().await;
    }
    assert!(!path.join("state.db-wal").exists(), "what was closed is in one file");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = open(directory.path());
    state.close().await;
    assert!(matches!(state.get(CUP, "a").await, Err(StateError::Closing)));
    assert!(matches!(state.changes(&[CUP], 0).await, Err(StateError::Closing)));
    assert!(matches!(state.commit(&[put("a", "1")]).await, Err(CommitError::Closing)));
}

/// Many that open it at the same time for the first time have one store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_made_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let spawner = spawner();
    for round in 0..5 {
        let openings = (0..4).map(|_| {
            let path = directory.path().join(format!("state-{round}"));
            let opening = spawner.blocking("test.open", move || open(&path));
            async {
                let state = opening.await.expect("it opens");
                state.commit(&[CUP.key("made").put(Expect::Absent, Vec::new())]).await.is_ok()
            }
        });
        let made = futures_util::future::join_all(openings).await;
        assert_eq!(made.into_iter().filter(|made| *made).count(), 1);
    }
}

/// The directory as a loss of power at this instant would leave it, if nothing was moved into the file meanwhile.
fn copy_of(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["state.db-wal", "state.db"] {
        std::fs::copy(directory.join(name), copy.path().join(name)).expect("copied");
    }
    copy
}

/// Two documents that always change together are equal in every copy, and not older than what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_whole_commits_and_all_that_were_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = open(directory.path());
    write_pairs(&state, 0).await;
    let (done, finished) = tokio::sync::watch::channel(0_u32);
    let writes = async {
        for turn in 1..=150 {
            write_pairs(&state, turn).await;
            done.send_replace(turn);
        }
    };
    let copies = async {
        let mut copies = Vec::new();
        while *finished.borrow() < 150 {
            let answered = *finished.borrow();
            copies.push((answered, copy_of(directory.path())));
            tokio::task::yield_now().await;
        }
        copies
    };
    let ((), copies) = futures_util::future::join(writes, copies).await;
    assert!(copies.len() > 5);
    for (answered, copy) in copies {
        let state = open(copy.path());
        let (left, right) = (value(&*state, "left").await, value(&*state, "right").await);
        assert_eq!(left, right);
        let text = String::from_utf8(left.expect("it was written")).expect("it is a text");
        let turn: u32 = text.trim_start_matches('x').parse().expect("it is a number");
        assert!(turn >= answered, "{answered} was answered, {turn} is there");
    }
}

async fn write_pairs(state: &Arc<SqliteState>, turn: u32) {
    // Several pages.
    let text = format!("{}{turn}", "x".repeat(9_000));
    state.commit(&[put("left", text.clone()), put("right", text)]).await.expect("committed");
}
