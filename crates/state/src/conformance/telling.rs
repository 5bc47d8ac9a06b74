use std::time::Duration;

use tokio::sync::watch;
use weir_foundation::clock::{SystemClock, timeout};

use super::Factory;
use super::fixtures::{CUP, committed, conflict, put, read};
use crate::seam::Expect;

/// Far more than the second in which another process is told.
const DEADLINE: Duration = Duration::from_secs(20);

async fn told(revision: &mut watch::Receiver<u64>, at_least: u64) {
    let waited = timeout(&SystemClock, DEADLINE, revision.wait_for(|told| *told >= at_least)).await;
    drop(waited.expect("it is told soon").expect("the store lives"));
}

/// Both handles tell of what either of them wrote.
pub async fn commits_are_told(make: &dyn Factory) {
    let [state, other] = make.make().await;
    let mut here = state.revision();
    let mut there = other.revision();
    for (writer, name) in [(&state, "a"), (&other, "b"), (&state, "c")] {
        let revision = committed(&**writer, &[put(CUP.key(name), Expect::Absent, "")]).await;
        assert!(*writer.revision().borrow() >= revision, "one's own commits are told at once");
        told(&mut here, revision).await;
        told(&mut there, revision).await;
    }
    assert_eq!(*other.revision().borrow(), *here.borrow(), "whoever comes later is told where it is");
}

/// A refused commit, and one that only looks.
pub async fn a_commit_that_changes_nothing_is_not_told(make: &dyn Factory) {
    let [state, _] = make.make().await;
    let first = committed(&*state, &[put(CUP.key("a"), Expect::Absent, "")]).await;
    let mut revision = state.revision();
    revision.mark_unchanged();
    conflict(&*state, &[put(CUP.key("a"), Expect::Absent, "")]).await;
    assert_eq!(committed(&*state, &[CUP.key("a").keep(Expect::Version(first))]).await, first);
    assert_eq!(committed(&*state, &[CUP.key("absent").delete(Expect::Any)]).await, first);
    assert!(!revision.has_changed().expect("the store lives"));
}

/// Who is told of a revision and reads through the same handle sees what was written at it.
pub async fn what_is_told_can_be_read(make: &dyn Factory) {
    let [state, other] = make.make().await;
    let mut revision = other.revision();
    let writes = async {
        for turn in 0..5_u32 {
            committed(&*state, &[put(CUP.key("a"), Expect::Any, &turn.to_string())]).await;
        }
    };
    let reads = async {
        let mut seen = 0;
        while seen < 5 {
            let waited = timeout(&SystemClock, DEADLINE, revision.wait_for(|told| *told > seen)).await;
            seen = *waited.expect("it is told soon").expect("the store lives");
            let entry = read(&*other, &CUP.key("a")).await.expect("it was told of");
            assert!(entry.version >= seen);
        }
    };
    futures_util::future::join(writes, reads).await;
}
